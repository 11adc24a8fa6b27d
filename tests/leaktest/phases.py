"""What is done to the service, one kind of trouble after the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from errno import EIO, ENOSPC

from tests.leaktest import demands, media, own, text
from tests.leaktest.clients import ANSWER_SECONDS_MAX, Call, Leave, call_all
from tests.leaktest.faulty import Page
from tests.leaktest.traced import is_possible, writes_in
from tests.leaktest.upstream import MODES
from tests.leaktest.world import MAX_BODY_BYTES, VERBOSE, World
from tests.support.processes import until

KINDS = {True: "stream", False: "whole"}
GOOD_MIN = 10
SEEN_UPSTREAM = b" %d " % demands.FORWARDED_ANYHOW
IMPATIENT_SECONDS = 0.5
_REQUEST_ID = re.compile(rb"(?i)\r\nx-request-id: (req_[0-9a-f]+)\r\n")
FAULTY_MODELS = ("mode-ok", "mode-echo-400", "mode-error-event")


def chat(
    world: World, model: str, *, stream: bool, leave: Leave = Leave.NEVER, note: str = ""
) -> Call:
    """Return a call with a canary in every field, whatever will become of it."""
    name = " ".join(part for part in (model, KINDS[stream], leave.value, note) if part)
    canary = world.case(name)
    body = demands.full_body(canary, model, stream=stream)
    return Call(name, demands.post(canary, body, world.key), leave)


def outcomes(world: World) -> None:
    """Everything that upstreams do, to streams and to whole answers."""
    modes = [name for name in MODES if name not in {"endless", "media-ok", "text-ok"}]
    models = [*(f"mode-{name}" for name in modes), "fallback", "drained"]
    answers = world.insist(chat(world, model, stream=s) for model in models for s in (True, False))
    _check_forwarded(answers)
    good = [name for name, answer in answers.items() if answer.startswith(b"HTTP/1.1 200")]
    # The phase is void if requests are refused for some other reason than its own.
    assert len(good) >= GOOD_MIN, answers


def _check_forwarded(answers: dict[str, bytes]) -> None:
    """No upstream has seen what must not leave."""
    refused = [name for name, answer in answers.items() if SEEN_UPSTREAM in answer[:14]]
    assert not refused, refused


def images_and_audio(world: World) -> None:
    """Forms and bodies of the other endpoints, through what upstreams do with them."""
    calls: list[Call] = []
    for mode in media.MODES:
        canary = world.case(f"media {mode}")
        for name, raw in media.requests(canary, mode, world.key):
            calls.append(Call(f"{name} {mode}", _with_own_key(raw, len(calls))))
    answers = world.insist(calls)
    _check_forwarded(answers)
    for name, answer in answers.items():
        assert answer.startswith(b"HTTP/1.1 200") or not name.endswith("media-ok"), (name, answer)
    canary = world.case("broken forms")
    broken = [Call(name, raw) for name, raw in media.broken_forms(canary, world.key)]
    for name, answer in world.insist(broken).items():
        # What is too large is cut off, and its client may see nothing but that.
        assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")), (name, answer)


def texts(world: World) -> None:
    """The other APIs for text, natively and crossing over to chats."""
    calls: list[Call] = []
    for mode in text.MODES:
        canary = world.case(f"text {mode}")
        for name, raw in text.requests(canary, mode, world.key):
            calls.append(Call(f"{name} {mode}", _with_own_key(raw, len(calls))))
    for mode in text.CROSSING_MODES:
        canary = world.case(f"crossing {mode}")
        for name, raw in text.crossing(canary, mode, world.key):
            calls.append(Call(f"crossing {name} {mode}", _with_own_key(raw, len(calls))))
    answers = world.insist(calls)
    _check_forwarded(answers)
    for name, answer in answers.items():
        is_good = name.endswith(("text-ok", " ok"))
        assert answer.startswith(b"HTTP/1.1 200") or not is_good, (name, answer)
    canary = world.case("broken texts")
    wrong = [Call(name, raw) for name, raw in text.broken(canary, world.key)]
    for name, answer in world.insist(wrong).items():
        assert not answer.startswith(b"HTTP/1.1 5"), (name, answer)


def _with_own_key(raw: bytes, number: int) -> bytes:
    """Give a request an idempotency key of its own: those of one case share their canaries."""
    return raw.replace(b"\r\nuser-agent:", b"-%d\r\nuser-agent:" % number, 1)


def departures(world: World) -> None:
    """Clients that leave, at each point at which one can."""
    leaves = [leave for leave in Leave if leave is not Leave.NEVER]
    world.call(
        chat(world, model, stream=stream, leave=leave)
        for model in ("mode-ok", "mode-slow", "mode-silent", "mode-echo-400", "drained")
        for stream in (True, False)
        for leave in leaves
    )


def malformed(world: World) -> None:
    """Bodies and requests that are wrong in every way."""
    calls = []
    canary = world.case("wrong values")
    for name, body in demands.wrong_values(canary, "mode-ok"):
        calls.append(Call(f"wrong {name}", demands.post(canary, body, world.key)))
    canary = world.case("broken bodies")
    for name, raw in demands.broken_bodies(canary, "mode-ok", MAX_BODY_BYTES):
        calls.append(Call(name, demands.post(canary, raw, world.key)))
    canary = world.case("broken requests")
    broken = demands.broken_requests(canary, world.key, world.unknown_key)
    calls += [Call(demand.name, demand.raw) for demand in broken]
    world.call(calls)


def money(world: World) -> None:
    """No credit, and a key that is revoked while its stream runs."""
    empty = world.cluster.empty_workspace()
    _, poor = world.cluster.make_key(empty)
    canary = world.case("no credit")
    body = demands.full_body(canary, "mode-ok", stream=True)
    answers = world.insist([Call("no credit", demands.post(canary, body, poor))])
    assert answers["no credit"].startswith(b"HTTP/1.1 402"), answers
    canary = world.case("revoked")
    body = demands.full_body(canary, "mode-endless", stream=True)
    call = Call("revoked", demands.post(canary, body, world.other_key), patience_seconds=1.0)
    with _meanwhile(world, [call]):
        world.revoke_other_key()
    after = demands.post(
        canary, demands.full_body(canary, "mode-ok", stream=False), world.other_key
    )
    answers = world.insist([Call("after the revocation", after)])
    assert b"401" in answers["after the revocation"][:20], answers


def own_answers(world: World) -> None:
    """What the service answers of itself, and what strangers send as the payment provider's."""
    paid = chat(world, "mode-ok", stream=False, note="paid")
    named = _REQUEST_ID.search(world.insist([paid])[paid.name])
    assert named is not None
    request_id = named[1].decode()
    asked = _questions(world, "own answers", request_id)
    receipt = next(Call(one.name, one.raw) for one in asked if one.name == "receipt")
    until(lambda: world.call([receipt])[receipt.name].startswith(b"HTTP/1.1 200"), 60.0)
    answers = world.insist(Call(one.name, one.raw) for one in asked)
    for one in asked:
        answer = answers[one.name]
        assert answer.startswith(b"HTTP/1.1 %d " % one.status), (one.name, answer[:200])


