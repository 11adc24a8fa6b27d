"""What a method of the API is: where it is found, which parameters it takes, who answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.stripe_sim.errors import Json, NotSimulated
from tools.stripe_sim.world import World


@dataclass(frozen=True, slots=True)
class Call:
    """One request whose parameters are those of its method."""

    url: str
    id: str
    """The id in the path, empty where there is none."""
    params: Json


Handler = Callable[[World, Call], Json]


@dataclass(frozen=True, slots=True)
class Operation:
    """One method. `honoured` names the parameters that have an effect, nested ones with a dot."""

    method: str
    path: str
    params: str
    """The SDK's class of the parameters."""
    handler: Handler
    honoured: frozenset[str] = frozenset()
    opaque: frozenset[str] = frozenset()
    """Texts that the API itself put into an address, such as API v2's page marks."""

    def check_honoured(self, params: Json) -> None:
        """Refuse what Stripe would act upon and the simulator would drop.

        Raises:
            NotSimulated: a parameter has no effect here.
        """
        for name, value in params.items():
            if name == "expand":
                continue
            if name in self.honoured:
                continue
            inner = {one.partition(".")[2] for one in self.honoured if one.startswith(f"{name}.")}
            if not inner:
                raise NotSimulated(name)
            for key in _keys(value):
                if key not in inner:
                    raise NotSimulated(f"{name}[{key}]")


def _keys(value: Any) -> set[str]:
    """Return the keys of an object, or of all objects of a list."""
    if isinstance(value, dict):
        return set(value)
    if isinstance(value, list):
        return {key for one in value for key in _keys(one)}
    return set()


def words(text: str) -> frozenset[str]:
    """Return the names in a text."""
    return frozenset(text.split())
