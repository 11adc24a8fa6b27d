"""What the pages show of the catalogue, in the words of people."""

from __future__ import annotations

from dataclasses import dataclass

from edge.admission.catalog import LANE_NAMES, Catalog, Kind, Model
from edge.api.models import policy_name
from edge.pages.openapi import state_of
from edge.pages.operations import OPERATIONS, maker_of, other_paths
from edge.pages.prices import PriceView, counted_in, lane_words, prices_of
from edge.translate.operation import EVENTS, Operation


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model that can be used."""

    model: Model
    kind: str
    lanes: tuple[str, ...]
    policies: tuple[str, ...]
    prices: tuple[PriceView, ...]
    counted_in: str
    """What is not counted in tokens, as a sentence; empty where everything is."""

    @property
    def id(self) -> str:
        """Return what clients send."""
        return self.model.public_id

    @property
    def name(self) -> str:
        """Return what people call it."""
        return self.model.display_name or self.model.public_id

    @property
    def lane_words(self) -> str:
        """Return its lanes for people."""
        return lane_words(self.lanes)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Return what it can do, as words."""
        return tuple(word.replace("_", " ") for word in self.model.capabilities)

    @property
    def aliases(self) -> list[str]:
        """Return its other names."""
        return sorted(self.model.names - {self.model.public_id})


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An operation and its state."""

    operation: Operation
    state: str
    note: str
    others: tuple[str, ...]

    @property
    def maker(self) -> str:
        """Return whose API it is."""
        return maker_of(self.operation.api)

    @property
    def streams(self) -> bool:
        """Say whether it can answer with server-sent events."""
        return EVENTS in self.operation.answers

    @property
    def anchor(self) -> str:
        """Return the name of its place on the page."""
        return self.operation.name


def models_of(catalog: Catalog, at_micros: int) -> list[ModelView]:
    """Return all models that can be used, by maker and id."""
    views = [model_view(catalog, model, at_micros) for model in catalog.servable(at_micros)]
    return sorted(views, key=lambda view: (view.model.maker, view.id))


def model_view(catalog: Catalog, model: Model, at_micros: int) -> ModelView:
    """Return what the pages tell of a model."""
    prices = tuple(prices_of(catalog, model, at_micros))
    served = {lane for price in prices for lane in price.lanes}
    return ModelView(
        model=model,
        kind=Kind.Name(Kind.ValueType(model.kind)).removeprefix("KIND_").lower(),
        lanes=tuple(lane for lane in LANE_NAMES if lane in served),
        policies=tuple(
            policy_name(policy).replace("_", " ") for policy in catalog.data_policies(model)
        ),
        prices=prices,
        counted_in=counted_in(model),
    )


def endpoints_of(catalog: Catalog) -> list[EndpointView]:
    """Return every operation with its state in this catalogue."""
    return [
        EndpointView(
            operation,
            state_of(operation, catalog),
            catalog.endpoint_note(operation.endpoint),
            tuple(other_paths(operation)),
        )
        for operation in OPERATIONS
    ]


def by_maker(views: list[ModelView]) -> dict[str, list[ModelView]]:
    """Return models by who made them, in order."""
    found: dict[str, list[ModelView]] = {}
    for view in views:
        found.setdefault(view.model.maker, []).append(view)
    return found


def example_model(catalog: Catalog, at_micros: int) -> Model | None:
    """Return the model of the examples: `demo` where it is, else a text model that can be used."""
    demo = catalog.named("demo")
    if demo is not None:
        return demo
    texts = [one for one in catalog.servable(at_micros) if one.kind == Kind.KIND_TEXT]
    return texts[0] if texts else None
