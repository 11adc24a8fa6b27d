"""Tax calculations and transactions at one static rate, in basis points (2000 are 20 %)."""

from __future__ import annotations

import copy
from typing import Final

from tools.stripe_sim import lists, metadata, tax_ids
from tools.stripe_sim.calls import Call, Operation, words
from tools.stripe_sim.clock import DAY_SECONDS
from tools.stripe_sim.errors import InvalidRequest, Json
from tools.stripe_sim.world import World

CALCULATION: Final = "tax.calculation"
TRANSACTION: Final = "tax.transaction"
RATE_BASIS_POINTS: Final = 2_000
LIFETIME_SECONDS: Final = 90 * DAY_SECONDS
_CODE: Final = "txcd_10000000"


def on_top_of(amount: int) -> int:
    """Return the tax to be added to a net amount, half up."""
    return (amount * RATE_BASIS_POINTS + 5_000) // 10_000


def within(amount: int) -> int:
    """Return the tax that a gross amount contains, half up."""
    gross = 10_000 + RATE_BASIS_POINTS
    return (amount * RATE_BASIS_POINTS * 2 + gross) // (gross * 2)


def rate_text() -> str:
    """Return the rate in percent, as Stripe writes it."""
    return f"{RATE_BASIS_POINTS // 100}.{RATE_BASIS_POINTS % 100:02d}"


def reason_of(details: Json) -> str:
    """Return why there is tax, or none, by what is known of a customer."""
    override: str = details.get("taxability_override", "none")
    if override != "none":
        return override
    return "reverse_charge" if tax_ids.owes_its_own(details) else "standard_rated"


def is_exempt(details: Json) -> bool:
    """Say whether no tax is added."""
    return reason_of(details) != "standard_rated"


def known_of(world: World, customer: Json) -> Json:
    """Return what a customer's tax depends on."""
    override = {"exempt": "customer_exempt", "reverse": "reverse_charge"}
    return {
        "address": customer.get("address") or {},
        "address_source": "billing",
        "tax_ids": [
            {"type": one["type"], "value": one["value"]}
            for one in tax_ids.of(world, customer["id"])
        ],
        "taxability_override": override.get(customer.get("tax_exempt") or "", "none"),
    }


def calculate(world: World, call: Call) -> Json:
    """Calculate the tax on lines.

    Raises:
        InvalidRequest: nobody or nowhere to tax.
    """
    given = call.params
    details = given.get("customer_details", {})
    if "customer" in given:
        details = _details_of_customer(world, given["customer"])
    if not details.get("address"):
        raise InvalidRequest("An address or a customer is needed", param="customer_details")
    items = [_line(world, line, number, details) for number, line in enumerate(given["line_items"])]
    exclusive = sum(one["amount_tax"] for one in items if one["tax_behavior"] == "exclusive")
    inclusive = sum(one["amount_tax"] for one in items if one["tax_behavior"] == "inclusive")
    calculation = world.add(
        CALCULATION,
        "taxcalc",
        amount_total=sum(one["amount"] for one in items) + exclusive,
        currency=given["currency"].lower(),
        customer=given.get("customer"),
        customer_details=_details(details),
        expires_at=world.now() + LIFETIME_SECONDS,
        line_items=None,
        ship_from_details=None,
        shipping_cost=None,
        tax_amount_exclusive=exclusive,
        tax_amount_inclusive=inclusive,
        tax_breakdown=_breakdown(items, details),
        tax_date=given.get("tax_date", world.now()),
        _lines=items,
    )
    calculation["_created"] = calculation.pop("created")
    url = f"/v1/tax/calculations/{calculation['id']}/line_items"
    calculation["line_items"] = {"object": "list", "data": items, "has_more": False, "url": url}
    return calculation


def _details_of_customer(world: World, customer_id: str) -> Json:
    """Return where a customer is.

    Raises:
        InvalidRequest: nobody knows.
    """
    customer = world.get("customer", customer_id, "customer", in_path=False)
    known = known_of(world, customer)
    if not known["address"].get("country"):
        raise InvalidRequest(
            "The customer's location is not known",
            param="customer",
            code="customer_tax_location_invalid",
        )
    return known


def _line(world: World, given: Json, number: int, details: Json) -> Json:
    behavior = given.get("tax_behavior", "exclusive")
    tax = on_top_of(given["amount"]) if behavior == "exclusive" else within(given["amount"])
    return {
        "id": world.new_id("tax_li"),
        "object": "tax.calculation_line_item",
        "amount": given["amount"],
        "amount_tax": 0 if is_exempt(details) else tax,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "product": given.get("product"),
        "quantity": given.get("quantity", 1),
        "reference": given.get("reference", f"L{number + 1}"),
        "tax_behavior": behavior,
        "tax_code": given.get("tax_code", _CODE),
    }


