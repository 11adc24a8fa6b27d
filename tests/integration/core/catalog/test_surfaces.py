"""Kinds of models, surfaces and data policies of upstreams, states of endpoints."""

from __future__ import annotations

import pytest

from core.catalog.messages import snapshot_message
from core.catalog.model import DATA_POLICIES, ENDPOINTS, KINDS, STATUSES
from kit.reasons import InvalidArgument
from oneapi.catalog.v1.catalog_pb2 import EndpointState, Model
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.integration.core.catalog.documents import (
    ACME,
    CHAT,
    SEALER,
    acme,
    catalog_of,
    document,
    load,
    model,
    state,
)
from tests.integration.core.conftest import World


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (document(model(kind="video")), "models.0.kind"),
        (document(upstreams=[acme(surfaces=["chats"])]), "upstreams.0.surfaces.0"),
        (document(upstreams=[acme(surfaces=["responses"] * 2)]), "upstreams.0.surfaces"),
        (document(upstreams=[acme(data_policy="none")]), "upstreams.0.data_policy"),
        (
            document(model(routes=[{"candidates": [{**ACME, "surfaces": ["embeddings"]}]}])),
            "models.0.routes.candidates.surfaces",
        ),
        (
            document(model(routes=[{"candidates": [{**ACME, "surfaces": [CHAT, CHAT]}]}])),
            "models.0.routes.0.candidates.surfaces",
        ),
        (document(endpoints=[state("embeddings")] * 2), "endpoints.endpoint"),
        (document(endpoints=[state("embeddings", status="maybe")]), "endpoints.0.status"),
        (document(endpoints=[state("embeddings", note="x" * 201)]), "endpoints.0.note"),
    ],
)
async def test_a_wrong_document_is_refused_by_place(
    world: World, content: bytes, place: str
) -> None:
    """A candidate has no more than its upstream; nothing is said twice."""
    with pytest.raises(InvalidArgument) as caught:
        await load(world, content)
    assert place in caught.value.metadata["fields"]


async def test_kinds_surfaces_and_policies_come_back_in_a_fixed_order(world: World) -> None:
    """However a document lists them, the same facts are no change."""
    one = {**ACME, "surfaces": ["responses", CHAT]}
    for surfaces in (["embeddings", "responses", CHAT], [CHAT, "responses", "embeddings"]):
        told = acme(surfaces=surfaces, data_policy="zero_retention")
        routes = [{"candidates": [one | {"surfaces": one["surfaces"][::-1]}]}]
        await load(world, document(model(kind="text", routes=routes), upstreams=[told]))
        assert await load(world, document(model(routes=routes), upstreams=[told])) == []
    catalog = await catalog_of(world)
    facts = catalog.upstreams["acme"].facts
    assert facts.surfaces == (CHAT, "responses", "embeddings")
    assert facts.data_policy == "zero_retention"
    (candidate,) = catalog.models["m-one"].routes[0].candidates
    assert candidate.surfaces == (CHAT, "responses")


async def test_what_changes_of_an_upstream_is_said(world: World) -> None:
    """An operator sees that a policy got worse before it is imported."""
    told = acme(surfaces=["responses"], data_policy="zero_retention")
    (line,) = await load(world, document(upstreams=[told]))
    assert line.after == (
        "base_url https://acme.example/v1, dialect openai, surfaces responses,"
        " data_policy zero_retention"
    )
    (line,) = await load(world, document(upstreams=[{**told, "data_policy": "trains"}]))
    assert (line.before, line.after) == ("data_policy zero_retention", "data_policy trains")


async def test_nothing_said_of_an_upstream_is_not_known(world: World) -> None:
    """A document that forgets the policy promises nothing."""
    await load(world, document(model()))
    facts = (await catalog_of(world)).upstreams["acme"].facts
    assert (facts.surfaces, facts.data_policy) == ((), "unknown")
    message = snapshot_message(await catalog_of(world), 1, SEALER).upstreams[0].upstream
    assert message.data_policy == DataPolicy.DATA_POLICY_UNSPECIFIED


async def test_a_model_s_kind_is_told_and_kept(world: World) -> None:
    """A new model says it, edges get it."""
    lines = await load(world, document(model(kind="embedding")))
    (told,) = [line.after for line in lines if line.kind == "model"]
    assert told.startswith("kind embedding, ")
    (message,) = snapshot_message(await catalog_of(world), 1, SEALER).models
    assert message.kind == Model.KIND_EMBEDDING
    (line,) = await load(world, document(model(kind="image")))
    assert (line.before, line.after) == ("kind embedding", "kind image")


async def test_an_endpoint_s_state_is_replaced_as_a_whole(world: World) -> None:
    """A document without any leaves them; one with an empty list takes them back."""
    said = [state("responses", "not_available", "Soon."), state(CHAT, "ready")]
    lines = await load(world, document(endpoints=said), dry_run=True)
    assert (await catalog_of(world)).endpoints == ()
    assert await load(world, document(endpoints=said)) == lines
    assert [(line.kind, line.name, line.before, line.after) for line in lines[1:]] == [
        ("endpoint", CHAT, "", "status ready"),
        ("endpoint", "responses", "", "status not_available, note Soon."),
    ]
    assert await load(world, document(endpoints=said[::-1])) == []
    assert await load(world, document()) == []
    sent = snapshot_message(await catalog_of(world), 1, SEALER).endpoints
    assert [(one.endpoint, one.status, one.note) for one in sent] == [
        (Endpoint.ENDPOINT_CHAT_COMPLETIONS, EndpointState.STATUS_READY, ""),
        (Endpoint.ENDPOINT_RESPONSES, EndpointState.STATUS_NOT_AVAILABLE, "Soon."),
    ]
    (first, second) = await load(world, document(endpoints=[]))
    assert (first.after, second.after) == ("", "")
    assert (await catalog_of(world)).endpoints == ()


def test_names_and_numbers_are_those_of_the_contract() -> None:
    """They are stored by number: an order that differs would rename what is stored."""
    assert [f"ENDPOINT_{name.upper()}" for name in ENDPOINTS] == Endpoint.keys()[1:]
    assert [f"KIND_{name.upper()}" for name in KINDS] == Model.Kind.keys()[1:]
    assert [f"STATUS_{name.upper()}" for name in STATUSES] == EndpointState.Status.keys()[1:]
    assert [f"DATA_POLICY_{name.upper()}" for name in DATA_POLICIES[1:]] == DataPolicy.keys()[1:]
    assert DATA_POLICIES[0] == "unknown"
