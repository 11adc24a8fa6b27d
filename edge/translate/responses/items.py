"""The output items of a response while they are written, each with the events that build it."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from edge.translate.json_body import objects
from edge.translate.neutral.events import Cited
from edge.translate.responses.failure import Progress, frame_of

Status = Literal["completed", "incomplete"]


class Outlet:
    """Where items put their frames and, once closed, themselves; it numbers both."""

    __slots__ = ("_count", "_frames", "_progress")

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._frames: list[bytes] = []
        self._count = 0

    def put(self, type: str, **members: Any) -> None:
        """Add an event."""
        number = self._progress.sequence
        self._frames.append(frame_of({"type": type, "sequence_number": number, **members}))
        self._progress.sequence = number + 1

    def taken(self) -> bytes:
        """Return the frames since the last time."""
        frames = b"".join(self._frames)
        self._frames.clear()
        return frames

    def begin(self, kind: str, item: dict[str, Any]) -> int:
        """Begin an item, which gets its id; return its index."""
        index = self._count
        self._count += 1
        suffix = self._progress.response_id.removeprefix("resp_")
        item["id"] = f"{kind}_{suffix}{index:04x}"
        self.put("response.output_item.added", output_index=index, item=item)
        return index

    def end(self, index: int, item: dict[str, Any]) -> None:
        """End an item, which is now part of the answer."""
        self._progress.output[index] = item
        self.put("response.output_item.done", output_index=index, item=item)


class Item(Protocol):
    """An item that is open."""

    def close(self, status: Status) -> None:
        """Write what ends it."""


class MessageItem:
    """Text, refusals and citations."""

    __slots__ = ("_at", "_index", "_item", "_length", "_outlet", "_part", "_pieces")

    def __init__(self, outlet: Outlet) -> None:
        """Begin a message."""
        self._outlet = outlet
        self._item: dict[str, Any] = {
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        self._index = outlet.begin("msg", self._item)
        self._part: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._length = 0
        self._at: dict[str, Any] = {}

    def add_text(self, text: str, logprobs: list[dict[str, Any]] | None) -> None:
        """Add text, with what each of its tokens could have been."""
        self._open_text()
        shown = [_logprob(one) for one in objects(logprobs)]
        self._part["logprobs"] += shown
        self._add(text)
        self._outlet.put("response.output_text.delta", **self._at, delta=text, logprobs=shown)

    def add_refusal(self, text: str) -> None:
        """Add to the refusal."""
        self._open({"type": "refusal", "refusal": ""})
        self._add(text)
        self._outlet.put("response.refusal.delta", **self._at, delta=text)

    def cite(self, cited: Cited) -> None:
        """Add a source; where its place is not known it stands at the end of the text so far."""
        self._open_text()
        annotations = self._part["annotations"]
        annotation = {
            "type": "url_citation",
            "url": cited.url,
            "title": cited.title or "",
            "start_index": self._length if cited.start is None else cited.start,
            "end_index": self._length if cited.end is None else cited.end,
        }
        self._outlet.put(
            "response.output_text.annotation.added",
            **self._at,
            annotation_index=len(annotations),
            annotation=annotation,
        )
        annotations.append(annotation)

    def close(self, status: Status) -> None:
        """End the part and the message."""
        self._close_part()
        self._item["status"] = status
        self._outlet.end(self._index, self._item)

    def _open_text(self) -> None:
        self._open({"type": "output_text", "text": "", "annotations": [], "logprobs": []})

    def _open(self, empty: dict[str, Any]) -> None:
        if self._part.get("type") == empty["type"]:
            return
        self._close_part()
        self._part = empty
        self._at = {
            "item_id": self._item["id"],
            "output_index": self._index,
            "content_index": len(self._item["content"]),
        }
        self._outlet.put("response.content_part.added", **self._at, part=empty)

    def _add(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)

    def _close_part(self) -> None:
        part, text = self._part, "".join(self._pieces)
        if not part:
            return
        if part["type"] == "refusal":
            part["refusal"] = text
            self._outlet.put("response.refusal.done", **self._at, refusal=text)
        else:
            part["text"] = text
            self._outlet.put(
                "response.output_text.done", **self._at, text=text, logprobs=part["logprobs"]
            )
        self._outlet.put("response.content_part.done", **self._at, part=part)
        self._item["content"].append(part)
        self._part, self._pieces, self._length = {}, [], 0


class ReasoningItem:
    """Reasoning: its text or the summary of it, and what its maker wants back."""

    __slots__ = ("_at", "_index", "_is_open", "_is_summary", "_item", "_outlet", "_pieces")

    def __init__(self, outlet: Outlet) -> None:
        """Begin a reasoning item."""
        self._outlet = outlet
        self._item: dict[str, Any] = {"type": "reasoning", "summary": []}
        self._index = outlet.begin("rs", self._item)
        self._pieces: list[str] = []
        self._at: dict[str, Any] = {}
        self._is_open = self._is_summary = False

    @property
    def is_sealed(self) -> bool:
        """Whether it has what its maker wants back."""
        return "encrypted_content" in self._item

    def add(self, text: str, *, is_summary: bool) -> None:
        """Add text."""
        if not self._is_open or self._is_summary != is_summary:
            self._close_part()
            self._open(is_summary=is_summary)
        self._pieces.append(text)
        self._put("reasoning_summary_text" if is_summary else "reasoning_text", "delta", delta=text)

    def seal(self, content: str) -> None:
        """Add what its maker wants back: it comes with the end of the item."""
        self._item["encrypted_content"] = content

    def close(self, _status: Status) -> None:
        """End the part and the item."""
        self._close_part()
        self._outlet.end(self._index, self._item)

    def _open(self, *, is_summary: bool) -> None:
        self._is_open, self._is_summary = True, is_summary
        place = self._item.setdefault("summary" if is_summary else "content", [])
        self._at = {
            "item_id": self._item["id"],
            "output_index": self._index,
            "summary_index" if is_summary else "content_index": len(place),
        }
        self._put(self._part_kind, "added", part=self._part(""))

    def _close_part(self) -> None:
        if not self._is_open:
            return
        text = "".join(self._pieces)
        part = self._part(text)
        kind = "reasoning_summary_text" if self._is_summary else "reasoning_text"
        self._put(kind, "done", text=text)
        self._put(self._part_kind, "done", part=part)
        self._item["summary" if self._is_summary else "content"].append(part)
        self._is_open, self._pieces = False, []

    @property
    def _part_kind(self) -> str:
        return "reasoning_summary_part" if self._is_summary else "content_part"

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "summary_text" if self._is_summary else "reasoning_text", "text": text}

    def _put(self, kind: str, what: str, **members: Any) -> None:
        self._outlet.put(f"response.{kind}.{what}", **self._at, **members)


class CallItem:
    """A call of one of the client's functions."""

    __slots__ = ("_at", "_index", "_item", "_outlet", "_pieces")

    def __init__(
        self, outlet: Outlet, call_id: str, name: str, namespace: str | None = None
    ) -> None:
        """Begin a call."""
        self._outlet = outlet
        self._item: dict[str, Any] = {
            "type": "function_call",
            "status": "in_progress",
            "arguments": "",
            "call_id": call_id,
            "name": name,
        }
        if namespace is not None:
            self._item["namespace"] = namespace
        self._index = outlet.begin("fc", self._item)
        self._at = {"item_id": self._item["id"], "output_index": self._index}
        self._pieces: list[str] = []

    def add(self, arguments: str) -> None:
        """Add to the arguments."""
        self._pieces.append(arguments)
        self._outlet.put("response.function_call_arguments.delta", **self._at, delta=arguments)

    def close(self, status: Status) -> None:
        """End the call."""
        item, arguments = self._item, "".join(self._pieces)
        item["status"], item["arguments"] = status, arguments
        self._outlet.put(
            "response.function_call_arguments.done",
            **self._at,
            name=item["name"],
            arguments=arguments,
        )
        self._outlet.end(self._index, item)


def _logprob(token: dict[str, Any]) -> dict[str, Any]:
    """Return a token of chat's log probabilities with the members that a response's must have."""
    alternatives = [_alternative(one) for one in objects(token.get("top_logprobs"))]
    return {**_alternative(token), "top_logprobs": alternatives}


def _alternative(token: dict[str, Any]) -> dict[str, Any]:
    text = token.get("token")
    spelled = token.get("bytes")
    if spelled is None:
        spelled = list(text.encode()) if isinstance(text, str) else []
    return {"token": text, "logprob": token.get("logprob"), "bytes": spelled}
