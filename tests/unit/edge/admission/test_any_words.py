"""Whatever a client writes into our headers and names: a choice, or an error with a code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.admission.admit import MAX_COST_NANOS, _ceiling
from edge.api.http import api_key_of
from edge.errors import ApiError
from kit.secret import is_well_formed, new_secret, secret_hash
from tests.unit.edge.admission.doubles import grant
from tests.unit.edge.admission.world import PEPPER, AdmissionWorld

BYTES = st.binary(max_size=70)
HEADER = BYTES.map(lambda value: str(value, "latin-1"))
AMOUNTS = st.text("0123456789.-+eE_ ,infaINFx", max_size=14)
NAMES = st.sampled_from(["small", "small:economy", "unpriced", "unrouted", "off", "dark", ":", ""])
LANES = st.sampled_from(["default", "economy", "coding", "priority", "opportunistic"])
TIERS = st.none() | st.sampled_from(["flex", "priority", "auto", []]) | st.integers() | st.text()


def attempt(make: Callable[[], Any]) -> tuple[Any, ApiError | None]:
    """Return what is made, or the error of ours; any other exception fails the test."""
    try:
        return make(), None
    except ApiError as error:
        return None, error


@given(HEADER | AMOUNTS | st.decimals().map(str) | st.floats().map(str))
def test_any_ceiling_is_an_amount_above_zero_or_refused(text: str) -> None:
    """Never none by mistake, never an amount that overflows."""
    ceiling, error = attempt(lambda: _ceiling(text))
    if error is None:
        assert 0 < ceiling <= MAX_COST_NANOS
    else:
        assert (error.status, error.code) == (400, "invalid_max_cost")


@given(NAMES | st.text(max_size=20), st.none() | LANES | HEADER, TIERS)
async def test_any_model_and_lane_are_a_choice_or_refused(
    name: str, lane: str | None, service_tier: Any
) -> None:
    """Unknown, unpriced, unrouted: each has its code and none is a fault."""
    admission = AdmissionWorld().admission
    choice, error = attempt(lambda: admission.choose(grant(), name, lane, service_tier))
    if error is None:
        assert choice.model.public_id in {"small", "dark"}
    else:
        assert error.code in {"model_not_found", "unknown_lane", "model_not_priced", "no_upstream"}


@given(st.sampled_from([b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"]), BYTES)
def test_any_bytes_as_a_key_are_judged_without_a_look_up(name: bytes, value: bytes) -> None:
    """A key that is no secret of ours never gets as far as a hash."""
    key = api_key_of({name: b"Bearer " + value}, b"")
    assert not is_well_formed(key)
    assert len(secret_hash(key, PEPPER)) == 32


@given(st.integers(0, 57), st.integers(1, 255))
def test_one_wrong_byte_in_a_key_is_noticed(place: int, change: int) -> None:
    """Also where it is no letter."""
    secret = bytearray(new_secret().encode())
    secret[place] ^= change
    assert not is_well_formed(str(bytes(secret), "latin-1"))
