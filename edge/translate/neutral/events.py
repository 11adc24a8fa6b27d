"""An answer, whatever API made it: events in order. A whole answer is the same events at once.

    Begun  ( TextDelta | RefusalDelta | ReasoningDelta | ReasoningSigned | RedactedReasoning
           | ToolCallBegun  ToolCallDelta* | Cited )*  Finished*  Used?  Ended

All of it is content. `choice` counts from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kit.charge import Quantities
from oneapi.metering.v1.usage_record_pb2 import FinishReason


@dataclass(slots=True, repr=False)
class TextDelta:
    """More text. `logprobs` are token objects in the shape of OpenAI's chat, if there are any."""

    choice: int
    text: str
    logprobs: list[dict[str, Any]] | None = None


@dataclass(slots=True, repr=False)
class RefusalDelta:
    """More of the model's refusal."""

    choice: int
    text: str


@dataclass(slots=True, repr=False)
class ReasoningDelta:
    """More reasoning that may be shown; `summary`: the provider's summary of it."""

    choice: int
    text: str
    summary: bool = False


@dataclass(slots=True, repr=False)
class ReasoningSigned:
    """The signature of the reasoning so far, as opaque text; only its maker can read it."""

    choice: int
    signature: str


@dataclass(slots=True, repr=False)
class RedactedReasoning:
    """Encrypted reasoning without text."""

    choice: int
    data: str


@dataclass(slots=True, repr=False)
class ToolCallBegun:
    """A tool call begins; `call` counts the calls of a choice from 0."""

    choice: int
    call: int
    id: str
    name: str
    signature: str | None = None


@dataclass(slots=True, repr=False)
class ToolCallDelta:
    """More of a call's arguments, JSON text."""

    choice: int
    call: int
    arguments: str


@dataclass(slots=True, repr=False)
class Cited:
    """A source of the text so far; `start` and `end` are characters of the text, where known."""

    choice: int
    url: str | None
    title: str | None
    quote: str | None = None
    start: int | None = None
    end: int | None = None


@dataclass(slots=True, repr=False)
class Finished:
    """Why a choice ended; `stop_sequence` is the one of the client's that was met."""

    choice: int
    reason: FinishReason.ValueType
    stop_sequence: str | None = None
    refused: bool = False
    """The model refused (Anthropic's `refusal`), which is not a filter of the provider's."""


@dataclass(slots=True, repr=False)
class Used:
    """What the provider counted so far, by disjoint dimension; None: its counts cannot be true.

    Counts are cumulative: the last one is final. A count without output (Anthropic's at the
    beginning) is reported as well, so that a cut answer is charged for its input.
    """

    quantities: Quantities | None


@dataclass(slots=True, repr=False)
class Failed:
    """The provider reports an error inside its answer; the message is for the client only."""

    message: str


@dataclass(slots=True, repr=False)
class Ended:
    """The terminal frame came."""


Event = (
    TextDelta
    | RefusalDelta
    | ReasoningDelta
    | ReasoningSigned
    | RedactedReasoning
    | ToolCallBegun
    | ToolCallDelta
    | Cited
    | Finished
    | Used
    | Failed
    | Ended
)
