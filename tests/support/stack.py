"""The whole service for tests: `1api up` on free ports, in front of a replay upstream.

One public model for each recording (chats: `rec-017`, others: `rec-messages-004`), with the
recording's own upstream name, so that the real rules of that provider apply. `fallback` has two
candidates, of which the first is broken.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final, Self

import grpc
import httpx
import pytest

from kit.charge import Dimension, Price
from kit.rpc.client import sync_channel
from kit.rpc.identity import Tokens
from tests.contract.charge_table import CHARGES, GPT_41_MINI
from tests.support.operator_calls import CALL_SECONDS_MAX, OperatorCalls
from tests.support.postgres import PostgresServer, forgetful_server
from tests.support.processes import PATIENCE_SECONDS, children_of, until
from tests.support.recordings import PROJECT, Recording, load_fixtures, load_recordings
from tests.support.replay.client import ReplayProcess

START_SECONDS_MAX = 120.0
CREDIT_NANOS = 10_000_000_000_000
TEXT = "openai-chat-text"
STREAM = "openai-chat-text-stream-usage"
TOOLS = "openai-chat-tool"
_COMMAND = (sys.executable, "-c", "from kit.cli import main; main()")
INPUT_OVERHEAD_TOKENS = 32_768
_CATALOGUE_VERSION = "oneapi_edge_catalog_version"
SPARE_UPSTREAMS = ("served_chat", "served_responses", "served_messages", "served_generate")
"""Upstreams with a credential that are in no catalogue until a test imports one with them."""
_PATIENT = {"first_byte_timeout_ms": 120_000, "idle_timeout_ms": 120_000}
_QUICK = {"first_byte_timeout_ms": 3_000, "idle_timeout_ms": 3_000}


@cache
def recorded_chats() -> dict[str, Recording]:
    """Return all chats that can be replayed, by stem: recordings at hand, and our fixtures."""
    return recorded("chat_completions")


@cache
def _every_recording() -> list[Recording]:
    return [*load_recordings(), *load_fixtures()]


SURFACE_ENDS: Final = {
    "chat_completions": ("/chat/completions",),
    "responses": ("/responses",),
    "messages": ("/messages",),
    "count_tokens": ("/messages/count_tokens", ":countTokens"),
    "generate_content": (":generateContent", ":streamGenerateContent"),
    "completions": ("/v1/completions",),
    "embeddings": ("/embeddings",),
    "moderations": ("/moderations",),
}
"""How the paths end at which each surface's exchanges were recorded."""
_KINDS: Final = {"embeddings": "embedding", "moderations": "moderation"}
_DIALECTS: Final = {"anthropic": "anthropic", "google": "google"}


@cache
def recorded(surface: str) -> dict[str, Recording]:
    """Return the exchanges of a surface that can be replayed, by stem; ours are among them."""
    ends = SURFACE_ENDS[surface]
    found = {one.stem: one for one in _every_recording() if one.path.endswith(ends)}
    if surface == "completions":
        return {stem: one for stem, one in found.items() if "/chat/" not in one.path}
    return found


@cache
def public_ids() -> dict[str, str]:
    """Return the public model of each recording; an exchange belongs to one surface."""
    named: dict[str, str] = {}
    for surface in SURFACE_ENDS:
        part = "" if surface == "chat_completions" else f"{surface.replace('_', '-')}-"
        for number, stem in enumerate(sorted(recorded(surface))):
            named[stem] = f"rec-{part}{number:03}"
    return named


def price_of(stem: str) -> Price:
    """Return the price that a recorded chat is charged at: its row's in the table, if any."""
    return next((row.price for row in CHARGES if row.stem == stem), GPT_41_MINI)


def _tiers(price: Price) -> list[dict[str, int]]:
    return [
        {
            "above_context_tokens": tier.above_context_tokens,
            **{one.name.lower(): tier.rates[one] for one in Dimension},
        }
        for tier in price.tiers
    ]


def _model(
    public_id: str,
    price: Price,
    candidates: list[dict[str, Any]],
    overhead: int = INPUT_OVERHEAD_TOKENS,
    kind: str = "text",
) -> dict[str, Any]:
    return {
        "public_id": public_id,
        "kind": kind,
        "display_name": public_id,
        "maker": "tests",
        "context_tokens": 1_000_000,
        "max_output_tokens": 8_192,
        "input_overhead_tokens": overhead,
        "input_overhead_with_tools_tokens": overhead,
        "image_max_tokens": 4_096,
        "audio_max_tokens": 4_096,
        "file_max_tokens": 65_536,
        "routes": [{"lanes": ["default", "economy", "priority"], "candidates": candidates}],
        "prices": [{"lanes": ["default", "economy", "priority"], "tiers": _tiers(price)}],
    }