def _questions(world: World, name: str, request_id: str = own.NO_REQUEST) -> list[own.Question]:
    cases = world.case(name), world.handed(name)
    return list(own.questions(*cases, _keys(world), request_id))


def _keys(world: World) -> own.Keys:
    return own.Keys(world.key, world.unknown_key, world.archive_key)


def _own(world: World, note: str, patience_seconds: float = ANSWER_SECONDS_MAX) -> list[Call]:
    asked = _questions(world, f"own answers {note}")
    return [Call(one.name, one.raw, Leave.NEVER, patience_seconds) for one in asked]


def core_gone(world: World) -> None:
    """Core killed while streams run, requests without it, and its return."""
    with _meanwhile(world, _mixed(world, "core dies")):
        world.core.kill()
        time.sleep(0.2)
    world.call([*_mixed(world, "core is gone"), *_own(world, "core is gone")])
    world.look_at_spool()
    world.revive()
    until_served(world)
    world.call(_mixed(world, "core is back"))


def database_gone(world: World) -> None:
    """PostgreSQL killed, requests without it, and its return."""
    with _meanwhile(world, _mixed(world, "database dies")):
        world.cluster.postgres.kill()
        time.sleep(0.2)
    world.call([*_mixed(world, "database is gone"), *_own(world, "database is gone")])
    world.look_at_spool()
    world.revive()
    until_served(world)
    world.call(_mixed(world, "database is back"))


def edge_stopped(world: World) -> None:
    """SIGTERM and SIGKILL while streams run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        world.look_at_metrics()
        with _meanwhile(world, _mixed(world, number.name)):
            os.kill(world.edge.pid, number)
            until(lambda: not world.edge.runs, 60.0)
        world.look_at_spool()
        world.revive()
        until_served(world)


def verbose(world: World) -> None:
    """The worst of it again, with the interpreter and all libraries as talkative as they get."""
    world.look_at_metrics()
    world.start_core(variables=VERBOSE)
    world.start_edge(variables=VERBOSE)
    outcomes(world)
    malformed(world)
    own_answers(world)
    core_gone(world)
    world.look_at_metrics()
    world.start_core()
    world.start_edge()


def disk_fails(world: World) -> None:
    """The spool's disk is full, then broken: whatever the spool asks of it fails."""
    world.look_at_metrics()
    world.start_edge(faulty=True)
    points = [n for n, name in enumerate(world.pages["edge"].points()) if ".segment." in name]
    for point in points:
        for number in (ENOSPC, EIO):
            world.pages["edge"].fail_at(point, number)
            world.call(_pair(world, "mode-ok", f"disk {point} {number}", IMPATIENT_SECONDS))
            world.look_at_spool()
            _recover_edge(world)
    world.faults += 2 * len(points)
    world.look_at_metrics()
    world.start_edge()


