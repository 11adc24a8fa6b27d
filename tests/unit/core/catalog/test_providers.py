"""Where credentials and addresses of upstreams come from."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from core.catalog.model import UpstreamFacts
from core.catalog.providers import DEMO_PATHS, Providers


def facts(name: str) -> UpstreamFacts:
    """An upstream at its usual address."""
    return UpstreamFacts(name=name, base_url="https://usual.example/v1")


@pytest.mark.parametrize(
    ("upstream", "variable"),
    [
        ("openai", "OPENAI_API_KEY"),
        ("google", "GEMINI_API_KEY"),
        ("togetherai", "TOGETHER_API_KEY"),
        ("moonshotai", "MOONSHOT_API_KEY"),
        ("my-own.box", "MY_OWN_BOX_API_KEY"),
    ],
)
def test_a_credential_is_in_the_variable_of_its_upstream(upstream: str, variable: str) -> None:
    """The names that providers' own tools read."""
    assert Providers({variable: "secret"}).credential_of(upstream) == b"secret"


@pytest.mark.parametrize("variables", [{}, {"OPENAI_API_KEY": ""}, {"OPENAI_API_KEY": " \n"}])
def test_no_variable_or_an_empty_one_is_no_credential(variables: dict[str, str]) -> None:
    """An empty variable is how shells say none."""
    assert Providers(variables).credential_of("openai") is None


def test_a_base_url_points_elsewhere() -> None:
    """Without the slash at its end, which would be doubled."""
    moved = Providers({"OPENAI_BASE_URL": "http://127.0.0.1:9/v1/"}).placed(facts("openai"))
    assert moved.base_url == "http://127.0.0.1:9/v1"
    assert Providers({}).placed(facts("openai")) == facts("openai")


@pytest.mark.parametrize(
    ("address", "policy"),
    [
        ("https://usual.example/v2", "zero_retention"),
        ("https://USUAL.example/v1/", "zero_retention"),
        ("https://other.example/v1", "unknown"),
        ("https://eu.usual.example/v1", "unknown"),
        ("https://usual.example.evil.test/v1", "unknown"),
        ("https://usual.example@other.example/v1", "unknown"),
        ("https://usual.example:8443/v1", "unknown"),
        ("http://usual.example/v1", "unknown"),
    ],
)
def test_who_answers_elsewhere_has_promised_nothing(address: str, policy: str) -> None:
    """The class is what the terms of one provider say, and another host may be anyone's."""
    kept = facts("openai").model_copy(update={"data_policy": "zero_retention"})
    moved = Providers({"OPENAI_BASE_URL": address}).placed(kept)
    assert moved.data_policy == policy


def test_the_demo_provider_keeps_its_class() -> None:
    """It is ours, wherever it listens."""
    kept = facts("demo").model_copy(update={"data_policy": "zero_retention"})
    assert Providers({}, "http://127.0.0.1:7/v1").placed(kept).data_policy == "zero_retention"


def test_a_base_url_that_is_none_is_refused_without_showing_it() -> None:
    """A credential pasted into the wrong variable must not get into a log."""
    with pytest.raises(ValidationError) as caught:
        Providers({"OPENAI_BASE_URL": "sk-CNYsecret"}).placed(facts("openai"))
    assert "CNYsecret" not in str(caught.value)


def test_the_demo_provider_needs_an_address_only() -> None:
    """It runs on this machine or not at all."""
    assert Providers({}).credential_of("demo") is None
    here = Providers({}, demo_base_url="http://127.0.0.1:7/v1")
    assert here.credential_of("demo") == b"demo"
    assert here.placed(facts("demo")).base_url == "http://127.0.0.1:7/v1"


@pytest.mark.parametrize("address", ["http://127.0.0.1:7/v1", "http://127.0.0.1:7/v1/"])
def test_the_demo_provider_s_other_apis_are_beside_the_first(address: str) -> None:
    """One process, one address, a path for each dialect."""
    here = Providers({}, demo_base_url=address)
    placed = {name: here.placed(facts(name)).base_url for name in DEMO_PATHS}
    assert placed == {
        "demo": "http://127.0.0.1:7/v1",
        "demo-anthropic": "http://127.0.0.1:7/v1",
        "demo-google": "http://127.0.0.1:7/v1beta",
    }
    assert all(here.credential_of(name) == b"demo" for name in DEMO_PATHS)
    assert all(Providers({}).credential_of(name) is None for name in DEMO_PATHS)


def test_of_an_environment_only_provider_variables_are_kept() -> None:
    """Core's memory need not hold the rest."""
    kept = Providers.of_environment({"OPENAI_API_KEY": "a", "DATABASE_URL": "b"}, None)
    assert dict(kept.variables) == {"OPENAI_API_KEY": "a"}
    assert "'a'" not in repr(kept)
