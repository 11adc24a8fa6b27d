"""The columns of the cost and usage files: FOCUS 1.2, then our own behind `x_`.

What is not here, and why: unit prices, because a request is charged by several meters at once and
the archive holds its charge as one amount (its price version is in SkuPriceId, its quantities are
in `x_` columns); names of workspaces and keys, because the archive has no names; regions,
commitments and tags, because the service has none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pyarrow as pa

from archiver.columns import QUANTITIES
from archiver.model import FOCUS_VERSION

TIME: Final = pa.timestamp("us", tz="UTC")
DECIMAL: Final = pa.decimal128(30, 9)
_TEXT: Final = pa.string()


class CostColumn(NamedTuple):
    """A column and what a reader is told of it."""

    name: str
    type: pa.DataType
    description: str


def counted_name(quantity: str) -> str:
    """Return the `x_` column of one of the counted quantities."""
    return "x_" + "".join(part.capitalize() for part in quantity.split("_"))


COUNTED: Final = tuple(name for name in QUANTITIES if name != "requests")
"""Quantities with a column of their own; requests are the ConsumedQuantity."""

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
    CostColumn("ConsumedQuantity", DECIMAL, "Requests; null unless Usage."),
    CostColumn("ConsumedUnit", _TEXT, "Requests; null unless Usage."),
    CostColumn("ContractedCost", DECIMAL, "ListCost: nothing is negotiated."),
    CostColumn("EffectiveCost", DECIMAL, "What usage took from credit; 0 for buying credit."),
    CostColumn("InvoiceId", _TEXT, "The number of the receipt, if there is one."),
    CostColumn("InvoiceIssuerName", _TEXT, "Who issues receipts."),
    CostColumn("ListCost", DECIMAL, "The charge before what was waived."),
    CostColumn("PricingCategory", _TEXT, "Standard."),
    CostColumn("PricingQuantity", DECIMAL, "Requests, or dollars of credit."),
    CostColumn("PricingUnit", _TEXT, "Requests or Credits."),
    CostColumn("ProviderName", _TEXT, "Who sells the service."),
    CostColumn("PublisherName", _TEXT, "Who publishes the service."),
    CostColumn("ResourceId", _TEXT, "The API key; null where it was erased or none was used."),
    CostColumn("ResourceType", _TEXT, "What a resource is."),
    CostColumn("ServiceCategory", _TEXT, "What the service is."),
    CostColumn("ServiceName", _TEXT, "The name of the service."),
    CostColumn("ServiceSubcategory", _TEXT, "What the service is, closer."),
    CostColumn("SkuId", _TEXT, "Public model id and lane, or credit."),
    CostColumn("SkuMeter", _TEXT, "What is counted."),
    CostColumn("SkuPriceId", _TEXT, "SkuId and the version of its price."),
    CostColumn("x_CreditAmount", DECIMAL, "Credit that the row gave (+) or took (-)."),
    CostColumn("x_Kind", _TEXT, "The ledger's word for the row, such as paid_grant."),
    CostColumn("x_Lane", _TEXT, "The lane that served."),
    CostColumn("x_Model", _TEXT, "The public model id."),
    CostColumn("x_TransactionId", _TEXT, "The ledger transaction; null for usage."),
    CostColumn("x_WaivedCost", DECIMAL, "What usage would have cost, had it not been waived."),
    *(CostColumn(counted_name(name), pa.int64(), name.replace("_", " ")) for name in COUNTED),
)

COST_SCHEMA: Final = pa.schema(
    [
        pa.field(column.name, column.type, metadata={"description": column.description})
        for column in COST_COLUMNS
    ],
    metadata={"schema": f"focus/v{FOCUS_VERSION}", "description": "Costs by day. No content."},
)
