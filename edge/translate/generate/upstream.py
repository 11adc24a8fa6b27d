"""A conversation as a request to Google's `generateContent` (Gemini API v1beta)."""

from __future__ import annotations

from typing import Any, Final

from edge.translate import sse
from edge.translate.errors import UnsupportedParameter
from edge.translate.generate.answer_reader import GenerateReader
from edge.translate.generate.from_turns import contents_of, instructions_of, is_one_of
from edge.translate.generate.native import limited, path_of
from edge.translate.neutral.conversation import (
    Conversation,
    Tool,
    ToolChoice,
)
from edge.translate.surface import Header, Terms
from oneapi.common.v1.endpoint_pb2 import Endpoint

_BUDGETED_MODELS: Final = ("gemini-1", "gemini-2")
"""They take a budget of thoughts instead of a level (Gemini API, thinking)."""
_BUDGETS: Final = {
    "none": 0,
    "minimal": 1024,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
"""As Google's own OpenAI endpoint has it."""
_LEVELS: Final = {
    "minimal": "minimal",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
_MODES: Final = {"none": "NONE", "auto": "AUTO", "required": "ANY", "named": "ANY"}
_SETTINGS: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "seed": "seed",
    "max_output_tokens": "maxOutputTokens",
}

Json = dict[str, Any]


class GenerateUpstream:
    """How text is asked of an upstream that serves generated content."""

    endpoint = Endpoint.ENDPOINT_GENERATE_CONTENT
    max_frame_bytes = sse.MAX_FRAME_BYTES
    ends_with_body = True

    def path(self, terms: Terms, *, stream: bool) -> bytes:
        """Return the path below the upstream's base URL."""
        return path_of(terms.upstream_model, stream=stream)

    def headers(self, _terms: Terms) -> tuple[Header, ...]:
        """Return nothing: the API wants no header beside the credential."""
        return ()

    def write(self, conversation: Conversation, terms: Terms, *, stream: bool) -> Json:  # noqa: ARG002  the path says it
        """Return the body without an output limit of ours; usage always comes.

        Raises:
            InvalidRequest: this API cannot express something; the client's field is named.
        """
        conversation.refuse("logit_bias", "verbosity")
        if conversation.parallel_tools is False and conversation.tools:
            conversation.refuse("parallel_tools")
        system = instructions_of(conversation.turns)
        body: Json = {"contents": contents_of(conversation.turns, terms)}
        if system:
            body["systemInstruction"] = {"parts": system}
        if conversation.tools:
            declared = [_declaration(tool) for tool in conversation.tools]
            body["tools"] = [{"functionDeclarations": declared}]
        if (choice := _choice(conversation)) is not None:
            body["toolConfig"] = {"functionCallingConfig": choice}
        if config := _config(conversation, terms):
            body["generationConfig"] = config
        return body

    def limit(self, body: Json, _terms: Terms, output_limit: int | None) -> Json:
        """Return the body with an output limit of ours, the smaller one where it has its own."""
        return limited(body, output_limit)

    def reader(self, terms: Terms) -> GenerateReader:
        """Return what reads one answer."""
        return GenerateReader(terms.request_id)


def _declaration(tool: Tool) -> Json:
    declared: Json = {"name": tool.name}
    if tool.description is not None:
        declared["description"] = tool.description
    if tool.parameters is not None:
        declared["parametersJsonSchema"] = tool.parameters
    return declared


def _choice(conversation: Conversation) -> Json | None:
    """Return which functions may be called; `strict` ones have arguments that are validated."""
    if not conversation.tools:
        return None
    choice = conversation.tool_choice or ToolChoice("auto")
    if choice.mode == "auto":
        if any(tool.strict for tool in conversation.tools):
            return {"mode": "VALIDATED"}
        return None if conversation.tool_choice is None else {"mode": "AUTO"}
    made: Json = {"mode": _MODES[choice.mode]}
    if choice.mode == "named":
        made["allowedFunctionNames"] = choice.names
    return made


def _config(conversation: Conversation, terms: Terms) -> Json:
    config: Json = {}
    for field, name in _SETTINGS.items():
        value = getattr(conversation, field)
        if value is not None:
            config[name] = value
    if conversation.stop:
        config["stopSequences"] = conversation.stop
    if conversation.choices > 1:
        config["candidateCount"] = conversation.choices
    if conversation.logprobs:
        config["responseLogprobs"] = True
        if conversation.top_logprobs:
            config["logprobs"] = conversation.top_logprobs
    if conversation.output_format is not None:
        config["responseMimeType"] = "application/json"
        if conversation.output_format.schema is not None:
            config["responseJsonSchema"] = conversation.output_format.schema
    if thinking := _thinking(conversation, terms):
        config["thinkingConfig"] = thinking
    return config


def _thinking(conversation: Conversation, terms: Terms) -> Json:
    wish = conversation.thinking
    if wish is None:
        return {}
    made: Json = {}
    if wish.shown is not None:
        made["includeThoughts"] = wish.shown
    if wish.budget_tokens is not None:
        made["thinkingBudget"] = wish.budget_tokens
    elif wish.effort is not None:
        if wish.effort not in _BUDGETS:
            raise UnsupportedParameter(conversation.paths.get("thinking", "thinking"))
        if wish.effort == "none" or is_one_of(terms, _BUDGETED_MODELS):
            made["thinkingBudget"] = _BUDGETS[wish.effort]
        else:
            made["thinkingLevel"] = _level(wish.effort, terms)
    return made


def _level(effort: str, terms: Terms) -> str:
    """Return the level of an effort; the large models have no minimal one."""
    level = _LEVELS[effort]
    return "low" if level == "minimal" and "-pro" in terms.upstream_model else level
