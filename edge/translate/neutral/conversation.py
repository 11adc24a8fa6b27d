"""A request for text, whatever API it came in by.

Everything here is content: nothing of it is shown by `repr`, logged or kept. Each part knows the
path of the client's field, so that what an upstream's API cannot express is refused by name
(`unsupported`), never dropped silently. What only hints (cache keys, end-user ids, metadata) is not
carried over; each reader lists its hints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal

from edge.translate.errors import InvalidRequest, UnsupportedParameter, UnsupportedValue

Role = Literal["system", "user", "assistant", "tool"]
"""`system` also stands for `developer`; `tool` turns hold nothing but tool results."""


@dataclass(slots=True, repr=False)
class Text:
    """Text of a turn."""

    path: str
    text: str


@dataclass(slots=True, repr=False)
class Image:
    """An image: base64 data with its media type, or an http(s) URL."""

    path: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    detail: str | None = None
    """`low`, `high`, `auto`, `original` as OpenAI says it; a hint elsewhere."""


@dataclass(slots=True, repr=False)
class File:
    """A document: base64 data with its media type (`application/pdf`, `text/plain`), or a URL."""

    path: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    name: str | None = None


@dataclass(slots=True, repr=False)
class Audio:
    """Spoken input: base64 data and a format such as `wav` or `mp3`."""

    path: str
    format: str
    data: str


@dataclass(slots=True, repr=False)
class ToolCall:
    """A call that the model made earlier. `arguments` is JSON text of an object, as it was sent."""

    path: str
    id: str
    name: str
    arguments: str
    signature: str | None = None
    """What the maker of the call wants back with it (Google's thought signatures), base64 text."""


@dataclass(slots=True, repr=False)
class ToolResult:
    """What the client's tool returned."""

    path: str
    call_id: str
    name: str | None
    """The tool's name, found by the reader from the call; Google wants it."""
    parts: list[Text | Image | File]
    is_error: bool = False


class Maker(Enum):
    """Whose reasoning it is: signatures are only good for the API that made them."""

    ANTHROPIC = 1
    GOOGLE = 2
    RESPONSES = 3
    CHAT = 4


@dataclass(slots=True, repr=False)
class Reasoning:
    """Earlier reasoning of the model, with what its maker wants back unchanged.

    A writer of another API than `maker` leaves it out: that is each API's own rule for reasoning
    that it did not make, and the answer does not depend on it.
    """

    path: str
    maker: Maker
    text: str
    signature: str | None = None
    redacted: str | None = None
    """Encrypted reasoning without text."""
    id: str | None = None


@dataclass(slots=True, repr=False)
class Refusal:
    """An earlier refusal of the model."""

    path: str
    text: str


Part = Text | Image | File | Audio | ToolCall | ToolResult | Reasoning | Refusal


@dataclass(slots=True, repr=False)
class Turn:
    """Parts of one speaker, in order."""

    role: Role
    parts: list[Part]
    path: str


@dataclass(slots=True, repr=False)
class Tool:
    """A function that the client runs; `parameters` is a JSON schema."""

    path: str
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(slots=True, repr=False)
class ToolChoice:
    """Whether the model may, must not or must call tools, or which one it must call."""

    mode: Literal["auto", "none", "required", "named"]
    names: list[str] = field(default_factory=list)


@dataclass(slots=True, repr=False)
class OutputFormat:
    """A JSON object, or JSON after a schema (`name` is the schema's)."""

    kind: Literal["json", "schema"]
    name: str = "answer"
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


@dataclass(slots=True, repr=False)
class Thinking:
    """How much the model may reason. `effort`: none, minimal, low, medium, high, xhigh, max.

    `budget_tokens`: at most so many reasoning tokens. `shown`: the client wants to read it (a
    summary or the text).
    """

    effort: str | None = None
    budget_tokens: int | None = None
    shown: bool | None = None
    is_shown_by_default: bool = False
    """Nobody said whether to show it: `shown` is what a chat does then."""


@dataclass(slots=True, repr=False)
class Conversation:
    """All of a request. None: the client did not say.

    `paths` has the client's name of each field here that it set: what to name in a refusal.
    """

    turns: list[Turn]
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    output_format: OutputFormat | None = None
    thinking: Thinking | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    choices: int = 1
    logprobs: bool = False
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    verbosity: str | None = None
    """`low`, `medium` or `high`."""
    paths: dict[str, str] = field(default_factory=dict)

    def refuse(self, *names: str) -> None:
        """Refuse those of these fields that the client set to something.

        Raises:
            UnsupportedParameter: names the client's field.
        """
        for name in names:
            if name in self.paths:
                raise UnsupportedParameter(self.paths[name])


def unsupported(part: Part | Tool) -> InvalidRequest:
    """Return the refusal of a part that an upstream's API cannot express."""
    return UnsupportedValue(part.path)