def _details(given: Json) -> Json:
    lines = ("city", "country", "line1", "line2", "postal_code", "state")
    address = {**dict.fromkeys(lines), **given["address"]} if "address" in given else None
    return {
        "address": address,
        "address_source": given.get("address_source"),
        "ip_address": given.get("ip_address"),
        "tax_ids": given.get("tax_ids", []),
        "taxability_override": given.get("taxability_override", "none"),
    }


def _breakdown(items: list[Json], details: Json) -> list[Json]:
    country = details.get("address", {}).get("country")
    rate = {
        "country": country,
        "flat_amount": None,
        "percentage_decimal": "0.0" if is_exempt(details) else rate_text(),
        "rate_type": "percentage",
        "state": None,
        "tax_type": "vat",
    }
    return [
        {
            "amount": sum(one["amount_tax"] for one in items if one["tax_behavior"] == behavior),
            "inclusive": behavior == "inclusive",
            "tax_rate_details": rate,
            "taxability_reason": reason_of(details),
            "taxable_amount": sum(
                one["amount"] - (one["amount_tax"] if behavior == "inclusive" else 0)
                for one in items
                if one["tax_behavior"] == behavior
            ),
        }
        for behavior in ("exclusive", "inclusive")
        if any(one["tax_behavior"] == behavior for one in items)
    ]


def breakdown_of_page(world: World, taxable: int, taxes: int, details: Json) -> Json:
    """Return the tax of a page by its one rate."""
    exempt = is_exempt(details)
    rate: Json = {
        "id": world.new_id("txr"),
        "object": "tax_rate",
        "active": False,
        "country": (details.get("address") or {}).get("country"),
        "created": world.now(),
        "description": None,
        "display_name": "VAT",
        "effective_percentage": 0.0 if exempt else RATE_BASIS_POINTS / 100,
        "flat_amount": None,
        "inclusive": False,
        "jurisdiction": None,
        "jurisdiction_level": "country",
        "livemode": False,
        "metadata": {},
        "percentage": RATE_BASIS_POINTS / 100,
        "rate_type": "percentage",
        "state": None,
        "tax_type": "vat",
    }
    part = {
        "amount": taxes,
        "rate": rate,
        "taxability_reason": reason_of(details),
        "taxable_amount": taxable,
    }
    return {"discounts": [], "taxes": [part]}


def retrieve_calculation(world: World, call: Call) -> Json:
    """Return a calculation that has not expired.

    Raises:
        InvalidRequest: it has.
    """
    calculation = world.get(CALCULATION, call.id, "calculation")
    _check_fresh(world, calculation)
    return calculation


def _check_fresh(world: World, calculation: Json) -> None:
    if calculation["expires_at"] <= world.now():
        raise InvalidRequest("The tax calculation has expired", code="tax_calculation_expired")


def lines_of(world: World, call: Call) -> Json:
    """Return a page of the lines of a calculation."""
    calculation = world.get(CALCULATION, call.id, "calculation")
    return lists.cut(calculation["_lines"], call.url, call.params)


def fresh(world: World, calculation_id: str) -> Json:
    """Return a calculation that can be used.

    Raises:
        NoSuchObject: there is none.
        InvalidRequest: it has expired.
    """
    calculation = world.get(CALCULATION, calculation_id, "calculation", in_path=False)
    _check_fresh(world, calculation)
    return calculation


def commit(world: World, call: Call) -> Json:
    """Make a calculation a transaction."""
    return commit_one(world, call.params)


def commit_one(world: World, given: Json) -> Json:
    """Make a calculation a transaction.

    Raises:
        InvalidRequest: it has expired, or the reference is taken.
    """
    calculation = fresh(world, given["calculation"])
    _check_reference(world, given["reference"])
    transaction = world.add(
        TRANSACTION,
        "tax",
        currency=calculation["currency"],
        customer=calculation["customer"],
        customer_details=copy.deepcopy(calculation["customer_details"]),
        line_items=None,
        metadata=metadata.merged({}, given.get("metadata")),
        posted_at=given.get("posted_at", world.now()),
        reference=given["reference"],
        reversal=None,
        ship_from_details=None,
        shipping_cost=None,
        tax_date=calculation["tax_date"],
        type="transaction",
    )
    _set_lines(world, transaction, calculation["_lines"], sign=1)
    return transaction


