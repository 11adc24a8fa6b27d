"""`generationConfig` as the settings of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge.translate.errors import InvalidType, InvalidValue, UnsupportedParameter, UnsupportedValue
from edge.translate.generate.schemas import json_schema
from edge.translate.neutral.conversation import Conversation, OutputFormat, Thinking

PATH: Final = "generationConfig"
HINTS: Final = frozenset({"mediaResolution"})
"""How finely media are read; what it costs is bounded by the catalogue."""
_NUMBERS: Final = {
    "temperature": "temperature",
    "topP": "top_p",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
}
_INTEGERS: Final = {
    "topK": "top_k",
    "seed": "seed",
    "maxOutputTokens": "max_output_tokens",
    "candidateCount": "choices",
}
_OTHERS: Final = frozenset(
    {
        *("stopSequences", "responseLogprobs", "logprobs", "responseMimeType", "responseSchema"),
        *("responseJsonSchema", "_responseJsonSchema", "responseModalities", "thinkingConfig"),
    }
)
GOOGLES_ALONE: Final = frozenset(
    {
        *("speechConfig", "imageConfig", "enableEnhancedCivicAnswers", "responseFormat"),
        *("audioTimestamp", "audioTranscriptionConfig", "translationConfig", "routingConfig"),
        *("modelSelectionConfig", "enableAffectiveDialog"),
    }
)
"""Settings that no other API has."""
_JSON: Final = "application/json"
_SCHEMAS: Final = frozenset({"responseSchema", "responseJsonSchema"})
_DYNAMIC: Final = -1
"""A thinking budget that leaves it to the model."""


class Settings:
    """The fields of one `generationConfig`, in canonical spelling."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Read what is set; null is not."""
        self._config = {name: value for name, value in config.items() if value is not None}

    def fill(self, made: Conversation) -> None:
        """Take the settings over.

        Raises:
            InvalidRequest: one has another type, or another API has no place for it.
        """
        known = _NUMBERS.keys() | _INTEGERS.keys() | _OTHERS | HINTS
        for name in self._config.keys() - known:
            # A name that is not Google's could be anything: it is the client's.
            raise UnsupportedParameter(f"{PATH}.{name}" if name in GOOGLES_ALONE else PATH)
        for name, field in _NUMBERS.items():
            self._set(made, field, name, self._number(name))
        for name, field in _INTEGERS.items():
            self._set(made, field, name, self._integer(name))
        self._set(made, "stop", "stopSequences", self._strings("stopSequences"))
        self._check_modalities()
        self._fill_logprobs(made)
        self._set(made, "output_format", "responseMimeType", self._format())
        self._set(made, "thinking", "thinkingConfig", self._thinking())

    def _set(self, made: Conversation, field: str, name: str, value: Any) -> None:
        if value is None:
            return
        setattr(made, field, value)
        # One candidate is what every API makes.
        if not (field == "choices" and value == 1):
            made.paths[field] = f"{PATH}.{name}"

    def _number(self, name: str) -> float | None:
        value = self._config.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise InvalidType(f"{PATH}.{name}", "a number")
        return value

    def _integer(self, name: str) -> int | None:
        value = self._config.get(name)
        if type(value) is float and value.is_integer():
            return int(value)  # topK is a float in Google's SDKs
        if value is not None and type(value) is not int:
            raise InvalidType(f"{PATH}.{name}", "an integer")
        return value

    def _strings(self, name: str) -> list[str] | None:
        value = self._config.get(name)
        if isinstance(value, str):
            value = [value]
        if value is not None and not (
            isinstance(value, list) and all(isinstance(one, str) for one in value)
        ):
            raise InvalidType(f"{PATH}.{name}", "an array of strings")
        return value or None

    def _check_modalities(self) -> None:
        wanted = self._strings("responseModalities") or ()
        if {one.upper() for one in wanted} - {"TEXT"}:
            raise UnsupportedValue(f"{PATH}.responseModalities")

    def _fill_logprobs(self, made: Conversation) -> None:
        wanted = self._config.get("responseLogprobs")
        if not isinstance(wanted, bool | None):
            raise InvalidType(f"{PATH}.responseLogprobs", "a boolean")
        if not wanted:
            return
        made.logprobs = True
        made.paths["logprobs"] = f"{PATH}.responseLogprobs"
        self._set(made, "top_logprobs", "logprobs", self._integer("logprobs"))

    def _format(self) -> OutputFormat | None:
        kind = self._config.get("responseMimeType")
        if kind is None or kind == "text/plain":
            for name in _SCHEMAS & self._config.keys():
                # Google refuses a schema without JSON too.
                raise UnsupportedParameter(f"{PATH}.{name}")
            return None
        if kind != _JSON:
            raise UnsupportedValue(f"{PATH}.responseMimeType")
        for name in ("responseJsonSchema", "_responseJsonSchema"):
            schema = self._config.get(name)
            if schema is not None:
                if not isinstance(schema, dict):
                    raise InvalidType(f"{PATH}.responseJsonSchema", "an object")
                return OutputFormat("schema", schema=schema)
        if "responseSchema" in self._config:
            path = f"{PATH}.responseSchema"
            return OutputFormat("schema", schema=json_schema(self._config["responseSchema"], path))
        return OutputFormat("json")

    def _thinking(self) -> Thinking | None:
        config, path = self._config.get("thinkingConfig"), f"{PATH}.thinkingConfig"
        if not config:
            return None
        level, budget = config.get("thinkingLevel"), config.get("thinkingBudget")
        shown = config.get("includeThoughts")
        if not isinstance(level, str | None):
            raise InvalidType(f"{path}.thinkingLevel", "a string")
        if budget is not None and type(budget) is not int:
            raise InvalidType(f"{path}.thinkingBudget", "an integer")
        if not isinstance(shown, bool | None):
            raise InvalidType(f"{path}.includeThoughts", "a boolean")
        effort = level.lower() if level else None
        if effort not in _LEVELS:
            raise InvalidValue(f"{path}.thinkingLevel")
        if budget is not None and budget < _DYNAMIC:
            raise InvalidValue(f"{path}.thinkingBudget")
        if budget == 0:
            return Thinking(effort="none", shown=shown)
        return Thinking(
            effort=None if effort == "thinking_level_unspecified" else effort,
            budget_tokens=None if budget == _DYNAMIC else budget,
            shown=shown,
        )


_LEVELS: Final = frozenset(
    {None, "thinking_level_unspecified", "minimal", "low", "medium", "high", "xhigh"}
)
