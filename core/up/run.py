"""The composition of `1api up`: which children, in which order, and what they are told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Mapping
from socket import socket
from typing import Any, Final

from core.db.embedded import EmbeddedPostgres
from core.up import environment, probes, sockets
from core.up.control import Rows, serve_control
from core.up.environment import Addresses
from core.up.folder import RunFolder
from core.up.reporter import Reporter
from core.up.rolling import PARTS, Rolling
from core.up.services import PostgresService, ProcessService, Retirement
from core.up.settings import HOST, UpSettings
from core.up.simulator import NAME, Simulator, simulator_of
from core.up.supervisor import Supervisor
from kit.cli import CommandFailed, Exit
from kit.process import RETIRE_SIGNAL, Command, RestartPolicy
from kit.settings import PROJECT_ROOT

_LOG_CHECK_SECONDS: Final = 30.0
_SHARES_PORT: Final = {"ONEAPI_SHARES_PORT": "true"}
# An edge has its drain time before this, and then ships what it has recorded for up to 10 s.
_STOP_SECONDS: Final = {"edge": 15.0, "archiver": 5.0, "demo": 3.0, "core": 10.0, "stripe": 3.0}


async def run(settings: UpSettings, reporter: Reporter) -> None:
    """Bring everything up and keep it up until SIGINT or SIGTERM; then stop in order.

    Raises CommandFailed if something cannot be started; what had been started is stopped first.
    """
    stop = _stop_on_signals()
    folder = RunFolder(settings.root)
    folder.claim()
    supervisor = Supervisor(reporter, RestartPolicy())
    work = asyncio.create_task(Composition(settings, folder, supervisor, reporter).keep_up())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        folder.withdraw_ready()
        work.cancel()
        stopping.cancel()
        results = await asyncio.gather(work, stopping, return_exceptions=True)
        await supervisor.stop()
        folder.withdraw_ready()
    for result in results:
        if isinstance(result, Exception):
            raise result
    reporter.say("1api", "down", "everything has stopped")


class Composition:
    """One run: addresses, children, and the message that it is ready."""

    def __init__(
        self,
        settings: UpSettings,
        folder: RunFolder,
        supervisor: Supervisor,
        reporter: Reporter,
    ) -> None:
        """Take what the run is made of; nothing is started yet."""
        self._settings = settings
        self._folder = folder
        self._supervisor = supervisor
        self._reporter = reporter
        self._rolling = Rolling(supervisor)
        self._kept_descriptors: tuple[int, ...] = ()
        self._simulator: Simulator | None = None

    async def keep_up(self) -> None:
        """Start everything in order, say so, and watch over it for ever."""
        lock = await asyncio.to_thread(self._folder.claim_children)
        self._kept_descriptors = (lock,)
        self._folder.make_credentials()
        with (
            sockets.listen(self._settings.edge_port, "ONEAPI_EDGE_PORT") as edge_socket,
            sockets.listen(0, "a free port") as demo_socket,
        ):
            # Left before the children are stopped: nobody waits at a door that nobody will open.
            await self._keep_up(edge_socket, demo_socket)

    async def _keep_up(self, edge_socket: socket, demo_socket: socket) -> None:
        core_port = sockets.check_free(self._settings.core_port, "ONEAPI_CORE_PORT")
        archiver_port = sockets.check_free(
            self._settings.archiver_port, "ONEAPI_ARCHIVER_PORT", [core_port]
        )
        addresses = Addresses(
            data_dir=self._folder.root,
            credentials=self._folder.credentials,
            edge_port=sockets.port_of(edge_socket),
            core_port=core_port,
            archiver_port=archiver_port,
            demo_port=sockets.port_of(demo_socket),
            database_url=await self._database_url(),
        )
        simulator_port = sockets.check_free(0, "a free port", [core_port, archiver_port])
        self._simulator = simulator_of(self._settings, simulator_port, addresses.edge_port)
        await self._start_services(addresses, edge_socket.fileno(), demo_socket.fileno())
        self._announce(addresses)
        await asyncio.gather(
            self._supervisor.watch(),
            self._bound_logs(),
            serve_control(self._folder.root, self._command),
        )

    def _command(self, request: Mapping[str, Any]) -> Rows:
        """Carry out what a command line asks of this run."""
        part = request.get("part")
        if request.get("command") != "restart" or part not in PARTS:
            raise CommandFailed("Unknown command.", code=Exit.USAGE, reason="UNKNOWN_COMMAND")
        return self._rolling.restart(part, wait=bool(request.get("wait")))

    async def _database_url(self) -> str:
        """Return the URL of the given database, or start our own and return its URL."""
        given = self._settings.database_url
        if given is not None:
            return given.get_secret_value()
        postgres = PostgresService(
            EmbeddedPostgres(self._folder.postgres, log=self._folder.log("postgres"))
        )
        await self._supervisor.start(postgres)
        await self._supervisor.until_serving([postgres])
        return postgres.dsn

    async def _start_services(
        self, addresses: Addresses, edge_descriptor: int, demo_descriptor: int
    ) -> None:
        """Start core and demo, then the edges and the archiver, which need core to answer."""
        core, demo = self._core(addresses), self._demo(addresses, demo_descriptor)
        outsiders = [demo, *self._stripe()]
        for service in (core, *outsiders):
            await self._supervisor.start(service)
        archiver = self._archiver(addresses)
        edges = [
            self._edge(slot, addresses, edge_descriptor)
            for slot in range(self._settings.edge_workers)
        ]
        await self._supervisor.until_serving([core, *outsiders])
        for service in (archiver, *edges):
            await self._supervisor.start(service)
        await self._supervisor.until_serving([archiver, *edges])

    def _core(self, addresses: Addresses) -> ProcessService:
        variables = environment.core(os.environ, addresses) | _SHARES_PORT
        variables.setdefault("ONEAPI_PUBLIC_URL", f"http://{HOST}:{addresses.edge_port}")
        if self._simulator is not None:
            variables |= self._simulator.variables
        return self._service("core", self._python("core", ("core",), variables))

    def _demo(self, addresses: Addresses, descriptor: int) -> ProcessService:
        arguments = ("edge.demo", "--fd", str(descriptor))
        command = self._python("demo", arguments, environment.outsider(os.environ), descriptor)
        return self._service("demo", command, probes.tcp_open(HOST, addresses.demo_port))

    def _stripe(self) -> list[ProcessService]:
        """Return the simulated payment provider, if there is to be one."""
        if self._simulator is None:
            return []
        self._simulator.state.parent.mkdir(mode=0o700, exist_ok=True)
        variables = environment.outsider(os.environ) | dict(self._simulator.secrets)
        command = self._python(NAME, self._simulator.arguments, variables)
        return [self._service(NAME, command, probes.tcp_open(HOST, self._simulator.port))]

    def _archiver(self, addresses: Addresses) -> ProcessService:
        variables = environment.archiver(os.environ, addresses) | _SHARES_PORT
        return self._service("archiver", self._python("archiver", ("archiver",), variables))

    def _edge(self, slot: int, addresses: Addresses, descriptor: int) -> ProcessService:
        variables = environment.service(os.environ, addresses)
        variables["ONEAPI_LISTEN_FD"] = str(descriptor)
        # Bounded, so that even an edge whose supervisor was killed is gone soon.
        variables["ONEAPI_DRAIN_SECONDS"] = str(self._settings.drain_seconds)
        variables["ONEAPI_RETIRE_SECONDS"] = str(self._settings.retire_seconds)
        if self._settings.scrub:
            variables = environment.scrubbed(variables)
        name = f"edge-{slot}"
        command = self._python(name, ("edge", "--slot", str(slot)), variables, descriptor)
        return self._service(name, command)

    def _service(
        self, name: str, command: Command, probe: probes.Probe | None = None
    ) -> ProcessService:
        kind = name.partition("-")[0]
        seconds, retirement = _STOP_SECONDS[kind], Retirement()
        if kind == "edge":
            retirement = Retirement(RETIRE_SIGNAL, seconds + self._settings.retire_seconds)
            seconds += self._settings.drain_seconds
        return ProcessService(name, command, probe, stop_seconds=seconds, retirement=retirement)

    def _python(
        self,
        name: str,
        module: tuple[str, ...],
        variables: dict[str, str],
        *descriptors: int,
    ) -> Command:
        return Command(
            arguments=(sys.executable, "-m", *module),
            environment=variables,
            folder=PROJECT_ROOT,
            output=self._folder.log(name),
            kept_descriptors=(*self._kept_descriptors, *descriptors),
        )

    def _announce(self, addresses: Addresses) -> None:
        """Write ready.json and say how to make the first call."""
        example = self._folder.example()
        simulator = self._simulator
        shown = {name: example[name] for name in ("api_key", "demo_model") if name in example}
        self._folder.announce_ready(
            {
                "base_url": addresses.base_url,
                **shown,
                "core_target": addresses.core_target,
                "archiver_target": addresses.archiver_target,
                "database_url": addresses.database_url,
                "credentials": str(addresses.credentials),
                **({} if simulator is None else {"stripe_url": simulator.url}),
            }
        )
        self._reporter.say(
            "1api", "ready", f"ready at {addresses.base_url}", base_url=addresses.base_url
        )
        if len(shown) == 2:
            line = curl_line(addresses.base_url, shown["api_key"], shown["demo_model"])
            self._reporter.say("try", "curl", line, line=line)

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_SECONDS)
            # A full disk is no reason to stop what runs.
            with contextlib.suppress(OSError):
                await asyncio.to_thread(self._folder.bound_logs)


def curl_line(base_url: str, api_key: str, model: str) -> str:
    """Return a command that streams a first answer."""
    body = {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": "Say hello in five languages."}],
    }
    words = [
        *("curl", "-sN", f"{base_url}/chat/completions"),
        *("-H", f"Authorization: Bearer {api_key}"),
        *("-H", "Content-Type: application/json"),
        *("-d", json.dumps(body)),
    ]
    return shlex.join(words)


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop
