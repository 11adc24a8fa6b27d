"""What clients can rely on: errors, lanes, ceilings, idempotency, fallback, headers."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from kit.ids import new_request_id
from kit.secret import new_secret
from oneapi.common.v1.lane_pb2 import Lane
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.support.processes import until
from tests.support.replay.client import ReplayProcess
from tests.support.stack import STREAM, TEXT, Stack, public_ids

TEXT_MODEL = public_ids()[TEXT]
STREAM_MODEL = public_ids()[STREAM]
MESSAGES = [{"role": "user", "content": "Name a thing that is blue."}]


def ask(client: httpx.Client, model: str = TEXT_MODEL, **body: Any) -> httpx.Response:
    """Send a chat; names with a dash are headers."""
    headers = {name: body.pop(name) for name in list(body) if "-" in name}
    sent = {"model": model, "messages": MESSAGES, **body}
    return client.post("/chat/completions", json=sent, headers=headers)


def code(answer: httpx.Response) -> tuple[int, str | None]:
    """Return status and code of an error, whose envelope is OpenAI's."""
    error = answer.json()["error"]
    assert error.keys() >= {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"].startswith("req_")
    return answer.status_code, error["code"]


def last_body(replay: ReplayProcess) -> dict[str, Any]:
    """Return the last request that the upstream saw."""
    body: dict[str, Any] = replay.calls().requests[-1].body
    return body


@pytest.mark.parametrize(
    "secret",
    ["garbled", "sk-proj-123", new_secret(), "1ac_live_" + "0" * 49],
    ids=["garbled", "another's", "unknown", "wrong checksum"],
)
def test_a_wrong_key_is_401_and_is_never_repeated(stack: Stack, secret: str) -> None:
    """Garbled, somebody else's, well formed but unknown."""
    with stack.client(secret) as client:
        answer = ask(client)
    assert code(answer) == (401, "invalid_api_key")
    assert secret not in answer.text


def test_no_key_is_401_and_a_key_in_the_url_is_refused(stack: Stack) -> None:
    """URLs are logged by everyone on the way."""
    url = f"{stack.base_url}/chat/completions"
    assert httpx.post(url, json={}, trust_env=False).status_code == 401
    assert code(httpx.post(f"{url}?key=abc", json={}, trust_env=False)) == (400, "api_key_in_url")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"model": "no-such-model"}, (404, "model_not_found")),
        ({"model": f"{TEXT_MODEL}:later"}, (404, "model_not_found")),
        ({"model": 5}, (400, "invalid_type")),
        ({"model": TEXT_MODEL, "messages": "hi"}, (400, "invalid_type")),
        ({"model": TEXT_MODEL, "messages": []}, (400, "empty_array")),
        ({"model": TEXT_MODEL, "max_tokens": 0}, (400, "integer_below_min_value")),
        ({"model": TEXT_MODEL, "max_tokens": "many"}, (400, "invalid_type")),
        ({"model": TEXT_MODEL, "stream": "yes"}, (400, "invalid_type")),
        ({"model": f"{TEXT_MODEL}:coding"}, (400, "model_not_priced")),
    ],
)
def test_what_cannot_be_served_is_refused_before_anything_is_sent(
    client: httpx.Client, replay: ReplayProcess, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    """A code for each, no upstream call, no charge."""
    assert code(ask(client, **body)) == expected
    assert replay.calls().total == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": "\xff"}', b"null"])
def test_a_body_that_is_no_json_object_is_400(client: httpx.Client, content: bytes) -> None:
    """Whatever the bytes, the envelope is OpenAI's."""
    assert code(client.post("/chat/completions", content=content)) == (400, "invalid_json")


def test_unknown_paths_and_methods_have_the_envelope(client: httpx.Client) -> None:
    """SDKs parse errors of any path."""
    assert code(client.get("/nothing")) == (404, "unknown_url")
    assert code(client.get("/chat/completions")) == (404, "endpoint_not_available")
    wrong = client.get("/embeddings")
    assert code(wrong) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    # A redirect would lead to whatever host the client named.
    assert code(client.post("/embeddings/")) == (404, "unknown_url")


def test_the_catalogue_is_readable_by_anyone(stack: Stack) -> None:
    """Models by id and as a list, without a key (P6)."""
    listed = httpx.get(f"{stack.base_url}/models", trust_env=False).json()["data"]
    assert {TEXT_MODEL, "fallback"} <= {one["id"] for one in listed}
    one = httpx.get(f"{stack.base_url}/models/{TEXT_MODEL}", trust_env=False).json()
    assert (one["id"], one["object"], one["owned_by"]) == (TEXT_MODEL, "model", "tests")
    assert code(httpx.get(f"{stack.base_url}/models/none", trust_env=False))[0] == 404


def output_limits(replay: ReplayProcess) -> set[int | None]:
    """Return the output limits of the last request that the upstream saw."""
    body = last_body(replay)
    return {body.get("max_tokens"), body.get("max_completion_tokens")}


def make_key(stack: Stack, *options: str, workspace: str = "") -> str:
    """Make a key by the command line; return its secret."""
    place = ("--workspace", workspace or stack.workspace_id)
    made = stack.run("key", "create", "Test", *place, *options)
    return next(value for value in walk(made) if value.startswith("1ac_live_") and len(value) > 20)


def walk(value: Any) -> list[str]:
    """Return all texts in a JSON value."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in walk(one)]
    if isinstance(value, list):
        return [text for one in value for text in walk(one)]
    return [value] if isinstance(value, str) else []


def test_an_explicit_limit_that_cannot_be_paid_for_is_402(stack: Stack, replay: Any) -> None:
    """The answer says what could be paid for, and that a retry does not help."""
    workspace = stack.empty_workspace()
    with stack.client(make_key(stack, workspace=workspace)) as client:
        empty = ask(client, max_tokens=100)
        assert code(empty) == (402, "insufficient_credits")
        assert empty.headers["x-should-retry"] == "false"
        stack.grant(14_000_000, workspace)
        # A refusal is repeated for a quarter of a second without asking core again.
        until(lambda: "at most" in ask(client, max_tokens=8_192).json()["error"]["message"])
        assert code(ask(client, max_tokens=8_192)) == (402, "insufficient_credits")
        served = ask(client)
        assert served.status_code == 200
        applied = int(served.headers["x-1api-max-tokens-applied"])
        assert applied in output_limits(replay)


def test_a_used_up_limit_is_429_with_its_headers(stack: Stack, replay: Any) -> None:
    """Headers are on success too, never promise more than is left, and durations are OpenAI's."""
    with stack.client(make_key(stack, "--requests-per-minute", "2")) as client:
        first = ask(client)
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-reset-requests"].endswith("s")
        answers = [ask(client) for _ in range(3)]
    refused = answers[-1]
    assert code(refused) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) >= 1
    assert int(refused.headers["retry-after-ms"]) >= 1
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-ratelimit-reset-requests"].endswith("s")


