"""The list of models: anyone may ask for it, so it must cost next to nothing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from anthropic.pagination import SyncPage
from anthropic.types import ModelInfo
from starlette.requests import Request

from edge.api.models import OPENAI, Models
from kit.secret import new_secret
from oneapi.common.v1.data_policy_pb2 import DataPolicy
from tests.unit.edge.admission.world import AdmissionWorld, snapshot


def models_of(world: AdmissionWorld) -> Models:
    """Return the endpoint of a world."""
    return Models(world.link, world.admission, world.clock)


async def listed(models: Models, **headers: str) -> list[str]:
    """Return the ids that are listed for these headers."""
    answer = await models.list(asked(**headers))
    assert answer.status_code == 200
    return [one["id"] for one in orjson.loads(answer.body)["data"]]


def asked(model: str = "", **headers: str) -> Request:
    """Return a request with these headers."""
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "query_string": b"",
        "client": ("127.0.0.1", 5),
        "path_params": {"model": model},
    }
    return Request(scope)


async def test_the_list_is_made_once_for_a_catalogue_and_a_second() -> None:
    """The same bytes wait for all who read slowly; a change shows at once, a price in a second."""
    world = AdmissionWorld()
    models = models_of(world)
    first = models._list(OPENAI, zero_retention=False)
    assert [one["id"] for one in orjson.loads(first)["data"]] == ["small"]
    assert models._list(OPENAI, zero_retention=False) is first
    assert models._list(OPENAI, zero_retention=True) is not first
    assert models._list(OPENAI, zero_retention=False) is first
    world.mark(catalog=snapshot(2))
    second = models._list(OPENAI, zero_retention=False)
    assert second is not first
    world.clock.pass_time(1.0)
    assert models._list(OPENAI, zero_retention=False) is not second


async def test_a_model_says_its_kind_and_who_may_keep_its_requests() -> None:
    """OpenAI's fields stay; classes of all lanes are named, the worst first, not known as such."""
    world = AdmissionWorld()
    message = snapshot(2)
    message.upstreams[1].upstream.data_policy = DataPolicy.DATA_POLICY_ZERO_RETENTION
    world.mark(catalog=message)
    answer = await models_of(world).get(asked("small-latest"))
    shape = orjson.loads(answer.body)
    assert {"id": "small", "object": "model"}.items() <= shape.items()
    assert {"created", "owned_by"} <= shape.keys()
    assert (shape["kind"], shape["data_policies"]) == ("text", ["unknown", "zero_retention"])


@pytest.mark.parametrize("policy", DataPolicy.values())
async def test_a_key_with_zero_retention_sees_what_it_can_use(
    policy: DataPolicy.ValueType,
) -> None:
    """Everybody else, also with a key that does not work, sees all."""
    world = AdmissionWorld()
    message = snapshot(2)
    for item in message.upstreams:
        item.upstream.data_policy = policy
    world.mark(catalog=message)
    models = models_of(world)
    for headers in (
        {},
        {"authorization": f"Bearer {world.secret}"},
        {"authorization": f"Bearer {new_secret()}"},
        {"authorization": "Bearer nonsense"},
    ):
        assert await listed(models, **headers) == ["small"]
    _require_zero_retention(world)
    fits = policy == DataPolicy.DATA_POLICY_ZERO_RETENTION
    key = {"x-api-key": world.secret}
    assert await listed(models, **key) == (["small"] if fits else [])
    assert (await models.get(asked("small", **key))).status_code == (200 if fits else 404)
    assert await listed(models) == ["small"]


@pytest.mark.parametrize("query", [b"key=secret", b"pageSize=5&key=secret"])
async def test_a_key_in_the_url_is_refused(query: bytes) -> None:
    """Others would log it; whoever gets an answer goes on sending it there."""
    models = models_of(AdmissionWorld())
    for answers in (models.list, models.get):
        request = asked("small")
        request.scope["query_string"] = query
        answer = await answers(request)
        refused = orjson.loads(answer.body)["error"]
        assert (answer.status_code, refused["code"]) == (400, "api_key_in_url")
        assert b"secret" not in answer.body


async def test_what_a_key_requires_cannot_be_known_without_core() -> None:
    """A list that may show too much is not answered; without a key it is."""
    world = AdmissionWorld()
    models = models_of(world)
    world.clock.pass_time(10_000)
    assert not world.link.usable
    refused = await models.list(asked(authorization=f"Bearer {world.secret}"))
    assert (refused.status_code, orjson.loads(refused.body)["error"]["code"]) == (
        503,
        "not_in_touch",
    )
    assert "retry-after" in refused.headers
    assert (
        await models.get(asked("small", authorization=f"Bearer {world.secret}"))
    ).status_code == 503
    assert await listed(models) == ["small"]


def _require_zero_retention(world: AdmissionWorld) -> None:
    for grant in world.grants.grants.values():
        grant.requires_zero_retention = True
        grant.version += 1
        world.mark(grants=[grant])


@pytest.mark.parametrize("header", ["x-goog-api-key", "x-goog-api-client"])
async def test_googles_clients_get_googles_shape(header: str) -> None:
    """They ask where OpenAI's list stands; what only they send tells them apart."""
    models = models_of(AdmissionWorld())
    answer = await models.list(asked(**{header: "nonsense"}))
    (shape,) = orjson.loads(answer.body)["models"]
    assert (shape["name"], shape["inputTokenLimit"] > 0) == ("models/small", True)
    assert shape["supportedGenerationMethods"] == ["generateContent", "streamGenerateContent"]
    one = await models.get(asked("small", **{header: "nonsense"}))
    assert orjson.loads(one.body) == shape
    missing = await models.get(asked("nobody", **{header: "nonsense"}))
    assert missing.status_code == 404
    assert orjson.loads(missing.body)["error"]["status"] == "NOT_FOUND"
    assert await listed(models) == ["small"]


async def test_anthropics_clients_see_the_list_in_their_shape() -> None:
    """Their version tells them apart; errors are theirs as well."""
    models = models_of(AdmissionWorld())
    answer = await models.list(asked(**{"anthropic-version": "2023-06-01"}))
    page = orjson.loads(answer.body)
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "small", "small")
    (one,) = SyncPage[ModelInfo].model_validate_json(bytes(answer.body)).data
    assert (one.id, one.type, one.lifecycle) == ("small", "model", "active")
    missing = await models.get(asked("none", **{"anthropic-version": "2023-06-01"}))
    assert missing.status_code == 404
    assert orjson.loads(missing.body)["error"]["type"] == "not_found_error"
    assert "object" in orjson.loads((await models.list(asked())).body)
