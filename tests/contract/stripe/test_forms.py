"""The form encoding, as the SDK writes it and as nobody should."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe._encode import _api_encode

from tools.stripe_sim import forms, params
from tools.stripe_sim.errors import InvalidRequest, MissingParameter, UnknownParameter
from tools.stripe_sim.params import shape_of

NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
TEXTS = st.text(max_size=8)
TREES = st.recursive(
    TEXTS,
    lambda inner: st.one_of(
        st.dictionaries(NAMES, inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=8,
)


def positions(tree: Any) -> Any:
    """Return a tree with lists as the nodes that a form can express."""
    if isinstance(tree, list):
        return {str(number): positions(one) for number, one in enumerate(tree)}
    if isinstance(tree, dict):
        return {key: positions(one) for key, one in tree.items()}
    return tree


@given(st.dictionaries(NAMES, TREES, max_size=4))
def test_what_the_sdk_encodes_is_read_back(tree: dict[str, Any]) -> None:
    """Nested objects and lists, any text."""
    encoded = urlencode(list(_api_encode(tree))).encode()
    try:
        read = forms.decode(encoded)
    except forms.FormIsBadError as fault:
        assert fault.sentence == "a key of the form is too deep"  # noqa: PT017
        return
    assert read == positions(tree)


@given(st.binary(max_size=60) | st.from_regex(rb"([ab\[\]0-9]{0,6}=?&?){0,4}", fullmatch=True))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Nothing else happens."""
    try:
        read = forms.decode(body)
    except forms.FormIsBadError:
        return
    assert all(isinstance(key, str) for key in read)


@pytest.mark.parametrize(
    "body",
    [
        b"a[b=1",
        b"a]b[=1",
        b"[a]=1",
        b"=1",
        b"a=1&a[b]=2",
        b"a[b]=2&a=1",
        b"a" + b"[b]" * forms.DEPTH_MAX + b"=1",
        b"a=%FF",
        b"\xff=1",
        b"&".join([b"a=1"] * (forms.PAIRS_MAX + 1)),
        b"a=" + b"1" * forms.BYTES_MAX,
    ],
)
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    """Brackets, conflicts, depth, characters, size."""
    with pytest.raises(forms.FormIsBadError):
        forms.decode(body)


def test_positions_without_a_number_follow_each_other() -> None:
    """As `expand[]=a&expand[]=b`."""
    assert forms.decode(b"expand[]=a&expand[]=b") == {"expand": {"0": "a", "1": "b"}}


def read(name: str, body: bytes) -> dict[str, Any]:
    """Read a form by a class of parameters."""
    return params.read(shape_of(name), forms.decode(body))


def test_values_have_the_types_of_the_sdk() -> None:
    """Integers, booleans, lists by position, free keys."""
    body = b"amount=5&currency=usd&confirm=true&metadata[a]=1&expand[1]=y&expand[0]=x"
    assert read("PaymentIntentCreateParams", body) == {
        "amount": 5,
        "currency": "usd",
        "confirm": True,
        "metadata": {"a": "1"},
        "expand": ["x", "y"],
    }


@pytest.mark.parametrize(
    "body",
    [
        b"amount=5.0",
        b"amount=",
        b"amount=1e3",
        b"amount[a]=1",
        b"reason=because",
        b"metadata=free",
        b"expand=latest",
        b"expand[x]=1",
    ],
)
def test_a_value_of_another_type_is_refused(body: bytes) -> None:
    """No guess at what was meant."""
    with pytest.raises(InvalidRequest):
        read("RefundCreateParams", body)


def test_what_the_sdk_does_not_know_is_refused_at_any_depth() -> None:
    """The error names the parameter as the caller wrote it."""
    with pytest.raises(UnknownParameter) as caught:
        read("RefundCreateParams", b"ammount=5")
    assert caught.value.param == "ammount"
    with pytest.raises(UnknownParameter) as caught:
        read("checkout.SessionCreateParams", b"line_items[0][price_data][prize]=5")
    assert caught.value.param == "line_items[0][price_data][prize]"


def test_a_required_parameter_is_missed() -> None:
    """By the SDK's own marks."""
    with pytest.raises(MissingParameter) as caught:
        read("PaymentIntentCreateParams", b"amount=5")
    assert caught.value.param == "currency"