def edge_faults(world: World) -> None:
    """Every function of the edge that a request runs through raises, in turn, a talkative error."""
    world.look_at_metrics()
    world.start_edge(faulty=True)
    page = world.pages["edge"]
    for model in FAULTY_MODELS:
        world.call(_pair(world, model, "traced"))
    points = _ran(page, world.every)
    for point in points:
        page.fail_at(point)
        for model in FAULTY_MODELS[:1] if point % 3 else FAULTY_MODELS:
            world.call(_pair(world, model, page.points()[point], IMPATIENT_SECONDS))
        _recover_edge(world)
    world.call(_own(world, "traced"))
    of_own = _ran(page, world.every, of_own=True)
    for point in of_own:
        page.fail_at(point)
        world.call(_own(world, page.points()[point], IMPATIENT_SECONDS))
        _recover_edge(world)
    world.faults += len(points) + len(of_own)
    world.look_at_metrics()
    world.start_edge()


def _ran(page: Page, every: int, *, of_own: bool = False) -> list[int]:
    """Return each so many-th place that ran: for the service's own answers, or for all others."""
    names = page.points()
    ran = [point for point in page.ran() if names[point].startswith(own.MODULES) is of_own]
    assert ran
    return ran[::every]


def _recover_edge(world: World) -> None:
    """End the faults; an edge that they ended, or that can no longer record, is replaced."""
    world.pages["edge"].fail_at(-1)
    if not world.edge.runs or not world.edge.is_ready():
        world.start_edge(faulty=True)


def traced(world: World) -> None:
    """The edge's system calls while upstreams do what they do: it opens its spool, nothing else."""
    if not is_possible():
        sys.stdout.write("left out: what the edge opens; apt-get install strace\n")
        return
    trace = world.folder / "edge.trace"
    world.look_at_metrics()
    world.start_traced_edge(trace)
    outcomes(world)
    images_and_audio(world)
    malformed(world)
    world.start_edge()
    opens, writes = writes_in(trace, world.cluster.data_dir / "spool")
    assert opens
    world.opens += opens
    world.writes += writes


def core_faults(world: World) -> None:
    """Every function of core that a request's path runs through raises, in turn."""
    world.look_at_metrics()
    world.start_core(faulty=True)
    until_served(world)
    page = world.pages["core"]
    world.call(_pair(world, "mode-ok", "core traced"))
    time.sleep(1.0)
    points = _ran(page, world.every)
    world.call(_own(world, "core traced"))
    of_own = _ran(page, world.every, of_own=True)
    for point in [*points, *of_own]:
        page.fail_at(point)
        note = page.points()[point]
        asked = _own(world, note) if point in of_own else _pair(world, "mode-ok", note)
        world.call([replace(one, patience_seconds=IMPATIENT_SECONDS) for one in asked])
        page.fail_at(-1)
        if not world.core.runs:
            world.start_core(faulty=True)
            until_served(world)
    world.faults += len(points) + len(of_own)
    world.start_core()
    until_served(world)


def until_served(world: World) -> None:
    """Wait until requests are served again, those included that core must be asked about."""
    until(lambda: _is_served(world), 60.0)


def _is_served(world: World) -> bool:
    call = chat(world, "mode-ok", stream=False, note="again")
    return world.call([call])[call.name].startswith(b"HTTP/1.1 200")


def _pair(
    world: World, model: str, note: str, patience_seconds: float = ANSWER_SECONDS_MAX
) -> list[Call]:
    return [
        Call(call.name, call.raw, call.leave, patience_seconds)
        for call in (chat(world, model, stream=stream, note=note) for stream in (True, False))
    ]


def _mixed(world: World, note: str) -> list[Call]:
    models = ("mode-ok", "mode-slow", "mode-echo-400", "mode-stall")
    calls = [chat(world, model, stream=s, note=note) for model in models for s in (True, False)]
    return [*calls, chat(world, "mode-endless", stream=True, leave=Leave.MIDWAY, note=note)]


@contextlib.contextmanager
def _meanwhile(world: World, calls: list[Call]) -> Iterator[None]:
    """Make calls on another thread; they have begun when the body runs, and ended after it."""
    answers: dict[str, bytes] = {}
    work: Callable[[], None] = lambda: answers.update(  # noqa: E731
        asyncio.run(call_all(world.edge.port, calls))
    )
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.15)
    try:
        yield
    finally:
        thread.join()
        world.calls_made += len(calls)
        world.look_at_answers(answers)
