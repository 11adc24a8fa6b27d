"""The service with one edge, one core and its database, an upstream, and every byte kept."""

from __future__ import annotations

import asyncio
import random
import resource
import secrets
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from kit.charge import Dimension
from kit.secret import HINT_LENGTH, new_secret
from oneapi.keys.v1 import api_key_pb2, key_service_pb2, key_service_pb2_grpc
from tests.contract.charge_table import GPT_41_MINI
from tests.leaktest import media, text
from tests.leaktest.canaries import Case, Kind, Mint
from tests.leaktest.clients import Call, call_all
from tests.leaktest.faulty import MARK, PAGE, Page
from tests.leaktest.needles import Finder
from tests.leaktest.sinks import Looked, look_at_files
from tests.leaktest.traced import TRACE
from tests.leaktest.upstream import MODES
from tests.support.cluster import Cluster, CoreNode, EdgeNode
from tests.support.operator_calls import CALL_SECONDS_MAX
from tests.support.processes import until
from tests.support.server_process import ServerProcess

MIB = 1024 * 1024
MAX_BODY_BYTES = 128 * 1024
MAX_ANSWER_BYTES = MIB
QUICK = {"first_byte_timeout_ms": 1_000, "idle_timeout_ms": 1_000}
PLENTY_NANOS = 10_000_000_000_000
EDGE_SETTINGS = {
    "KEEPALIVE_SECONDS": "0.2",
    "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
    "MAX_ANSWER_BYTES": str(MAX_ANSWER_BYTES),
    "DRAIN_SECONDS": "1",
}
VERBOSE = {
    "GRPC_VERBOSITY": "debug",
    "GRPC_TRACE": "api,http,channel,call_error,client_channel,server_channel",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONDEVMODE": "1",
    "PYTHONWARNINGS": "always",
    "PYTHONFAULTHANDLER": "1",
    "ONEAPI_LOG_LEVEL": "DEBUG",
}
"""Everything that makes the interpreter and the libraries talk; production refuses to start so."""

REPEATS_MAX = 8
PAUSE_SECONDS = 1.0
FAULTY = ("tests.leaktest.faulty",)
TRACED = ("tests.leaktest.traced",)


@dataclass
class Marks:
    """The kinds of canaries of one run."""

    request: Kind
    answer: Kind
    credential: Kind
    exception: Kind
    memory: Kind
    handed: Kind
    """What the edge hands over to core as it came: see `own`."""

    @classmethod
    def new(cls, seed: int) -> Marks:
        """Draw the marks."""
        chance = random.Random(seed)
        names = ("request", "answer", "credential", "exception", "memory", "handed")
        return cls(*Kind.new(*names, chance=chance))


