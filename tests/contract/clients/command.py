"""Programs of a command line: coding agents and tools, run as a script would run them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from edge.demo.words import words
from tests.contract.clients.client import OK, SEEN, VERSION
from tests.contract.clients.environments import NodeEnvironment, PythonEnvironment
from tests.contract.clients.served import CASES, Served
from tests.contract.clients.upstream import Call
from tests.support.processes import until

QUESTION: Final = "Name a thing that is blue."
RUN_SECONDS_MAX: Final = 180.0
LEAVE_SECONDS_MAX: Final = 30.0
_LOOK_SECONDS: Final = 0.05
_BEFORE_LEAVING_SECONDS: Final = 0.5
_DEMO_WORDS: Final = sorted({one.strip().lower() for one in words(0, 4096)})
DEMO_TEXT: Final = re.compile(rf"(?:\b(?:{'|'.join(_DEMO_WORDS)})\b\s*){{8}}", re.IGNORECASE)
"""Eight words of the demo provider in a row: no other text has them."""
_REFUSAL: Final = re.compile(r"not valid|bad request", re.IGNORECASE)
_OUR_WORDS: Final = "upstream cut"
_NOWHERE: Final = "http://127.0.0.1:9"
# Whatever an agent wants to ask beside us (updates, price lists, packages) finds nobody.
_ALONE: Final = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), _NOWHERE),
    **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost"),
    "npm_config_registry": _NOWHERE,
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True)
class Place:
    """What a run finds: the client's environment, a home of its own, and our service."""

    folder: Path
    home: Path
    origin: str
    key: str
    models: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended; `code` is None where it was ended by us."""

    code: int | None
    output: str

    @property
    def has_text(self) -> bool:
        """Say whether the answer of the demo provider was shown."""
        return DEMO_TEXT.search(self.output) is not None


@dataclass(frozen=True, slots=True)
class Command:
    """A command line client; its functions say how it is set up and called."""

    name: str
    api: str
    environment: PythonEnvironment | NodeEnvironment
    setting: str
    prepare: Callable[[Place], None]
    words: Callable[[Place, str], list[str]]
    """The command for a model."""
    version: Callable[[Place], list[str]]
    tool_words: tuple[str, ...] = ()
    """What is added where tools are to be used."""
    variables: Callable[[Place], dict[str, str]] = lambda _place: {}
    note: str = ""
    lacks: Mapping[str, str] = field(default_factory=dict)

    def run(self, served: Served, key: str, models: Mapping[str, str]) -> dict[str, str]:
        """Run the command once for each case."""
        folder = self.environment.folder()
        with tempfile.TemporaryDirectory(prefix="oneapi-home-", ignore_cleanup_errors=True) as home:
            place = Place(folder, Path(home), served.origin, key, models)
            (place.home / "work").mkdir()
            self.prepare(place)
            told = self._ended(place, self.version(place), LEAVE_SECONDS_MAX).output
            number = re.search(r"\d+(?:\.\d+)+", told)
            cells = {VERSION: number.group() if number else "unknown"}
            return cells | self._cases(served, place)

    def _cases(self, served: Served, place: Place) -> dict[str, str]:
        cells = self._answers(served, place)
        if "tools" not in self.lacks:
            cells["tools"] = self._tools(served, place)
        cells["error"] = self._error(place)
        cells |= self._cut(served, place)
        cells["cancel"] = self._cancel(served, place)
        return cells

    def _answers(self, served: Served, place: Place) -> dict[str, str]:
        ran = self._ended(place, self.words(place, place.models["demo"]))
        told = OK if ran.code == 0 and ran.has_text else f"no answer, exit code {ran.code}"
        streams = all(_is_stream(one) for one in served.demo.calls(CASES["demo"]))
        return {"text": told, "stream": told if streams else "asked for no stream"}

    def _tools(self, served: Served, place: Place) -> str:
        ran = self._ended(place, [*self.words(place, place.models["tools"]), *self.tool_words])
        if not any(_has_results(one.body) for one in served.demo.calls(CASES["tools"])):
            return "no result of a tool was sent"
        return OK if ran.code == 0 and ran.has_text else f"no answer, exit code {ran.code}"

    def _error(self, place: Place) -> str:
        ran = self._ended(place, self.words(place, place.models["refused"]))
        return OK if _REFUSAL.search(ran.output) and not ran.has_text else "not shown"

    def _cut(self, served: Served, place: Place) -> dict[str, str]:
        """A cut is visible: as an error, or as an answer that is asked for again."""

        def times() -> int:
            bodies = [json.dumps(one.body) for one in served.demo.calls(CASES["cut"])]
            return max((bodies.count(one) for one in bodies), default=0)

        with self._started(place, self.words(place, place.models["cut"])) as run:
            until(lambda: run.poll() is not None or times() > 1, RUN_SECONDS_MAX)
        if run.returncode is None or times() > 1:
            return {"cut": OK, f"cut{SEEN}": "asks again"}
        if run.returncode == 0:
            return {"cut": "the part was taken for the whole"}
        words = " with our words" if _OUR_WORDS in run.told() else ""
        return {"cut": OK, f"cut{SEEN}": f"an error{words}, exit code {run.returncode}"}

    def _cancel(self, served: Served, place: Place) -> str:
        words = self.words(place, place.models["endless"])
        with self._started(place, words) as run:
            # An agent may end a first answer, which calls a tool, and then ask again.
            until(lambda: _is_answering(served) or run.poll() is not None, RUN_SECONDS_MAX)
            if run.poll() is not None:
                return "it ended by itself"
            run.send_signal(signal.SIGINT)
            try:
                run.wait(LEAVE_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                return "it did not end"
        return OK

    def _ended(self, place: Place, words: list[str], seconds: float = RUN_SECONDS_MAX) -> Ran:
        with self._started(place, words) as run:
            try:
                code = run.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
        return Ran(code, run.told())

    def _started(self, place: Place, words: list[str]) -> Running:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        home = {"HOME": str(place.home), "TMPDIR": str(place.home)}
        variables = {**kept, **_ALONE, **home, **self.variables(place)}
        return Running(words, place.home, variables)


class Running:
    """`with Running(...)`: a process of its own group, which ends with the block."""

    def __init__(self, words: list[str], home: Path, variables: dict[str, str]) -> None:
        """Start it without a terminal."""
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  closed with the block
        self._text = ""
        self._process = subprocess.Popen(
            words,
            cwd=home / "work",
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.poll = self._process.poll
        self.wait = self._process.wait
        self.send_signal = self._process.send_signal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.returncode = self._process.poll()
        with contextlib.suppress(ProcessLookupError):
            # What it has started must not outlive it.
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with self._output as output:
            output.seek(0)
            self._text = output.read().decode(errors="replace")

    def told(self) -> str:
        """Return what it wrote, once it has ended."""
        return self._text


def _is_answering(served: Served) -> bool:
    """Say whether an answer runs that has run for a while."""
    running = [one for one in served.demo.calls(CASES["endless"]) if not one.outcome]
    time.sleep(_BEFORE_LEAVING_SECONDS)
    return any(not one.outcome for one in running)


def _is_stream(call: Call) -> bool:
    body: Any = call.body
    return "streamGenerateContent" in call.path or body.get("stream") is True


def _has_results(body: Any) -> bool:
    """Say whether a request, of any API, gives the model what a tool returned."""
    if isinstance(body, dict):
        kind, role = body.get("type"), body.get("role")
        # In a schema these may be anything.
        if kind in ("tool_result", "function_call_output") or role == "tool":
            return True
        return "functionResponse" in body or any(_has_results(one) for one in body.values())
    return isinstance(body, list) and any(_has_results(one) for one in body)
