"""Start a replay upstream for a test, order its faults and read what it saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.recordings import FIXTURES_FOLDER, RECORDINGS_FOLDER
from tests.support.replay.calls import Call
from tests.support.replay.faults import ANY
from tests.support.server_process import ServerProcess

CONTROL_SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """One request as it reached the upstream; `stem` is None where no recording answered it."""

    stem: str | None
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Calls:
    """What the upstream saw since its last reset; times are CLOCK_MONOTONIC nanoseconds."""

    counts: dict[str, int]
    outcomes: dict[str, int]
    unmatched: int
    running: int
    ended: list[Call]
    requests: list[SeenRequest]
    connections_open: int
    connections_opened: int

    @property
    def total(self) -> int:
        """Calls that a recording answered or was about to."""
        return sum(self.counts.values())

    @property
    def cancelled(self) -> list[Call]:
        """Calls that the client left; `ended_ns` is the moment when that was noticed."""
        return [call for call in self.ended if call.outcome == "cancelled"]


class ReplayProcess(ServerProcess):
    """`with ReplayProcess() as replay:` — an upstream made of recordings and own fixtures."""

    def __init__(
        self, recordings: Path = RECORDINGS_FOLDER, fixtures: Path = FIXTURES_FOLDER
    ) -> None:
        """Serve both folders; one that is absent counts as empty."""
        folders = ("--recordings", str(recordings), "--fixtures", str(fixtures))
        super().__init__("tests.support.replay", "--port", "0", *folders)

    @staticmethod
    def model(stem: str) -> str:
        """Give the upstream model name that asks for one recording."""
        return f"replay/{stem}"

    def set_faults(self, stem: str = ANY, **faults: Any) -> None:
        """Replace the faults of one recording, or of any; see `faults.Faults` for the names."""
        self._control("POST", "faults", {stem: faults})

    def set_fault_sequence(self, stem: str, each: list[dict[str, Any]]) -> None:
        """Give one answer's faults after the other; the last of them stays in force."""
        self._control("POST", "faults", {stem: each})

    def clear_faults(self, stem: str = ANY) -> None:
        """Take the faults of one recording, or of any, away."""
        self._control("POST", "faults", {stem: None})

    def reset(self) -> None:
        """Forget all faults and calls."""
        self._control("POST", "reset", {})

    def calls(self) -> Calls:
        """Read what the upstream saw."""
        seen = self._control("GET", "calls", None)
        return Calls(
            counts=seen["counts"],
            outcomes=seen["outcomes"],
            unmatched=seen["unmatched"],
            running=seen["running"],
            ended=[Call(**call) for call in seen["ended"]],
            requests=[SeenRequest(**request) for request in seen["requests"]],
            connections_open=seen["connections"]["open"],
            connections_opened=seen["connections"]["opened"],
        )

    def recordings(self) -> list[str]:
        """Give the stems that can be asked for."""
        stems: list[str] = self._control("GET", "recordings", None)
        return stems

    def _control(self, method: str, name: str, body: Any) -> Any:
        url = f"{self.origin}/_replay/{name}"
        # Plain HTTP: to load the authorities for each order would take longer than the order.
        plain = httpx.Client(timeout=CONTROL_SECONDS_MAX, trust_env=False, verify=False)  # noqa: S501
        with plain as client:
            answered = client.request(method, url, json=body)
        answered.raise_for_status()
        return answered.json()