def _check_reference(world: World, reference: str) -> None:
    if any(one["reference"] == reference for one in world.all(TRANSACTION)):
        raise InvalidRequest("The reference is taken", param="reference")


def _set_lines(world: World, transaction: Json, source: list[Json], *, sign: int) -> None:
    items = [
        {
            **{name: value for name, value in line.items() if name != "product"},
            "id": world.new_id("tax_li"),
            "object": "tax.transaction_line_item",
            "amount": sign * line["amount"],
            "amount_tax": sign * line["amount_tax"],
            "product": line.get("product"),
            "reversal": None if sign > 0 else {"original_line_item": line["id"]},
            "type": "transaction" if sign > 0 else "reversal",
        }
        for line in source
    ]
    url = f"/v1/tax/transactions/{transaction['id']}/line_items"
    transaction["line_items"] = {"object": "list", "data": items, "has_more": False, "url": url}


def reverse(world: World, call: Call) -> Json:
    """Take a transaction back."""
    return reverse_one(world, call.params)


def reverse_refunded(world: World, intent_id: str | None, refund: Json) -> None:
    """Take back the tax of a refunded part, where the payment's intent named a calculation."""
    for one in world.all(TRANSACTION):
        if one["reference"] == intent_id:
            reverse_one(
                world,
                {
                    "mode": "partial",
                    "flat_amount": -refund["amount"],
                    "original_transaction": one["id"],
                    "reference": refund["id"],
                },
            )
            return


def reverse_one(world: World, given: Json) -> Json:
    """Take a transaction back, all of it or a gross part (`flat_amount`, negative).

    Raises:
        InvalidRequest: the reference is taken, or the part is none.
    """
    original = world.get(
        TRANSACTION, given["original_transaction"], "original_transaction", in_path=False
    )
    _check_reference(world, given["reference"])
    if (given["mode"] == "partial") != ("flat_amount" in given):
        raise InvalidRequest("A partial reversal, and no other, has a flat_amount", param="mode")
    reversal = world.add(
        TRANSACTION,
        "tax",
        **{
            name: copy.deepcopy(original[name])
            for name in ("currency", "customer", "customer_details", "tax_date")
        },
        line_items=None,
        metadata=metadata.merged({}, given.get("metadata")),
        posted_at=world.now(),
        reference=given["reference"],
        reversal={"original_transaction": original["id"]},
        ship_from_details=None,
        shipping_cost=None,
        type="reversal",
    )
    source = original["line_items"]["data"]
    if "flat_amount" in given:
        source = _part(source, -given["flat_amount"])
    _set_lines(world, reversal, source, sign=-1)
    return reversal


def _part(source: list[Json], gross: int) -> list[Json]:
    """Return one line for a gross part of a transaction."""
    tax = within(gross) if any(one["amount_tax"] for one in source) else 0
    if gross < 1:
        raise InvalidRequest("A reversal is a negative amount", param="flat_amount")
    is_inclusive = source[0]["tax_behavior"] == "inclusive"
    return [{**source[0], "amount": gross if is_inclusive else gross - tax, "amount_tax": tax}]


def retrieve_transaction(world: World, call: Call) -> Json:
    """Return a transaction."""
    return world.get(TRANSACTION, call.id, "transaction")


_NEW: Final = words("currency customer customer_details line_items tax_date")
OPERATIONS: Final = (
    Operation("POST", "/v1/tax/calculations", "tax.CalculationCreateParams", calculate, _NEW),
    Operation(
        "GET",
        "/v1/tax/calculations/{id}",
        "tax.CalculationRetrieveParams",
        retrieve_calculation,
    ),
    Operation(
        "GET",
        "/v1/tax/calculations/{id}/line_items",
        "tax.CalculationLineItemListParams",
        lines_of,
        words("ending_before limit starting_after"),
    ),
    Operation(
        "POST",
        "/v1/tax/transactions/create_from_calculation",
        "tax.TransactionCreateFromCalculationParams",
        commit,
        words("calculation metadata posted_at reference"),
    ),
    Operation(
        "POST",
        "/v1/tax/transactions/create_reversal",
        "tax.TransactionCreateReversalParams",
        reverse,
        words("flat_amount metadata mode original_transaction reference"),
    ),
    Operation(
        "GET",
        "/v1/tax/transactions/{id}",
        "tax.TransactionRetrieveParams",
        retrieve_transaction,
    ),
)
