"""Text asked of an upstream that serves messages: the neutral form as a message request."""

from __future__ import annotations

from typing import Any, Final

from edge.translate import sse
from edge.translate.errors import UnsupportedParameter
from edge.translate.messages import from_turns, thinking
from edge.translate.messages.answer_reader import MessagesReader
from edge.translate.messages.headers import DEFAULT_VERSION, VERSION
from edge.translate.messages.native import PATH, limited
from edge.translate.neutral.conversation import Conversation, OutputFormat, Tool, ToolChoice
from edge.translate.surface import Header, Terms
from oneapi.common.v1 import endpoint_pb2
from oneapi.common.v1.endpoint_pb2 import Endpoint

MAX_TEMPERATURE: Final = 1
_HEADERS: Final[tuple[Header, ...]] = ((VERSION, DEFAULT_VERSION),)
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}
_MODES: Final = {"auto": "auto", "none": "none", "required": "any"}
_REFUSED: Final = (
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "verbosity",
)


class MessagesUpstream:
    """How text is asked of an upstream that serves messages."""

    endpoint: Endpoint.ValueType = endpoint_pb2.ENDPOINT_MESSAGES
    max_frame_bytes = sse.MAX_FRAME_BYTES
    ends_with_body = False

    def path(self, _terms: Terms, *, stream: bool) -> bytes:
        """Return the path below the upstream's base URL, the same for streams."""
        del stream
        return PATH

    def headers(self, _terms: Terms) -> tuple[Header, ...]:
        """Return the version, without which the API answers nothing."""
        return _HEADERS

    def write(self, conversation: Conversation, terms: Terms, *, stream: bool) -> dict[str, Any]:
        """Return the body. The API wants a limit: the client's, else the model's.

        Raises:
            InvalidRequest: this API cannot express something; the client's field is named.
        """
        _refuse(conversation)
        system, messages = from_turns.messages(conversation.turns)
        limit = min(
            conversation.max_output_tokens or terms.max_output_tokens, terms.max_output_tokens
        )
        body: dict[str, Any] = {
            "model": terms.upstream_model,
            "max_tokens": limit,
            "messages": messages,
        }
        if system:
            body["system"] = system
        for name in ("temperature", "top_p", "top_k"):
            if (value := getattr(conversation, name)) is not None:
                body[name] = value
        if conversation.stop:
            body["stop_sequences"] = conversation.stop
        body |= _tool_fields(conversation)
        body |= thinking.fields_of(conversation, terms, limit)
        if conversation.output_format is not None:
            wanted = _format(conversation, conversation.output_format)
            body["output_config"] = {**body.get("output_config", {}), "format": wanted}
        if stream:
            body["stream"] = True
        return body

    def limit(
        self, body: dict[str, Any], _terms: Terms, output_limit: int | None
    ) -> dict[str, Any]:
        """Return the body with an output limit of ours, the smaller one where it has its own."""
        return thinking.within(limited(body, output_limit))

    def reader(self, _terms: Terms) -> MessagesReader:
        """Return what reads one answer."""
        return MessagesReader()


def _refuse(conversation: Conversation) -> None:
    conversation.refuse(*_REFUSED)
    if conversation.choices > 1:
        raise UnsupportedParameter(conversation.paths.get("choices", "n"))
    if (conversation.temperature or 0) > MAX_TEMPERATURE:
        raise UnsupportedParameter(conversation.paths.get("temperature", "temperature"))


def _tool_fields(conversation: Conversation) -> dict[str, Any]:
    if not conversation.tools:
        return {}
    written: dict[str, Any] = {"tools": [_tool(tool) for tool in conversation.tools]}
    choice = conversation.tool_choice
    wanted: dict[str, Any] = {"type": "auto"}
    if choice is not None:
        wanted = _choice(conversation, choice)
    if conversation.parallel_tools is not None and wanted["type"] != "none":
        wanted["disable_parallel_tool_use"] = not conversation.parallel_tools
    if choice is not None or len(wanted) > 1:
        written["tool_choice"] = wanted
    return written


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    # The API wants the type, which others take for granted.
    written["input_schema"] = {"type": "object", **(tool.parameters or _NO_PARAMETERS)}
    if tool.strict:
        written["strict"] = True
    return written


def _choice(conversation: Conversation, choice: ToolChoice) -> dict[str, Any]:
    if choice.mode != "named" and not choice.names:
        return {"type": _MODES[choice.mode]}
    if choice.mode == "named" and len(choice.names) == 1:
        return {"type": "tool", "name": choice.names[0]}
    raise UnsupportedParameter(conversation.paths.get("tool_choice", "tool_choice"))


def _format(conversation: Conversation, wanted: OutputFormat) -> dict[str, Any]:
    if wanted.schema is None:
        # Any JSON object: the API takes schemas only, and none of them stands for every object.
        raise UnsupportedParameter(conversation.paths.get("output_format", "output_format"))
    return {"type": "json_schema", "schema": wanted.schema}
