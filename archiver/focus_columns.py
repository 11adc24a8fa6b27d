"""The columns of the cost and usage files: FOCUS 1.2, then our own behind `x_`.

A row of usage is a day of one key, model, lane, price and meter (`archiver.focus_meters`). What is
not here, and why: names of workspaces and keys, because the archive has no names; regions,
commitments and tags, because the service has none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pyarrow as pa

from archiver.model import FOCUS_VERSION

TIME: Final = pa.timestamp("us", tz="UTC")
DECIMAL: Final = pa.decimal128(30, 9)
"""Dollars to the nano-dollar, quantities to the millionth."""
_TEXT: Final = pa.string()


class CostColumn(NamedTuple):
    """A column and what a reader is told of it."""

    name: str
    type: pa.DataType
    description: str


COST_COLUMNS: Final = (
    CostColumn("BilledCost", DECIMAL, "What was paid, or paid back; usage takes prepaid credit."),
    CostColumn("BillingAccountId", _TEXT, "The workspace."),
    CostColumn("BillingAccountName", _TEXT, "Null: the archive has no names."),
    CostColumn("BillingAccountType", _TEXT, "What a billing account is."),
    CostColumn("BillingCurrency", _TEXT, "US dollars."),
    CostColumn("BillingPeriodEnd", TIME, "The end of the month, exclusive."),
    CostColumn("BillingPeriodStart", TIME, "The start of the month."),
    CostColumn("ChargeCategory", _TEXT, "Usage, Purchase, Credit, Adjustment or Tax."),
    CostColumn("ChargeClass", _TEXT, "Correction where money went back, else null."),
    CostColumn("ChargeDescription", _TEXT, "What the row is."),
    CostColumn("ChargeFrequency", _TEXT, "Usage-Based or One-Time."),
    CostColumn("ChargePeriodEnd", TIME, "The end of the day, exclusive."),
    CostColumn("ChargePeriodStart", TIME, "The start of the day (UTC)."),
    CostColumn("ConsumedQuantity", DECIMAL, "What the meter counted; null unless Usage."),
    CostColumn("ConsumedUnit", _TEXT, "Tokens, Requests or Tool Calls; null unless Usage."),
    CostColumn("ContractedCost", DECIMAL, "ListCost: nothing is negotiated."),
    CostColumn("ContractedUnitPrice", DECIMAL, "ListUnitPrice: nothing is negotiated."),
    CostColumn("EffectiveCost", DECIMAL, "What usage took from credit; 0 for buying credit."),
    CostColumn("InvoiceId", _TEXT, "The number of the receipt, if there is one."),
    CostColumn("InvoiceIssuerName", _TEXT, "Who issues receipts."),
    CostColumn("ListCost", DECIMAL, "Unit price times quantity, rounded; before waivers."),
    CostColumn("ListUnitPrice", DECIMAL, "Dollars for one PricingUnit."),
    CostColumn("PricingCategory", _TEXT, "Standard."),
    CostColumn("PricingQuantity", DECIMAL, "How many PricingUnits."),
    CostColumn("PricingUnit", _TEXT, "Such as 1000000 Tokens, or Credits."),
    CostColumn("ProviderName", _TEXT, "Who sells the service."),
    CostColumn("PublisherName", _TEXT, "Who publishes the service."),
    CostColumn("ResourceId", _TEXT, "The API key; null where it was erased or none was used."),
    CostColumn("ResourceType", _TEXT, "What a resource is."),
    CostColumn("ServiceCategory", _TEXT, "What the service is."),
    CostColumn("ServiceName", _TEXT, "The name of the service."),
    CostColumn("ServiceSubcategory", _TEXT, "What the service is, closer."),
    CostColumn("SkuId", _TEXT, "Public model id and lane, or credit."),
    CostColumn("SkuMeter", _TEXT, "What is counted, such as Input Tokens, or Credits."),
    CostColumn("SkuPriceId", _TEXT, "SkuId, version and context tier of the price, and meter."),
    CostColumn("x_CreditAmount", DECIMAL, "Credit that the row gave (+) or took (-)."),
    CostColumn("x_Kind", _TEXT, "The ledger's word for the row, such as paid_grant."),
    CostColumn("x_Lane", _TEXT, "The lane that served."),
    CostColumn("x_Model", _TEXT, "The public model id."),
    CostColumn("x_TransactionId", _TEXT, "The ledger transaction; null for usage."),
    CostColumn("x_WaivedCost", DECIMAL, "What usage would have cost, had it not been waived."),
)

COST_SCHEMA: Final = pa.schema(
    [
        pa.field(column.name, column.type, metadata={"description": column.description})
        for column in COST_COLUMNS
    ],
    metadata={"schema": f"focus/v{FOCUS_VERSION}", "description": "Costs by day. No content."},
)