@pytest.mark.parametrize(
    ("model", "extra", "lane"),
    [
        (TEXT_MODEL, {}, Lane.LANE_DEFAULT),
        (TEXT_MODEL, {"x-delivery-lane": "economy"}, Lane.LANE_ECONOMY),
        (f"{TEXT_MODEL}:priority", {}, Lane.LANE_PRIORITY),
        (TEXT_MODEL, {"service_tier": "flex"}, Lane.LANE_ECONOMY),
        (TEXT_MODEL, {"service_tier": "priority"}, Lane.LANE_PRIORITY),
    ],
)
def test_the_lane_is_chosen_by_header_suffix_or_service_tier(
    stack: Stack, client: httpx.Client, model: str, extra: dict[str, Any], lane: int
) -> None:
    """The record keeps what was asked for and what served."""
    answer = ask(client, model, **extra)
    assert answer.status_code == 200
    assert answer.json()["model"] == TEXT_MODEL
    usage = stack.usage(answer.headers["x-request-id"])
    requested = 0 if lane == Lane.LANE_DEFAULT else lane
    assert (usage.requested_lane, usage.served_lane) == (requested, lane)


def test_a_service_tier_that_chose_our_lane_is_not_sent_on(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """It would change the provider's price behind ours."""
    ask(client, service_tier="flex")
    assert "service_tier" not in last_body(replay)


def test_the_cost_ceiling_caps_the_output_and_is_the_hold(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """`x-max-cost` is what can be charged at most."""
    answer = ask(client, **{"x-max-cost": "0.0145"})
    assert answer.status_code == 200
    usage = stack.usage(answer.headers["x-request-id"])
    assert usage.hold.amount_nanos == 14_500_000
    applied = int(answer.headers["x-1api-max-tokens-applied"])
    assert applied in output_limits(replay)
    assert float(answer.json()["usage"]["cost"]) <= 0.0145


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("0.000001", "max_cost_too_low"), ("free", "invalid_max_cost"), ("-1", "invalid_max_cost")],
)
def test_a_ceiling_that_cannot_be_kept_is_400(
    client: httpx.Client, replay: ReplayProcess, amount: str, expected: str
) -> None:
    """Never served above it, never ignored."""
    assert code(ask(client, **{"x-max-cost": amount})) == (400, expected)
    assert replay.calls().total == 0


