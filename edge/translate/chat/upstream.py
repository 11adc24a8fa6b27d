"""Text asked of an OpenAI-compatible upstream: the neutral form as a chat completions request."""

from __future__ import annotations

from typing import Any, Final

from edge.translate import sse
from edge.translate.chat import from_turns
from edge.translate.chat.answer_reader import ChatAnswerReader
from edge.translate.errors import UnsupportedParameter
from edge.translate.neutral.conversation import Conversation, OutputFormat, Tool
from edge.translate.neutral.efforts import effort_of
from edge.translate.quirks import Quirks, quirks_of
from edge.translate.surface import Header, Terms
from oneapi.common.v1.endpoint_pb2 import Endpoint

PATH: Final = b"/chat/completions"
LIMIT_FIELDS: Final = ("max_completion_tokens", "max_tokens")
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}
_SAME: Final = (
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "top_logprobs",
    "logit_bias",
    "verbosity",
)
"""Fields that chat calls as the neutral form does."""


class ChatUpstream:
    """How text is asked of an upstream that serves chat completions."""

    endpoint: Endpoint.ValueType = Endpoint.ENDPOINT_CHAT_COMPLETIONS
    max_frame_bytes = sse.MAX_FRAME_BYTES
    ends_with_body = False

    def path(self, _terms: Terms, *, stream: bool) -> bytes:
        """Return the path below the upstream's base URL, the same for streams."""
        del stream
        return PATH

    def headers(self, _terms: Terms) -> tuple[Header, ...]:
        """Return nothing: the credential is all that chat wants."""
        return ()

    def write(self, conversation: Conversation, terms: Terms, *, stream: bool) -> dict[str, Any]:
        """Return the body without an output limit of ours.

        The role is always `system`: OpenAI reads it as `developer` where a model wants that, and
        compatible upstreams know no other.

        Raises:
            InvalidRequest: this upstream's chat cannot express something; the field is named.
        """
        quirks = quirks_of(terms.upstream)
        _refuse(conversation, quirks)
        body: dict[str, Any] = {
            "model": terms.upstream_model,
            "messages": from_turns.messages(conversation.turns, quirks),
        }
        body |= _plain_fields(conversation, quirks)
        body |= _tool_fields(conversation, quirks)
        body |= _thinking(conversation, quirks)
        if conversation.output_format is not None:
            body["response_format"] = _format(conversation.output_format, quirks)
        if stream:
            body["stream"] = True
            if quirks.asks_for_usage:
                body["stream_options"] = {"include_usage": True}
        return body

    def limit(self, body: dict[str, Any], terms: Terms, output_limit: int | None) -> dict[str, Any]:
        """Return the body with an output limit of ours, the smaller one where it has its own."""
        if output_limit is None:
            return body
        name = quirks_of(terms.upstream).limit_field
        return {**body, name: min(body.get(name) or output_limit, output_limit)}

    def reader(self, terms: Terms) -> ChatAnswerReader:
        """Return what reads one answer."""
        return ChatAnswerReader(terms)


def _refuse(conversation: Conversation, quirks: Quirks) -> None:
    # Calls at once are what every upstream does unless it is told not to.
    unless = {"parallel_tools"} if conversation.parallel_tools is not False else set()
    conversation.refuse(*sorted(quirks.refuses - unless))
    choice, wanted = conversation.tool_choice, conversation.output_format
    is_forced = choice is not None and choice.mode in {"required", "named"}
    if is_forced and "forced_tools" in quirks.refuses:
        raise _refusal(conversation, "tool_choice")
    has_schema = wanted is not None and wanted.kind == "schema"
    if has_schema and quirks.schemas == "none":
        raise _refusal(conversation, "output_format")


def _refusal(conversation: Conversation, name: str) -> UnsupportedParameter:
    return UnsupportedParameter(conversation.paths.get(name, name))


def _plain_fields(conversation: Conversation, quirks: Quirks) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _SAME:
        if (value := getattr(conversation, name)) is not None:
            found[name] = value
    if conversation.seed is not None:
        found[quirks.seed_field] = conversation.seed
    if conversation.stop:
        found["stop"] = conversation.stop
    if conversation.choices > 1:
        found["n"] = conversation.choices
    if conversation.logprobs:
        found["logprobs"] = True
    if conversation.max_output_tokens is not None:
        found[quirks.limit_field] = conversation.max_output_tokens
    return found


def _tool_fields(conversation: Conversation, quirks: Quirks) -> dict[str, Any]:
    choice = conversation.tool_choice
    tools = conversation.tools
    if choice is not None and choice.names:
        # Chat can name one tool; of several only those are offered.
        names = set(choice.names)
        tools = [tool for tool in tools if tool.name in names]
    if not tools:
        return {}
    found: dict[str, Any] = {"tools": [_tool(tool) for tool in tools]}
    if choice is not None and choice.mode == "named" and len(tools) == 1:
        named = {"type": "function", "function": {"name": tools[0].name}}
        found["tool_choice"] = named
        found["tools"] = [_tool(tool) for tool in conversation.tools]
    elif choice is not None:
        is_forced = choice.mode in {"required", "named"}
        found["tool_choice"] = quirks.required if is_forced else choice.mode
    if conversation.parallel_tools is not None and "parallel_tools" not in quirks.refuses:
        found["parallel_tool_calls"] = conversation.parallel_tools
    return found


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = _NO_PARAMETERS if tool.parameters is None else tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _format(wanted: OutputFormat, quirks: Quirks) -> dict[str, Any]:
    if wanted.kind == "json":
        return {"type": "json_object"}
    if quirks.schemas == "json_object":
        return {"type": "json_object", "schema": wanted.schema or {}}
    schema: dict[str, Any] = {"name": wanted.name}
    if wanted.schema is not None:
        schema["schema"] = wanted.schema
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    if wanted.description is not None:
        schema["description"] = wanted.description
    return {"type": "json_schema", "json_schema": schema}


def _thinking(conversation: Conversation, quirks: Quirks) -> dict[str, Any]:
    wanted = conversation.thinking
    if wanted is None:
        return {}
    effort = wanted.effort or effort_of(wanted.budget_tokens)
    if quirks.thinking == "object":
        return _object(effort, wanted.budget_tokens if wanted.effort is None else None)
    if effort is None:
        return {}
    if quirks.thinking == "effort":
        return {"reasoning_effort": effort}
    found: dict[str, Any] = {"thinking": {"type": "disabled" if effort == "none" else "enabled"}}
    if quirks.thinking == "switch_and_effort" and effort != "none":
        found["reasoning_effort"] = effort
    return found


def _object(effort: str | None, budget_tokens: int | None) -> dict[str, Any]:
    if budget_tokens:
        return {"reasoning": {"max_tokens": budget_tokens}}
    return {"reasoning": {"effort": effort}} if effort is not None else {}
