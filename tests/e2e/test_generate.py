"""Google's generateContent over HTTP: natively, and over upstreams that speak otherwise.

The demo provider answers in each API and remembers what reached it; the running service charges.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from oneapi.common.v1 import endpoint_pb2
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.contract.clients.served import APIS, Served, add_models, model
from tests.contract.clients.upstream import DemoUpstream
from tests.contract.test_recordings_chat import events
from tests.support.stack import Stack

HELLO: list[dict[str, Any]] = [{"role": "user", "parts": [{"text": "How high is the tide?"}]}]
TOOLS = [
    {
        "functionDeclarations": [
            {
                "name": "tide_height",
                "parameters": {
                    "type": "OBJECT",
                    "properties": {"harbor": {"type": "STRING"}},
                    "required": ["harbor"],
                },
            }
        ]
    }
]
PIXEL = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
CROSSED = tuple(api for api in APIS if api != "generate")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def served(stack: Stack) -> Iterator[Served]:
    """Give the service with the demo provider of this process behind it, in each API."""
    with DemoUpstream() as demo:
        add_models(stack, demo)
        yield Served(stack, demo)


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    """Give a client whose key is where Google's SDKs put it."""
    with httpx.Client(
        base_url=served.origin,
        headers={"x-goog-api-key": served.stack.api_key},
        timeout=30,
        trust_env=False,
    ) as opened:
        yield opened