def _overhead_of(chat: Recording) -> int:
    """Return what covers the recorded input: a few fixtures claim more than their request holds."""
    usage = chat.response.get("usage") if isinstance(chat.response, dict) else None
    counted: int = (usage or {}).get("prompt_tokens", 0)
    return max(INPUT_OVERHEAD_TOKENS, counted)


def _candidate(
    upstream: str, stem: str, priority: int = 0, surface: str = "chat_completions"
) -> dict[str, Any]:
    named = {"upstream": upstream, "upstream_model": ReplayProcess.model(stem)}
    surfaces = [surface]
    if surface == "count_tokens":
        surfaces.append("generate_content" if upstream == "google" else "messages")
    return {**named, "priority": priority, "surfaces": surfaces, **_QUICK}


def _models_of(surface: str) -> list[dict[str, Any]]:
    names, kind = public_ids(), _KINDS.get(surface, "text")
    return [
        _model(
            names[stem],
            price_of(stem),
            [_candidate(one.provider, stem, surface=surface)],
            _overhead_of(one),
            kind,
        )
        for stem, one in sorted(recorded(surface).items())
    ]


def _upstream(name: str, base_url: str) -> dict[str, Any]:
    """Return an upstream that serves what was recorded of it."""
    surfaces = [
        surface
        for surface in SURFACE_ENDS
        if any(one.provider == name for one in recorded(surface).values())
    ]
    return {
        "name": name,
        "base_url": base_url,
        "dialect": _DIALECTS.get(name, "openai"),
        "stream_end": "eof" if name == "google" else "terminal",
        "surfaces": surfaces or ["chat_completions"],
    }


def catalogue_document(base_url: str) -> dict[str, Any]:
    """Return the catalogue of these tests, with all upstreams at one replay upstream."""
    models = [model for surface in SURFACE_ENDS for model in _models_of(surface)]
    providers = {model["routes"][0]["candidates"][0]["upstream"] for model in models}
    both = [_candidate("broken", TEXT), _candidate("openai", STREAM, priority=1)]
    models.append(_model("fallback", GPT_41_MINI, both))
    models.append(_model("drained", GPT_41_MINI, [_candidate("draining", STREAM)]))
    upstreams = [_upstream(name, base_url) for name in sorted({*providers, "broken", "draining"})]
    for one in upstreams:
        if one["name"] == "draining":
            one["disconnect_policy"] = "drain"
    patient = {**_candidate("openai", STREAM), **_PATIENT}
    models.append(_model("patient", GPT_41_MINI, [patient]))
    return {"format": 1, "upstreams": upstreams, "models": models}


def _variable(provider: str) -> str:
    return {"google": "GEMINI"}.get(provider, provider.upper())


