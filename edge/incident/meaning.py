"""What each fact about a request means, in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from edge.incident.spools import QuarantinedFrame, SpoolFrame
from kit.alarm_meanings import meaning_of

_STANDINGS: Final = {
    "recorded": "It has its usage record; what it cost was taken once.",
    "late": "Its record came after its month was archived: kept, and never charged.",
    "refused": "Core refused its record for good: nothing was charged.",
    "claimed": "It claimed an idempotency key and has no record yet.",
    "archived": "Its month is in the archive only: look for it there.",
    "unheard": "Core has never heard of it.",
    "future": "Its id says a time that has not come: no edge with a right clock minted it.",
}
_IN_SPOOL: Final = (
    "Its outcome is in a spool here and will be recorded when core takes it.",
    "It is running, or its client has not had the last byte: accepted, and not finished.",
    "Its edge died while it ran: whoever adopts the spool records it as a crash.",
)
_NOWHERE: Final = (
    "No spool on this machine has it either. Another machine's edge may; else it was refused before"
    " it was accepted, and nothing was used."
)


def meanings(
    incident: Mapping[str, Any] | None,
    frames: Sequence[SpoolFrame],
    quarantine: Sequence[QuarantinedFrame],
) -> list[str]:
    """Return a line for each thing that is known."""
    if incident is None:
        lines = ["Core cannot be reached: only the folders of this machine were looked at."]
    else:
        lines = [_STANDINGS.get(incident["standing"], "Core does not say where it stands.")]
        lines += _of_record(incident["usage"] or {})
        lines += [meaning_of(alarm["kind"]) for alarm in incident["alarms"]]
        lines += _of_claim(incident)
    recorded = incident is not None and incident["usage"] is not None
    lines += _of_frames(frames, recorded=recorded)
    lines += [_quarantine_line(one) for one in quarantine]
    if _is_unheard(incident) and not frames and not quarantine:
        lines.append(_NOWHERE)
    return lines


def is_known(
    incident: Mapping[str, Any] | None,
    frames: Sequence[SpoolFrame],
    quarantine: Sequence[QuarantinedFrame],
) -> bool:
    """Say whether anything but its id is known of the request."""
    heard = incident is not None and incident["standing"] not in {"unheard", "future"}
    return heard or bool(frames) or bool(quarantine)


def _is_unheard(incident: Mapping[str, Any] | None) -> bool:
    return incident is not None and incident["standing"] == "unheard"


def _of_record(usage: Mapping[str, Any]) -> Iterator[str]:
    if usage.get("outcome") == "edge_crash":
        yield "Its edge died while it ran; at most what was provably delivered is charged."
    if usage.get("outcome") == "cancelled":
        yield "Its client left before the end."
    if usage.get("waive_reason"):
        yield f"Its charge was waived: {usage['waive_reason']}."
    if usage.get("usage_source") == "estimated":
        yield "The provider did not say what was used: the quantities are an estimate of ours."
    attempts = usage.get("attempts") or []
    failed = sum(bool(attempt["error_class"]) for attempt in attempts)
    if failed:
        yield f"{failed} of {len(attempts)} attempts at upstreams failed."


def _of_claim(incident: Mapping[str, Any]) -> Iterator[str]:
    claim = incident["claim"]
    if claim is None:
        return
    if claim["released"]:
        yield "The idempotency key that it came with was given back: it called nobody."
    elif incident["usage"] is None:
        yield "Its idempotency key is taken until its record comes or its edge's epoch is closed."


def _of_frames(frames: Sequence[SpoolFrame], *, recorded: bool) -> Iterator[str]:
    if not frames:
        return
    if recorded:
        yield "Its frames are still in a spool here: nothing is missing, the segment goes later."
        return
    kinds = {frame.kind for frame in frames}
    if "withdrawn" in kinds:
        yield "Its outcome was withdrawn: neither disk nor core took it. It ends as a crash."
    elif "outcome" in kinds:
        yield _IN_SPOOL[0]
    else:
        yield _IN_SPOOL[1] if any(frame.owned for frame in frames) else _IN_SPOOL[2]


def _quarantine_line(one: QuarantinedFrame) -> str:
    who = "Core refused it" if one.origin == "core" else "It could not be read"
    return f"{who} ({one.reason}): the frame is in the quarantine of edge {one.edge_id}."
