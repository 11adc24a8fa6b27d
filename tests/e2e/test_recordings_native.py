"""Every recorded exchange of the other APIs through the running service, in its own API.

The provider's values arrive unchanged but for the edits that the contract allows; the record has
its counts. The oracle walks both JSON documents and knows nothing of the code that it checks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest

from oneapi.common.v1.quantities_pb2 import Quantities
from oneapi.metering.v1 import usage_record_pb2 as record
from tests.contract.test_recordings_chat import events, exact
from tests.support.every import every
from tests.support.recordings import Recording
from tests.support.stack import Stack, public_ids, recorded

SURFACES: Final = ("responses", "messages", "count_tokens", "generate_content", "embeddings")
CLIENT_TOOLS: Final = {"function", "custom"}
MODEL_FIELDS: Final = {"model", "modelVersion"}
MODEL_PLACES: Final = {"", ".message", ".response"}
SHOWN_USAGE: Final = {
    ("messages", True): "message_delta",
    ("responses", True): "response.completed",
}
EXCHANGES: Final = {stem: (name, one) for name in SURFACES for stem, one in recorded(name).items()}
ANSWERED: Final = [stem for stem, (_, one) in EXCHANGES.items() if one.status == 200]


UNBOUNDED: Final = {
    *("container_upload", "web_search_tool_result", "web_fetch_tool_result"),
    "advisor_tool_result",
}
"""Blocks of Anthropic's that stand for more than their bytes; and summaries that it makes."""


def is_unbounded(surface: str, one: Recording) -> bool:
    """Say whether what a request may cost has no bound: then it is refused by name."""
    if surface != "messages":
        return False
    edits = (one.request.get("context_management") or {}).get("edits", ())
    return any(edit["type"].startswith("compact") for edit in edits) or any(
        block.get("type") in UNBOUNDED
        for message in one.request["messages"]
        if isinstance(message["content"], list)
        for block in message["content"]
    )


def of_client(surface: str, one: Recording) -> dict[str, Any]:
    """Return the recorded request without what we refuse: tools and state of the provider's."""
    body = dict(one.request)
    for name in ("previous_response_id", "conversation", "background", "container", "mcp_servers"):
        body.pop(name, None)
    tools = [tool for tool in body.get("tools") or () if _is_of_client(surface, tool)]
    body.pop("tools", None)
    if tools:
        body["tools"] = tools
    else:
        body.pop("tool_choice", None)
        body.pop("toolConfig", None)
    if surface in {"generate_content", "count_tokens"} and "contents" in body:
        return body
    return {**body, "model": public_ids()[one.stem]}


def _is_of_client(surface: str, tool: dict[str, Any]) -> bool:
    if surface == "generate_content":
        return "functionDeclarations" in tool or "function_declarations" in tool
    return tool.get("type", "custom") in CLIENT_TOOLS


def path_of(surface: str, one: Recording) -> str:
    """Return where a client of ours sends it, from the root."""
    if "models/" in one.path:
        method = one.path.rpartition(":")[2]
        sse = "?alt=sse" if method.startswith("stream") else ""
        return f"/v1beta/models/{quote(public_ids()[one.stem])}:{method}{sse}"
    end = {"messages": "/messages", "count_tokens": "/messages/count_tokens"}
    return "/v1" + end.get(surface, f"/{surface}")


@dataclass(frozen=True, slots=True)
class Sent:
    """One exchange with us."""

    status: int
    request_id: str
    body: bytes
    was_cut: bool


def send(client: httpx.Client, url: str, body: dict[str, Any]) -> Sent:
    """Send a request; an answer that is cut is read as far as it goes."""
    with client.stream("POST", url, json=body) as answer:
        parts: list[bytes] = []
        was_cut = False
        try:
            parts.extend(answer.iter_raw())
        except httpx.RemoteProtocolError:
            was_cut = True
        request_id = answer.headers["x-request-id"]
        return Sent(answer.status_code, request_id, b"".join(parts), was_cut)


@pytest.fixture(scope="module")
def answers(stack: Stack) -> dict[str, Sent]:
    """Send all of them first, so that no test waits for its record."""
    stack.replay.reset()
    root = stack.base_url.removesuffix("/v1")
    headers = {"authorization": f"Bearer {stack.api_key}", "anthropic-version": "2023-06-01"}
    found = {}
    with httpx.Client(headers=headers, timeout=60.0, trust_env=False) as client:
        for stem, (surface, one) in EXCHANGES.items():
            found[stem] = send(client, root + path_of(surface, one), of_client(surface, one))
    return found