@dataclass
class Stack(OperatorCalls):
    """The running service; `with` ends it."""

    data_dir: Path
    replay: ReplayProcess
    database_url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*_COMMAND, "up", "--with-parent"],
                cwd=PROJECT,
                env={**self.environment, "DATABASE_URL": self.database_url},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._await_ready()
            self.import_catalogue(catalogue_document(self.replay.base_url))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _await_ready(self) -> None:
        path, process = self.data_dir / "ready.json", self.process
        assert process is not None
        until(lambda: path.exists() or process.poll() is not None, START_SECONDS_MAX)
        assert process.poll() is None, self._why()

    def _why(self) -> str:
        """Return what the service said before it ended, and the last words of each child."""
        logs = sorted(self.data_dir.rglob("*.log"))
        last = [f"{one.name}: {one.read_text()[-2_000:]}" for one in logs]
        return "\n".join([self.output.read_text(), *last])

    def import_catalogue(self, document: Mapping[str, Any]) -> None:
        """Import a catalogue and wait until the edge has it.

        That it knows the last model is not enough: it may know it from before, at an upstream
        whose address has changed with this import.
        """
        file = self.data_dir / "test-catalogue.json"
        file.write_text(json.dumps(document))
        known = self._catalogue_version()
        if self.run("catalog", "import", str(file)):
            until(lambda: self._catalogue_version() > known)
        last = f"{self.base_url}/models/{document['models'][-1]['public_id']}"
        until(lambda: httpx.get(last, trust_env=False).status_code == 200)

    def _catalogue_version(self) -> float:
        answer = httpx.get(f"{self.base_url.removesuffix('/v1')}/metrics", trust_env=False)
        lines = (line.rpartition(" ") for line in answer.text.splitlines())
        return next(float(value) for name, _, value in lines if name == _CATALOGUE_VERSION)

    @property
    def output(self) -> Path:
        """Return the file with what `1api up` wrote."""
        return self.data_dir / "up.out"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of `1api`: nothing of the caller's but its paths."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        ours = {"EDGE_PORT": "0", "CORE_PORT": "0", "ARCHIVER_PORT": "0", **self.settings}
        ours.setdefault("STRIPE_SIMULATOR", "false")
        ours["DATA_DIR"] = str(self.data_dir)
        providers = [one["name"] for one in catalogue_document(self.replay.base_url)["upstreams"]]
        known = [*providers, *SPARE_UPSTREAMS]
        return {
            **inherited,
            **{f"ONEAPI_{name}": value for name, value in ours.items()},
            **{f"{_variable(name)}_API_KEY": f"credential-of-{name}" for name in known},
            **{f"{_variable(name)}_BASE_URL": self.replay.base_url for name in providers},
        }

    def stop(self) -> None:
        """End the service."""
        process = self.process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE_SECONDS)
        if "channel" in self.__dict__:
            self.channel.close()

    @cached_property
    def ready(self) -> dict[str, Any]:
        """Return what ready.json says."""
        found: dict[str, Any] = json.loads((self.data_dir / "ready.json").read_bytes())
        return found

    @property
    def edge_pid(self) -> int:
        """Return the process id of the first edge worker."""
        assert self.process is not None
        for pid in children_of(self.process.pid):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"edge" in words:
                return pid
        raise LookupError

    @property
    def base_url(self) -> str:
        """Return where clients go; it ends in `/v1`."""
        return str(self.ready["base_url"])

    @property
    def api_key(self) -> str:
        """Return the example workspace's key."""
        return str(self.ready["api_key"])

    @cached_property
    def workspace_id(self) -> str:
        """Return the example workspace."""
        example = json.loads((self.data_dir / "dev" / "example.json").read_bytes())
        return str(example["workspace_id"])

    @cached_property
    def channel(self) -> grpc.Channel:
        """Return an operator's channel to core."""
        token = Tokens.read(Path(self.ready["credentials"])).of("operator")
        return sync_channel(self.ready["core_target"], token)

    def run(self, *words: str, expected: int = 0) -> Any:
        """Run a command of `1api` and return its JSON output."""
        done = subprocess.run(
            [*_COMMAND, *words, "--json"],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == expected, (done.stdout + done.stderr).decode()
        return json.loads(done.stdout or b"null")

    def client(self, api_key: str | None = None) -> httpx.Client:
        """Return a plain HTTP client with a key."""
        headers = {"authorization": f"Bearer {api_key or self.api_key}"}
        return httpx.Client(
            base_url=self.base_url, headers=headers, timeout=CALL_SECONDS_MAX, trust_env=False
        )


@contextmanager
def service() -> Iterator[Stack]:
    """Run the service outside of pytest, on a database of its own, with plenty of credit."""
    with tempfile.TemporaryDirectory(prefix="oneapi-service-") as folder:
        data_dir = Path(folder) / "data"
        data_dir.mkdir()
        with (
            forgetful_server() as server,
            ReplayProcess() as replay,
            Stack(data_dir, replay, server.dsn) as running,
        ):
            running.grant(CREDIT_NANOS)
            yield running


@pytest.fixture(scope="session")
def stack(
    postgres_server: PostgresServer,
    migrated_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """Run the whole service for the session, with plenty of credit."""
    database_url = postgres_server.make_database(template=migrated_template)
    with (
        ReplayProcess() as replay,
        Stack(
            tmp_path_factory.mktemp("stack"),
            replay,
            database_url,
            {"KEEPALIVE_SECONDS": "0.2", "REQUEST_MAX_SECONDS": "60"},
        ) as running,
    ):
        running.grant(CREDIT_NANOS)
        yield running
    postgres_server.drop_database(database_url)