@dataclass
class World:
    """`with World(folder) as world:` and everything runs."""

    folder: Path
    edge_variables: Mapping[str, str] = field(default_factory=dict)
    marks: Marks = field(default_factory=lambda: Marks.new(secrets.randbits(64)))
    every: int = 1
    """Of the places that can be made to fail, each so many-th is."""
    calls_made: int = 0
    faults: int = 0
    opens: int = 0
    writes: list[str] = field(default_factory=list)
    """Files that a traced edge opened for writing outside of its spool."""

    def __post_init__(self) -> None:
        self.mint = Mint(self.marks.request)
        self.handed_mint = Mint(self.marks.handed)
        self.upstream = ServerProcess("tests.leaktest.upstream", self.marks.answer.mark)
        self.wires = self.folder / "wires"
        self.wires.mkdir()
        self.unknown_key = new_secret()
        self.looked = Looked()
        self.temporary = self.folder / "temporary"
        self.temporary.mkdir()
        self.pages = {name: Page(self.folder / f"{name}.page") for name in ("edge", "core")}
        variables = {name: self.credential(name) for name in ("leak", "draining", *text.UPSTREAMS)}
        self.cluster = Cluster(
            self.folder / "service",
            record=self.wires,
            temporary=self.temporary,
            edge_settings=EDGE_SETTINGS,
            with_archiver=True,
            provider_variables={
                f"{name.upper().replace('-', '_')}_API_KEY": it for name, it in variables.items()
            },
        )
        self._environments: dict[str, Mapping[str, str]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # As a careless installation would have it: what is forbidden, we forbid ourselves.
        _, most = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        try:
            self._stack.enter_context(self.upstream)
            self._stack.enter_context(self.cluster)
            if self.edge_variables:
                self.start_edge(variables=self.edge_variables)
            self.cluster.import_catalogue(self._catalogue())
            self.cluster.grant(PLENTY_NANOS)
            self.other_key_id, self.other_key = self.cluster.make_key()
            _, self.archive_key = self.cluster.make_key(
                "", api_key_pb2.PERMISSION_ARCHIVES_DOWNLOAD
            )
        except BaseException:
            self._stack.close()
            raise
        keys = {
            "key": self.key,
            "unknown key": self.unknown_key,
            "archive key": self.archive_key,
        }
        marks = self.marks
        self.finder = Finder(
            (marks.request, marks.answer, marks.credential, marks.exception, marks.handed),
            {name: secret[HINT_LENGTH:] for name, secret in keys.items()},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- what it is made of

    def credential(self, upstream: str) -> str:
        """Return an upstream's credential, itself a canary."""
        return "sk-" + self.marks.credential.canary(len(upstream))

    @property
    def edge(self) -> EdgeNode:
        """Return the edge."""
        return self.cluster.edges[0]

    @property
    def core(self) -> CoreNode:
        """Return the core."""
        return self.cluster.cores[0]

    @property
    def key(self) -> str:
        """Return the example workspace's key."""
        return self.cluster.api_key

    def case(self, name: str) -> Case:
        """Begin a case."""
        return self.mint.case(name)

    def handed(self, name: str) -> Case:
        """Begin a case of what is handed over to core."""
        return self.handed_mint.case(name)

    def _catalogue(self) -> dict[str, Any]:
        url = self.upstream.base_url
        upstreams: list[dict[str, Any]] = [
            {"name": name, "base_url": url} for name in ("leak", "draining")
        ]
        upstreams[0]["surfaces"] = media.SURFACES
        upstreams[1]["disconnect_policy"] = "drain"
        upstreams += [
            {"name": name, "base_url": url, **facts} for name, facts in text.UPSTREAMS.items()
        ]
        models = [
            _model(f"mode-{name}", [_candidate("leak", f"mode/{name}")]) for name in sorted(MODES)
        ]
        models += media.models(
            lambda name, mode: _model(name, [_candidate("leak", f"mode/{mode}")])
        )
        models += text.models(
            lambda name, upstream, mode: _model(name, [_candidate(upstream, f"mode/{mode}")])
        )
        models.append(_model("drained", [_candidate("draining", "mode/slow")]))
        both = [_candidate("leak", "mode/html-500"), _candidate("draining", "mode/ok", 1)]
        models.append(_model("fallback", both))
        return {"format": 1, "upstreams": upstreams, "models": models}

    # --- what happens to it

    def call(self, calls: Iterable[Call]) -> dict[str, bytes]:
        """Make calls and look through the answers for what no client may see."""
        wanted = list(calls)
        self.calls_made += len(wanted)
        answers = asyncio.run(call_all(self.edge.port, wanted))
        self.look_at_answers(answers)
        return answers

    def insist(self, calls: Iterable[Call]) -> dict[str, bytes]:
        """Make calls and repeat those that are told to come again, as clients do on a busy day."""
        waiting = {call.name: call for call in calls}
        answers: dict[str, bytes] = {}
        for _ in range(REPEATS_MAX):
            answers |= self.call(waiting.values())
            refused = [name for name in waiting if answers[name].startswith(b"HTTP/1.1 503")]
            waiting = {
                name: waiting[name].again() for name in refused if b"retry-after" in answers[name]
            }
            if not waiting:
                break
            time.sleep(PAUSE_SECONDS)
        return answers

    def look_at_answers(self, answers: Mapping[str, bytes]) -> None:
        """An answer may hold the client's own request and the model's answer, and nothing else."""
        allowed = (self.marks.credential, self.marks.exception)
        finder = Finder(allowed, self.finder.secrets)
        for name, answer in answers.items():
            self.looked.through(finder, "answers", name, answer)

    def look_at_spool(self) -> None:
        """Look through the spool now: later, what is in it will have been shipped and removed."""
        look_at_files(self.looked, self.finder, "spool", self.cluster.data_dir / "spool")

    def look_at_metrics(self) -> None:
        """Look through the metrics of this life of the edge."""
        url = f"http://127.0.0.1:{self.edge.port}/metrics"
        with httpx.Client(trust_env=False, timeout=10) as client:
            self.looked.through(self.finder, "metrics", "edge", client.get(url).content)

    def start_edge(
        self, *, faulty: bool = False, variables: Mapping[str, str] | None = None
    ) -> None:
        """Start the edge anew: as it is or told to fail, with more variables."""
        more = {**self.edge_variables, **(variables or {})}
        through = FAULTY if faulty else ()
        self._start_anew(self.edge, ("edge", "--slot", "0"), more, through=through)

    def start_traced_edge(self, trace: Path) -> None:
        """Start the edge anew with every file that it opens noted."""
        more = {**self.edge_variables, TRACE: str(trace)}
        self._start_anew(self.edge, ("edge", "--slot", "0"), more, through=TRACED)

    def start_core(
        self, *, faulty: bool = False, variables: Mapping[str, str] | None = None
    ) -> None:
        """Start core anew, likewise."""
        through = FAULTY if faulty else ()
        self._start_anew(self.core, ("core",), variables or {}, through=through)

    def _start_anew(
        self,
        node: EdgeNode | CoreNode,
        module: tuple[str, ...],
        variables: Mapping[str, str],
        *,
        through: tuple[str, ...],
    ) -> None:
        node.stop()
        original = self._environments.setdefault(node.name, node.environment)
        node.module = (*through, *module)
        if through == FAULTY:
            self.pages[module[0]].fail_at(-1)
            page = str(self.folder / f"{module[0]}.page")
            variables = {**variables, PAGE: page, MARK: self.marks.exception.mark}
        node.environment = {**original, **variables}
        node.start()
        self.cluster.until_serving(node)

    def revive(self) -> None:
        """Start what has ended and wait until requests are served again."""
        self.cluster.revive()
        until(self.edge.is_ready, 60.0)

    def revoke_other_key(self) -> None:
        """Revoke the second key."""
        stub = key_service_pb2_grpc.KeyServiceStub(self.cluster.channel)
        asked = key_service_pb2.RevokeKeyRequest(key_id=self.other_key_id)
        stub.RevokeKey(asked, timeout=CALL_SECONDS_MAX)


def _model(public_id: str, candidates: list[dict[str, Any]]) -> dict[str, Any]:
    tier = GPT_41_MINI.tiers[0]
    rates = {one.name.lower(): tier.rates[one] for one in Dimension}
    return {
        "public_id": public_id,
        "display_name": public_id,
        "maker": "tests",
        "context_tokens": 1_000_000,
        "max_output_tokens": 1_024,
        "image_max_tokens": 4_096,
        "audio_max_tokens": 4_096,
        "file_max_tokens": 4_096,
        "routes": [{"candidates": candidates}],
        "prices": [{"tiers": [{"above_context_tokens": 0, **rates}]}],
    }


def _candidate(upstream: str, model: str, priority: int = 0) -> dict[str, Any]:
    return {"upstream": upstream, "upstream_model": model, "priority": priority, **QUICK}