def ask(client: httpx.Client, name: str, **fields: Any) -> tuple[Json, httpx.Response]:
    """Ask for a whole answer."""
    body = {"contents": HELLO, **fields}
    answer = client.post(f"/v1beta/models/{name}:generateContent", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json(), answer


def stream(client: httpx.Client, name: str, **fields: Any) -> tuple[list[Json], httpx.Response]:
    """Ask for a stream of events, and read it to its end."""
    body = {"contents": HELLO, **fields}
    answer = client.post(f"/v1beta/models/{name}:streamGenerateContent?alt=sse", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return [json.loads(one) for one in events(answer.text)], answer


def parts_of(*bodies: Json) -> list[Json]:
    """Return the parts of the first candidates."""
    contents = [body["candidates"][0].get("content", {}) for body in bodies]
    return [part for content in contents for part in content.get("parts", ())]


def text_of(*bodies: Json) -> str:
    """Join the text, without thoughts."""
    return "".join(one.get("text", "") for one in parts_of(*bodies) if not one.get("thought"))


def recorded(served: Served, answer: httpx.Response, endpoint: str = "GENERATE_CONTENT") -> Any:
    """Return the record of a request."""
    found = served.stack.usage(answer.headers["x-request-id"])
    assert endpoint_pb2.Endpoint.Name(found.endpoint) == f"ENDPOINT_{endpoint}"
    return found


@pytest.mark.parametrize("api", APIS)
def test_text_is_the_same_in_each_form_and_charged_as_told(
    served: Served, client: httpx.Client, api: str
) -> None:
    """Whole, as events and as an array; the record counts what the answer says."""
    name = model(api, "demo")
    whole, answer = ask(client, name)
    chunks, streamed = stream(client, name)
    path = f"/v1/models/{name}:streamGenerateContent"
    array = client.post(path, json={"contents": HELLO})
    assert array.headers["content-type"].startswith("application/json")
    assert text_of(whole) == text_of(*chunks) == text_of(*array.json()) != ""
    assert whole["modelVersion"] == name
    counts = whole["usageMetadata"]
    for response in (answer, streamed, array):
        found = recorded(served, response)
        assert found.outcome == record.OUTCOME_SUCCEEDED
        assert found.quantities.input_tokens == counts["promptTokenCount"] > 0
        assert found.quantities.output_tokens == counts["candidatesTokenCount"] > 0
        assert found.charge.amount_nanos > 0
    last = chunks[-1]["usageMetadata"]
    assert (last["cost"], last["totalTokenCount"]) == (counts["cost"], counts["totalTokenCount"])


@pytest.mark.parametrize("api", APIS)
def test_functions_are_called_and_answered(client: httpx.Client, api: str) -> None:
    """A round: the call, its result without an id, and the text behind it."""
    name = model(api, "tools")
    config = {"functionCallingConfig": {"mode": "ANY"}}
    chunks, _ = stream(client, name, tools=TOOLS, toolConfig=config)
    (call,) = [part for part in parts_of(*chunks) if "functionCall" in part]
    assert list(call["functionCall"]["args"]) == ["harbor"]
    result = {"name": "tide_height", "response": {"output": "Two meters."}}
    contents = [
        *HELLO,
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [{"functionResponse": result}]},
    ]
    told, _ = ask(client, name, tools=TOOLS, contents=contents)
    assert text_of(told)
    assert told["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.parametrize("api", APIS)
def test_images_thoughts_and_schemas_cross_over(client: httpx.Client, api: str) -> None:
    """And a limit ends the answer."""
    schema = {"type": "OBJECT", "properties": {"a": {"type": "INTEGER"}}, "required": ["a"]}
    contents = [{"parts": [{"text": "What is it?"}, PIXEL]}]
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    found, _ = ask(client, model(api, "demo"), contents=contents, generationConfig=config)
    assert isinstance(json.loads(text_of(found))["a"], int)
    thinking = {"thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True}}
    thought, _ = ask(client, model(api, "demo"), generationConfig=thinking)
    assert [part.get("thought", False) for part in parts_of(thought)] == [True, False]
    assert thought["usageMetadata"]["thoughtsTokenCount"] > 0
    short, _ = ask(client, model(api, "demo"), generationConfig={"maxOutputTokens": 3})
    assert short["candidates"][0]["finishReason"] == "MAX_TOKENS"


@pytest.mark.parametrize("api", APIS)
def test_errors_are_googles(served: Served, client: httpx.Client, api: str) -> None:
    """What the provider refuses, a model that is not there, a field that is missing."""
    for name, body, status, word in (
        (model(api, "refused"), {"contents": HELLO}, 400, "INVALID_ARGUMENT"),
        ("nobody", {"contents": HELLO}, 404, "NOT_FOUND"),
        (model(api, "demo"), {}, 400, "INVALID_ARGUMENT"),
    ):
        answer = client.post(f"/v1beta/models/{name}:generateContent", json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["status"]) == (status, status, word)
        (info,) = error["details"]
        assert info["metadata"]["requestId"] == answer.headers["x-request-id"]
    body = {"contents": HELLO, "tools": [{"googleSearch": {}}]}
    answer = client.post(f"/v1beta/models/{model(api, 'demo')}:generateContent", json=body)
    (info,) = answer.json()["error"]["details"]
    assert info["metadata"]["field"] == "tools[0].googleSearch"


def drained(answer: httpx.Response, pieces: list[bytes]) -> str:
    """Read an answer as far as it goes; say whether it was whole."""
    try:
        pieces.extend(answer.iter_raw())
    except httpx.RemoteProtocolError:
        return "broken"
    return "whole"


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("query", ["?alt=sse", ""])
def test_a_cut_is_seen_and_never_a_clean_end(
    served: Served, client: httpx.Client, api: str, query: str
) -> None:
    """An error as the last event, or as the last element of an array that nobody closed."""
    path = f"/v1beta/models/{model(api, 'cut')}:streamGenerateContent{query}"
    pieces: list[bytes] = []
    with client.stream("POST", path, json={"contents": HELLO}) as answer:
        assert drained(answer, pieces) == "broken"
    seen = b"".join(pieces)
    found = [json.loads(one) for one in events(seen.decode())] if query else json.loads(seen + b"]")
    assert text_of(*found[:-1])
    assert found[-1]["error"]["details"][0]["reason"] == "UPSTREAM_CUT"
    kept = recorded(served, answer)
    assert (kept.outcome, kept.error_class) == (record.OUTCOME_FAILED, record.ERROR_CLASS_CUT)


def test_counting_is_free_and_recorded(served: Served, client: httpx.Client) -> None:
    """The upstream's own count, no quantities, no charge; elsewhere it is refused."""
    body = {"contents": HELLO}
    name = model("generate", "demo")
    answer = client.post(f"/v1/models/{name}:countTokens", json=body)
    told, _ = ask(client, name)
    assert answer.json()["totalTokens"] == told["usageMetadata"]["promptTokenCount"]
    found = recorded(served, answer, "COUNT_TOKENS")
    assert found.outcome == record.OUTCOME_SUCCEEDED
    assert not found.quantities.ListFields()
    assert found.charge.amount_nanos == 0
    for api in CROSSED:
        refused = client.post(f"/v1beta/models/{model(api, 'demo')}:countTokens", json=body)
        reason = refused.json()["error"]["details"][0]["reason"]
        assert (refused.status_code, reason) == (400, "TOKEN_COUNTING_NOT_AVAILABLE")


def test_a_key_in_the_url_is_refused_whatever_the_headers_say(client: httpx.Client) -> None:
    """Others would log it."""
    path = f"/v1beta/models/{model('generate', 'demo')}:generateContent"
    answer = client.post(path, params={"key": "secret"}, json={"contents": HELLO})
    assert answer.status_code == 400
    assert answer.json()["error"]["details"][0]["reason"] == "API_KEY_IN_URL"
    assert "secret" not in answer.text


def test_models_are_listed_in_googles_shape_for_its_clients(
    served: Served, client: httpx.Client
) -> None:
    """Below `/v1` its own headers tell them apart from OpenAI's."""
    name = model("generate", "demo")
    for path in ("/v1beta/models", "/v1/models"):
        listed = {one["name"]: one for one in client.get(path).json()["models"]}
        methods = listed[f"models/{name}"]["supportedGenerationMethods"]
        assert methods == ["generateContent", "streamGenerateContent", "countTokens"]
        assert client.get(f"{path}/{name}").json() == listed[f"models/{name}"]
    openai = httpx.get(f"{served.origin}/v1/models", trust_env=False)
    assert openai.json()["object"] == "list"
    missing = client.get("/v1beta/models/nobody")
    assert (missing.status_code, missing.json()["error"]["status"]) == (404, "NOT_FOUND")
    unknown = client.post(f"/v1beta/models/{name}:embedContent", json={})
    assert unknown.json()["error"]["status"] == "UNIMPLEMENTED"


def test_what_says_who_asks_is_not_forwarded(served: Served, client: httpx.Client) -> None:
    """Labels stay here, and of the headers none goes on."""
    served.demo.forget()
    headers = {"x-goog-api-client": "sdk/1", "x-goog-user-project": "p", "user-agent": "agent"}
    body = {"contents": HELLO, "labels": {"team": "tide"}, "model": "models/x", "store": True}
    path = f"/v1beta/models/{model('generate', 'demo')}:generateContent"
    assert client.post(path, json=body, headers=headers).status_code == 200
    (call,) = served.demo.calls()
    assert not call.header_names & set(headers)
    assert {name: call.body.get(name) for name in ("labels", "model", "store")} == {
        "labels": None,
        "model": None,
        "store": False,
    }


def test_thoughts_of_another_maker_go_back_to_it(served: Served, client: httpx.Client) -> None:
    """Signed as they were; Google's clients keep the signature of thoughts and know no more."""
    config = {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}}
    name = model("messages", "demo")
    chunks, _ = stream(client, name, tools=TOOLS, generationConfig=config)
    history = [one["candidates"][0]["content"] for one in chunks]
    (call,) = [part for part in parts_of(*chunks) if "functionCall" in part]
    result = {"name": "tide_height", "response": {"output": "Two meters."}}
    result["id"] = call["functionCall"]["id"]
    last = {"role": "user", "parts": [{"functionResponse": result}]}
    contents = [*HELLO, *history, last]
    served.demo.forget()
    ask(client, name, tools=TOOLS, generationConfig=config, contents=contents)
    (asked,) = served.demo.calls()
    thought, *_ = asked.body["messages"][1]["content"]
    assert thought["type"] == "thinking"
    assert thought["thinking"] == "".join(
        part["text"] for part in parts_of(*chunks) if part.get("thought")
    )
    assert thought["signature"]
    # A model of Google's own would refuse the signature: it does not get it.
    served.demo.forget()
    name = model("generate", "demo")
    ask(client, name, tools=TOOLS, generationConfig=config, contents=contents)
    (asked,) = served.demo.calls()
    parts = [part for content in asked.body["contents"] for part in content["parts"]]
    assert not any("thoughtSignature" in part for part in parts)