def differences(sent: Any, got: Any, public_id: str, path: str = "") -> list[str]:
    """Return where a document is not what the provider sent, but for our edits."""
    if isinstance(sent, dict) and isinstance(got, dict):
        # Voyage has a total only, which is the prompt of OpenAI's shape.
        ours = {"cost", "prompt_tokens"} if "usage" in path.lower() else set()
        added = got.keys() - sent.keys() - ours
        wrong = [f"{path}.{name} was added" for name in sorted(added)]
        for name, value in sent.items():
            here = f"{path}.{name}"
            if name not in got:
                wrong.append(f"{here} is missing")
            elif name == "metadata" and path in MODEL_PLACES:
                continue  # it is not sent on, and shown as the client sent it
            elif name == "store" and path in MODEL_PLACES:
                wrong += ["it is stored"] if got[name] else []
            elif name in MODEL_FIELDS and path in MODEL_PLACES:
                wrong += [] if got[name] == public_id else [f"{here} is not the public model"]
            else:
                wrong += differences(value, got[name], public_id, here)
        return wrong
    if isinstance(sent, list) and isinstance(got, list) and len(sent) == len(got):
        pairs = enumerate(zip(sent, got, strict=True))
        return [one for i, (a, b) in pairs for one in differences(a, b, public_id, f"{path}[{i}]")]
    return [] if sent == got else [f"{path} differs"]


def documents(body: bytes, *, is_stream: bool) -> list[Any]:
    """Return the JSON documents of an answer."""
    texts = events(body.decode()) if is_stream else [body]
    return [exact(text) for text in texts if text not in {"[DONE]", b"[DONE]"}]


def total_of(surface: str, one: Recording) -> int | None:
    """Return the provider's own count of all tokens, None where it has none."""
    if surface == "count_tokens":
        return None
    found = None
    for document in documents(one.body(), is_stream=one.is_stream):
        inner = document.get("response") or document.get("message") or {}
        for usage in (
            document.get("usage"),
            document.get("usageMetadata"),
            inner.get("usage") if isinstance(inner, dict) else None,
        ):
            if usage:
                found = {**(found or {}), **{k: v for k, v in usage.items() if v is not None}}
    return None if found is None else _sum_of(found)


def _sum_of(usage: dict[str, Any]) -> int:
    if "totalTokenCount" in usage:
        return int(usage["totalTokenCount"])
    if "total_tokens" in usage:
        return int(usage["total_tokens"])
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(int(usage.get(name, 0)) for name in (*names, "output_tokens"))


def tokens(quantities: Quantities) -> int:
    """Return all tokens of a record."""
    return sum(value for field, value in quantities.ListFields() if field.name.endswith("_tokens"))


@every(stem=ANSWERED)
def test_a_recorded_exchange_arrives_unchanged_and_is_counted(
    stack: Stack, answers: dict[str, Sent], stem: str
) -> None:
    """Values but for the stated edits, and the provider's own total on the record."""
    surface, one = EXCHANGES[stem]
    got = answers[stem]
    if is_unbounded(surface, one):
        assert (got.status, b"unsupported_value" in got.body) == (400, True), got.body
        return
    assert got.status == 200, got.body
    if got.was_cut:
        # Ours are among the exchanges: some end in an error of the provider's, or are cut.
        assert "midstream" in stem or "cut" in stem or stem.endswith("error"), got.body
        assert stack.usage(got.request_id).outcome == record.OUTCOME_FAILED
        return
    sent_documents = documents(one.body(), is_stream=one.is_stream)
    got_documents = documents(got.body, is_stream=one.is_stream)
    assert len(sent_documents) == len(got_documents)
    for sent, document in zip(sent_documents, got_documents, strict=True):
        assert differences(sent, document, public_ids()[stem]) == []
    usage = stack.usage(got.request_id)
    assert usage.outcome == record.OUTCOME_SUCCEEDED
    assert usage.charge.amount_nanos <= usage.hold.amount_nanos
    total = total_of(surface, one)
    if surface == "count_tokens":
        assert (tokens(usage.quantities), usage.charge.amount_nanos) == (0, 0)
    elif usage.usage_source == record.USAGE_SOURCE_PROVIDER and not usage.waive_reason:
        assert tokens(usage.quantities) == total


def test_provider_counts_are_believed(stack: Stack, answers: dict[str, Sent]) -> None:
    """Nearly all recordings count consistently: estimates are the exception, and are listed."""
    estimated = [
        stem
        for stem in ANSWERED
        if EXCHANGES[stem][0] != "count_tokens"
        and answers[stem].status == 200
        and not answers[stem].was_cut
        and stack.usage(answers[stem].request_id).usage_source != record.USAGE_SOURCE_PROVIDER
    ]
    assert len(estimated) <= len(ANSWERED) // 20, json.dumps(estimated)


def test_a_changed_value_would_be_found() -> None:
    """Control: the oracle sees an added, a lost and another value, and another model."""
    sent = {"model": "m", "usage": {"a": 1}, "x": [{"y": 1}]}
    good = {"model": "public", "usage": {"a": 1, "cost": "0.1"}, "x": [{"y": 1}]}
    assert differences(sent, good, "public") == []
    for wrong in (
        {**good, "model": "m"},
        {**good, "more": 1},
        {**good, "x": [{"y": 2}]},
        {**good, "x": []},
        {**good, "usage": {"cost": "1"}},
    ):
        assert len(differences(sent, wrong, "public")) == 1
