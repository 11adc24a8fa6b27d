"""What each page is made of. All of them are functions of a catalogue, a time and an address."""

from __future__ import annotations

from typing import Any

from edge.admission.catalog import LANE_NAMES, SERVICE_TIERS, Catalog, Kind
from edge.pages import views
from edge.pages.error_table import ERROR_GROUPS
from edge.pages.examples import EXAMPLES, filled_in
from edge.pages.fields import fields_of
from edge.pages.headers import (
    ANSWER_HEADERS,
    ANTHROPIC_HEADERS,
    BROWSER_HEADERS,
    ERROR_HEADERS,
    KEY_HEADERS,
    REQUEST_HEADERS,
)
from edge.pages.lanes import LANE_WORDS
from edge.pages.prices import DIMENSION_WORDS, MAIN_DIMENSIONS, example, is_free
from edge.pages.render import render


def front(catalog: Catalog, at_micros: int, origin: str) -> bytes:
    """Return what this is, what it promises, and where to go on."""
    found = views.models_of(catalog, at_micros)
    return render(
        "front.html",
        model_count=len(found),
        maker_count=len({view.model.maker for view in found}),
        endpoints=views.endpoints_of(catalog),
        example=filled_in(EXAMPLES[0], origin, _example_id(catalog, at_micros)),
    )


def models(catalog: Catalog, at_micros: int, _origin: str) -> bytes:
    """Return the table of all models that can be used."""
    found = views.models_of(catalog, at_micros)
    return render("models.html", makers=views.by_maker(found), model_count=len(found))


def model(catalog: Catalog, at_micros: int, origin: str, public_id: str) -> bytes | None:
    """Return the page of a model, None if it cannot be used."""
    found = {one.public_id: one for one in catalog.servable(at_micros)}.get(public_id)
    if found is None:
        return None
    can_serve = set(catalog.endpoints_of(found))
    return render(
        "model.html",
        view=views.model_view(catalog, found, at_micros),
        endpoints=[
            one for one in views.endpoints_of(catalog) if one.operation.endpoint in can_serve
        ],
        example=filled_in(EXAMPLES[0], origin, public_id) if found.kind == Kind.KIND_TEXT else None,
        **_price_words(),
    )


def no_such_model() -> bytes:
    """Return the page of a model that there is not; it does not repeat the name."""
    return render("no_model.html")


def pricing(catalog: Catalog, at_micros: int, _origin: str) -> bytes:
    """Return all prices in force, and how a charge is computed."""
    found = views.models_of(catalog, at_micros)
    of_example = views.example_model(catalog, at_micros)
    return render(
        "pricing.html",
        makers=views.by_maker(found),
        free=[view for view in found if is_free(view.prices)],
        example=example(catalog, of_example, at_micros) if of_example is not None else None,
        **_price_words(),
    )


def reference(catalog: Catalog, at_micros: int, origin: str) -> bytes:
    """Return the API reference."""
    endpoints = views.endpoints_of(catalog)
    apis = {one.operation.api for one in endpoints}
    model_id = _example_id(catalog, at_micros)
    return render(
        "reference.html",
        origin=origin,
        endpoints=endpoints,
        fields={one.anchor: fields_of(one.operation.requests) for one in endpoints},
        examples=[filled_in(one, origin, model_id) for one in EXAMPLES if one.api in apis],
        error_groups=ERROR_GROUPS,
        key_headers=KEY_HEADERS,
        request_headers=(*REQUEST_HEADERS, *ANTHROPIC_HEADERS),
        browser_headers=BROWSER_HEADERS,
        answer_headers=(*ANSWER_HEADERS, *ERROR_HEADERS),
        lanes={lane: LANE_WORDS[lane] for lane in LANE_NAMES},
        tiers={tier: lane_name(number) for tier, number in SERVICE_TIERS.items()},
    )


def lane_name(number: int) -> str:
    """Return the name of a lane's number."""
    return next(name for name, found in LANE_NAMES.items() if found == number)


def _example_id(catalog: Catalog, at_micros: int) -> str:
    found = views.example_model(catalog, at_micros)
    return found.public_id if found is not None else "MODEL"


def _price_words() -> dict[str, Any]:
    return {
        "columns": [(one, DIMENSION_WORDS[one]) for one in MAIN_DIMENSIONS],
        "dimensions": list(DIMENSION_WORDS.values()),
    }