def test_an_idempotency_key_never_causes_a_second_call(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """The second request is told about the first and its charge; no answer is kept."""
    key = {"idempotency-key": new_request_id().hex()}
    first = ask(client, **key)
    usage = stack.usage(first.headers["x-request-id"])
    again = ask(client, **key)
    assert code(again) == (409, "idempotency_key_reused")
    error = again.json()["error"]
    assert error["request_id"] == usage.request_id
    assert error["charge"] == first.json()["usage"]["cost"]
    assert again.headers["x-should-retry"] == "false"
    assert replay.calls().counts == {TEXT: 1}


def test_an_idempotency_key_of_a_running_request_is_in_progress(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """Two at once are one."""
    key = {"idempotency-key": new_request_id().hex()}
    replay.set_faults(STREAM, stall_at_event=2)
    body = {"model": STREAM_MODEL, "messages": MESSAGES, "stream": True}
    with client.stream("POST", "/chat/completions", json=body, headers=key) as running:
        chunks = running.iter_raw()
        next(chunks)
        with stack.client() as other:
            again = ask(other, STREAM_MODEL, **key)
    assert code(again) == (409, "request_in_progress")
    assert again.json()["error"]["request_id"] == running.headers["x-request-id"]


def test_a_refused_request_leaves_its_idempotency_key_free(client: httpx.Client) -> None:
    """Nothing was accepted, so the corrected request may use the key."""
    key = {"idempotency-key": new_request_id().hex()}
    assert ask(client, "no-such-model", **key).status_code == 404
    assert ask(client, **key).status_code == 200


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 429}, {"reset": True}])
def test_a_failing_upstream_leads_to_the_next_candidate(
    stack: Stack, client: httpx.Client, replay: ReplayProcess, fault: dict[str, Any]
) -> None:
    """The client sees the answer, the record both attempts."""
    replay.set_faults(TEXT, **fault)
    body = {"model": "fallback", "messages": MESSAGES, "stream": True}
    answer = client.post("/chat/completions", json=body)
    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("[DONE]")
    usage = stack.usage(answer.headers["x-request-id"])
    assert len(usage.attempts) >= 2 or usage.attempts[0].http_status == 200
    assert usage.upstream == "openai"
    assert usage.outcome == record.OUTCOME_SUCCEEDED


def test_all_candidates_failing_is_one_error_without_a_charge(
    stack: Stack, client: httpx.Client, replay: ReplayProcess
) -> None:
    """An upstream's 5xx is a 502 of ours; its text is not passed on."""
    replay.set_faults(status=503)
    answer = ask(client)
    assert code(answer) == (502, "upstream_failed")
    assert "replayed" not in answer.text
    usage = stack.usage(answer.headers["x-request-id"])
    assert (usage.charge.amount_nanos, usage.http_status) == (0, 502)
    assert usage.error_class == record.ERROR_CLASS_UPSTREAM_FAILED


def test_only_our_own_headers_reach_the_upstream(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """No cookie, no key of the client's, no address."""
    private = {
        "cookie": "session=1",
        "x-forwarded-for": "10.0.0.1",
        "openai-organization": "org",
        "user-agent": "client/1",
        "x-stainless-os": "Linux",
        "x-custom": "1",
    }
    body = {"model": TEXT_MODEL, "messages": MESSAGES}
    assert client.post("/chat/completions", json=body, headers=private).status_code == 200
    seen = replay.calls().requests[-1].headers
    framing = {"host", "content-length", "connection", "accept-encoding"}
    allowed = framing | {"content-type", "authorization", "accept", "user-agent"}
    assert seen.keys() <= allowed
    assert seen["authorization"] == "Bearer credential-of-openai"
    assert "client/1" not in json.dumps(seen)


def test_unknown_fields_pass_and_usage_is_always_asked_for(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """What we do not use is the provider's affair; what we bill by is asked for."""
    body = {"model": STREAM_MODEL, "messages": MESSAGES, "stream": True, "new_field": {"a": [1]}}
    answer = client.post("/chat/completions", json=body)
    sent = last_body(replay)
    assert (sent["new_field"], sent["stream_options"]) == ({"a": [1]}, {"include_usage": True})
    assert '"usage"' not in answer.text


def test_nothing_is_stored_at_the_provider(client: httpx.Client, replay: ReplayProcess) -> None:
    """`store` would keep content outside of the request's life (P1)."""
    ask(client, store=True)
    assert last_body(replay)["store"] is False


def test_of_duplicate_names_the_last_one_is_used_and_sent(
    client: httpx.Client, replay: ReplayProcess
) -> None:
    """What we bill is what the upstream sees."""
    content = (
        f'{{"model": "gpt-none", "model": "{TEXT_MODEL}", "max_tokens": 9, "max_tokens": 7,'
        f'"messages": {json.dumps(MESSAGES)}}}'
    )
    assert client.post("/chat/completions", content=content).status_code == 200
    assert last_body(replay)["max_tokens"] == 7
