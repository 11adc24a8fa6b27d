"""Text asked of an upstream in OpenAI's Responses API."""

from __future__ import annotations

from typing import Any, Final

from edge.translate import sse
from edge.translate.errors import UnsupportedValue
from edge.translate.neutral.conversation import (
    Conversation,
    File,
    Image,
    Maker,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    unsupported,
)
from edge.translate.neutral.efforts import effort_of
from edge.translate.quirks import quirks_of
from edge.translate.responses.answer_reader import ResponsesReader
from edge.translate.surface import Header, Terms
from oneapi.common.v1 import endpoint_pb2

NOT_TAKEN: Final = (
    *("stop", "seed", "top_k", "logit_bias", "frequency_penalty", "presence_penalty"),
)
"""What chat completions take and responses do not (OpenAI API reference, create a response)."""
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}


class ResponsesUpstream:
    """The upstream's side of the API."""

    endpoint = endpoint_pb2.ENDPOINT_RESPONSES
    max_frame_bytes = sse.LARGE_FRAME_BYTES
    ends_with_body = False

    def path(self, _terms: Terms, *, stream: bool) -> bytes:  # noqa: ARG002  one path for both
        """Return the path below the upstream's base URL."""
        return b"/responses"

    def headers(self, _terms: Terms) -> tuple[Header, ...]:
        """Return nothing."""
        return ()

    def write(self, conversation: Conversation, terms: Terms, *, stream: bool) -> dict[str, Any]:
        """Return the body without an output limit of ours; nothing is stored there.

        Raises:
            InvalidRequest: this API cannot express something; the client's field is named.
        """
        conversation.refuse(*NOT_TAKEN)
        if conversation.choices != 1:
            conversation.refuse("choices")
        body: dict[str, Any] = {
            "model": terms.upstream_model,
            "input": [item for turn in conversation.turns for item in _items(turn)],
            "store": False,
            **_settings(conversation),
        }
        if stream:
            body["stream"] = True
        return body

    def limit(
        self, body: dict[str, Any], _terms: Terms, output_limit: int | None
    ) -> dict[str, Any]:
        """Return the body with an output limit of ours, the smaller one where it has its own."""
        if output_limit is None:
            return body
        own = body.get("max_output_tokens") or output_limit
        return {**body, "max_output_tokens": min(own, output_limit)}

    def reader(self, terms: Terms) -> ResponsesReader:
        """Return what reads one answer."""
        return ResponsesReader(quirks_of(terms.upstream))


def _settings(conversation: Conversation) -> dict[str, Any]:
    """Return everything but the turns, as far as the client said it."""
    included = ["message.output_text.logprobs"] if conversation.logprobs else []
    if conversation.thinking is not None and conversation.thinking.effort != "none":
        # Without a store it must come back with the next request, to be read again. Models that
        # do not reason refuse to give it.
        included.append("reasoning.encrypted_content")
    settings = {
        "tools": [_tool(one) for one in conversation.tools] or None,
        "tool_choice": _choice(conversation.tool_choice),
        "parallel_tool_calls": conversation.parallel_tools,
        "text": _text(conversation),
        "reasoning": _reasoning(conversation.thinking),
        "max_output_tokens": conversation.max_output_tokens,
        "temperature": conversation.temperature,
        "top_p": conversation.top_p,
        "top_logprobs": conversation.top_logprobs,
        "include": included or None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _tool(tool: Tool) -> dict[str, Any]:
    # Without `strict` a response's functions are strict, unlike those of every other API.
    written: dict[str, Any] = {
        "type": "function",
        "name": tool.name,
        "parameters": _NO_PARAMETERS if tool.parameters is None else tool.parameters,
        "strict": bool(tool.strict),
    }
    return written if tool.description is None else {**written, "description": tool.description}


def _choice(choice: ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None or choice.mode != "named":
        return None if choice is None else choice.mode
    if len(choice.names) == 1:
        return {"type": "function", "name": choice.names[0]}
    allowed = [{"type": "function", "name": name} for name in choice.names]
    return {"type": "allowed_tools", "mode": "required", "tools": allowed}


def _text(conversation: Conversation) -> dict[str, Any] | None:
    text: dict[str, Any] = {}
    if conversation.output_format is not None:
        text["format"] = _format(conversation.output_format)
    if conversation.verbosity is not None:
        text["verbosity"] = conversation.verbosity
    return text or None


def _format(output: OutputFormat) -> dict[str, Any]:
    if output.kind == "json":
        return {"type": "json_object"}
    written: dict[str, Any] = {"type": "json_schema", "name": output.name, "schema": output.schema}
    if output.strict is not None:
        written["strict"] = output.strict
    if output.description is not None:
        written["description"] = output.description
    return written


def _reasoning(thinking: Thinking | None) -> dict[str, Any] | None:
    if thinking is None:
        return None
    effort = thinking.effort or effort_of(thinking.budget_tokens)
    # OpenAI refuses summaries to organisations that it has not verified: only who asked risks it.
    wants_summary = thinking.shown and not thinking.is_shown_by_default
    written = {"effort": effort, "summary": "auto" if wants_summary else None}
    return {name: value for name, value in written.items() if value is not None} or None


def _items(turn: Turn) -> list[dict[str, Any]]:
    """Return a turn as items: its words together, as far as no call or reasoning is between."""
    items: list[dict[str, Any]] = []
    words: list[dict[str, Any]] = []
    role = "developer" if turn.role == "system" else turn.role

    def end_words() -> None:
        if words:
            items.append({"type": "message", "role": role, "content": list(words)})
            words.clear()

    for part in turn.parts:
        if isinstance(part, ToolCall | ToolResult | Reasoning):
            end_words()
            items += _own_item(part)
        else:
            words.append(_word(part, is_assistant=turn.role == "assistant"))
    end_words()
    return items


def _own_item(part: ToolCall | ToolResult | Reasoning) -> list[dict[str, Any]]:
    match part:
        case ToolCall():
            call = {"call_id": part.id, "name": part.name, "arguments": part.arguments}
            return [{"type": "function_call", **call}]
        case ToolResult():
            return [
                {"type": "function_call_output", "call_id": part.call_id, "output": _output(part)}
            ]
        case Reasoning():
            secret = part.signature or part.redacted
            if part.maker is not Maker.RESPONSES or secret is None:
                return []
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            return [{"type": "reasoning", "summary": summary, "encrypted_content": secret}]


def _output(result: ToolResult) -> str | list[dict[str, Any]]:
    """Return what a tool returned; there is no mark of an error, so its own words must say it."""
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    if len(texts) == len(result.parts):
        return "".join(texts)
    return [_word(part, is_assistant=False) for part in result.parts]


def _word(part: Part, *, is_assistant: bool) -> dict[str, Any]:
    match part:
        case Text():
            # What the assistant said is output, also when it is read again.
            kind = "output_text" if is_assistant else "input_text"
            return {"type": kind, "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Image():
            return _image(part)
        case File():
            return _file(part)
    raise unsupported(part)


def _image(image: Image) -> dict[str, Any]:
    url = image.url
    if url is None:
        url = f"data:{image.media_type};base64,{image.data}"
    return {"type": "input_image", "image_url": url, "detail": image.detail or "auto"}


def _file(file: File) -> dict[str, Any]:
    if file.url is not None:
        return {"type": "input_file", "file_url": file.url}
    if file.media_type is None:
        raise UnsupportedValue(file.path)
    data = f"data:{file.media_type};base64,{file.data}"
    return {"type": "input_file", "file_data": data, "filename": file.name or "file"}
