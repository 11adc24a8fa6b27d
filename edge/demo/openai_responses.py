"""OpenAI's responses shape of the demo: answers whole and as events.

After the OpenAI API reference. The whole response is made first; the events of a stream build the
same items. Reasoning is shown as a summary where one is asked for, and encrypted where that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from edge.demo.answer import Answer, Call, Choice, Finish, answer
from edge.demo.delivery import Work, deliver_body, deliver_stream
from edge.demo.errors import BadRequestError, DemoError, ModelNotFoundError, OrderedError
from edge.demo.knobs import Knobs, UnknownModelError, parse_model
from edge.demo.openai_chat import CREATED, deliver_error
from edge.demo.openai_chat_request import parse_body
from edge.demo.openai_responses_request import ResponsesRequest, parse_responses
from edge.demo.schema import UnsupportedSchemaError
from edge.demo.server import Reply, Request

Json = dict[str, Any]

_NO_KNOBS = Knobs()
_ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}


def responses(request: Request, reply: Reply) -> Work:
    """Serve POST /v1/responses."""
    knobs = _NO_KNOBS
    try:
        body = parse_body(request.body)
        knobs = _knobs(body["model"])
        if knobs.error_status is not None:
            raise OrderedError(knobs.error_status)
        asked = parse_responses(body)
        answered = answer(asked.question, knobs)
        if asked.stream:
            return deliver_stream(reply, knobs, events(asked, answered))
        return deliver_body(reply, knobs, 200, orjson.dumps(response(asked, answered)))
    except UnsupportedSchemaError:
        return deliver_error(reply, knobs, BadRequestError("invalid_json_schema"))
    except DemoError as error:
        return deliver_error(reply, knobs, error)
    except orjson.JSONEncodeError:
        # What is repeated was nested as deeply as can be written.
        return deliver_error(reply, knobs, BadRequestError("invalid_json"))


def response(asked: ResponsesRequest, answered: Answer) -> Json:
    """Render the whole response."""
    choice = answered.choices[0]
    is_cut = choice.finish is Finish.LENGTH
    return {
        **_head(asked),
        "status": "incomplete" if is_cut else "completed",
        "completed_at": None if is_cut else CREATED,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": _items(asked, choice),
        "usage": usage(answered),
    }


def usage(answered: Answer) -> Json:
    """Render token counts; reasoning is part of the output, as OpenAI counts it."""
    return {
        "input_tokens": answered.prompt_tokens,
        "input_tokens_details": {"cached_tokens": answered.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": answered.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": answered.reasoning_tokens},
        "total_tokens": answered.prompt_tokens + answered.completion_tokens,
    }


def events(asked: ResponsesRequest, answered: Answer) -> list[bytes]:
    """Render the answer as SSE events; the last one has the whole response."""
    whole = response(asked, answered)
    head = _head(asked)
    made: list[Json] = [
        {"type": "response.created", "response": head},
        {"type": "response.in_progress", "response": head},
    ]
    choice = answered.choices[0]
    calls = iter(choice.calls)
    for index, item in enumerate(whole["output"]):
        made += _item_events(index, item, choice, calls)
    made.append({"type": f"response.{whole['status']}", "response": whole})
    return [
        b"event: %b\ndata: %b\n\n"
        % (event["type"].encode(), orjson.dumps({**event, "sequence_number": number}))
        for number, event in enumerate(made)
    ]


def _item_events(index: int, item: Json, choice: Choice, calls: Iterable[Call]) -> list[Json]:
    at: Json = {"output_index": index, "item_id": item["id"]}
    if item["type"] == "message":
        empty = {**item, "content": [], "status": "in_progress"}
        between = _text_events(at, item["content"][0], choice.text)
    elif item["type"] == "reasoning":
        empty = {"type": "reasoning", "id": item["id"], "summary": []}
        between = _reasoning_events(at, item, choice.reasoning)
    else:
        empty = {**item, "arguments": "", "status": "in_progress"}
        between = _call_events(at, item, next(iter(calls)))
    return [
        {"type": "response.output_item.added", "output_index": index, "item": empty},
        *between,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _text_events(at: Json, part: Json, pieces: tuple[str, ...]) -> list[Json]:
    at = {**at, "content_index": 0}
    delta = {"type": "response.output_text.delta", **at, "logprobs": []}
    return [
        {"type": "response.content_part.added", **at, "part": {**part, "text": ""}},
        *({**delta, "delta": piece} for piece in pieces),
        {"type": "response.output_text.done", **at, "text": part["text"], "logprobs": []},
        {"type": "response.content_part.done", **at, "part": part},
    ]


def _reasoning_events(at: Json, item: Json, pieces: tuple[str, ...]) -> list[Json]:
    if not item["summary"]:
        return []
    part, kind = item["summary"][0], "response.reasoning_summary"
    at = {**at, "summary_index": 0}
    return [
        {"type": f"{kind}_part.added", **at, "part": {"type": "summary_text", "text": ""}},
        *({"type": f"{kind}_text.delta", **at, "delta": piece} for piece in pieces),
        {"type": f"{kind}_text.done", **at, "text": part["text"]},
        {"type": f"{kind}_part.done", **at, "part": part},
    ]


def _call_events(at: Json, item: Json, call: Call) -> list[Json]:
    kind = "response.function_call_arguments"
    done = {"name": item["name"], "arguments": item["arguments"]}
    return [
        *({"type": f"{kind}.delta", **at, "delta": piece} for piece in call.arguments),
        {"type": f"{kind}.done", **at, **done},
    ]


def _items(asked: ResponsesRequest, choice: Choice) -> list[Json]:
    items: list[Json] = []
    suffix = f"{asked.question.seed:016x}"
    if choice.reasoning:
        summary = [{"type": "summary_text", "text": "".join(choice.reasoning)}]
        item: Json = {
            "type": "reasoning",
            "id": f"rs_{suffix}",
            "summary": summary if asked.shows_summary else [],
        }
        if asked.shows_encrypted:
            item["encrypted_content"] = f"demo-{suffix}"
        items.append(item)
    if choice.text:
        text = {"type": "output_text", "text": "".join(choice.text)}
        items.append(
            {
                "type": "message",
                "id": f"msg_{suffix}",
                "status": _status(choice),
                "role": "assistant",
                "content": [{**text, "annotations": [], "logprobs": []}],
            }
        )
    return items + [_call(call, choice) for call in choice.calls]


def _call(call: Call, choice: Choice) -> Json:
    return {
        "type": "function_call",
        "id": call.id.replace("call_", "fc_"),
        "status": _status(choice),
        "call_id": call.id,
        "name": call.name,
        "arguments": "".join(call.arguments),
    }


def _status(choice: Choice) -> str:
    return "incomplete" if choice.finish is Finish.LENGTH else "completed"


def _head(asked: ResponsesRequest) -> Json:
    body = asked.body
    echoed = {
        name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()
    }
    reasoning, text = body.get("reasoning") or {}, body.get("text") or {}
    return {
        **echoed,
        "id": f"resp_{asked.question.seed:016x}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "completed_at": None,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "model": body["model"],
        "output": [],
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": "default",
        "store": False,
        "text": {"format": {"type": "text"}, **text},
        "tools": [_tool(tool) for tool in echoed["tools"]],
        "usage": None,
    }


def _tool(tool: Any) -> Any:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": True, **tool}


def _knobs(name: str) -> Knobs:
    try:
        return parse_model(name)
    except UnknownModelError:
        raise ModelNotFoundError from None
