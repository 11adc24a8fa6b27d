"""Every alarm that core can raise is explained: to commands and on the operators' page."""

from __future__ import annotations

import re

from kit.alarm_meanings import MEANINGS
from kit.settings import PROJECT_ROOT
from oneapi.common.v1.error_reason_pb2 import ErrorReason

_RAISED = re.compile(r"(?:Alarm|_alarm)\(\s*(?:tx,\s*act,\s*)?\"([a-z_]+)\"")
_NAMED = re.compile(r"raise_alarm\(\s*tx,\s*act,\s*([A-Z_]+)")
_OF_SPOOL = re.compile(r"def _alarm_of\(.*?\Z", re.DOTALL)
_WORD = re.compile(r"\"([a-z]+_[a-z_]+)\"")


def kinds() -> set[str]:
    """Return the kinds that core's code names, and those of refused records."""
    code = "\n".join(path.read_text() for path in (PROJECT_ROOT / "core").rglob("*.py"))
    reasons = {name.removeprefix("ERROR_REASON_").lower() for name in ErrorReason.keys()}  # noqa: SIM118 - an enum's
    refusals = {name for name in reasons if name.startswith("record_")}
    ends = _OF_SPOOL.search((PROJECT_ROOT / "core" / "admission" / "epochs.py").read_text())
    assert ends is not None
    named = {
        kind
        for name in set(_NAMED.findall(code))
        for kind in re.findall(rf'^{name}: Final = "([a-z_]+)"', code, re.MULTILINE)
    }
    return {*_RAISED.findall(code), *named, *_WORD.findall(ends.group()), *refusals}


def test_every_alarm_has_its_meaning_and_its_row() -> None:
    """And no meaning is left of an alarm that is gone."""
    page = (PROJECT_ROOT / "docs" / "operations.md").read_text()
    assert kinds() == set(MEANINGS)
    assert [kind for kind in MEANINGS if f"`{kind}`" not in page] == []
