"""`1api archive …`: what the archiver says of itself. Months and files come with the archive."""

from __future__ import annotations

from typing import Any

import click
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from archiver.settings import ArchiverSettings
from kit.cli import CommandFailed, Exit, json_option, output

HEALTH_SECONDS = 3.0


@click.group()
def archive() -> None:
    """Look after the archive of usage metadata."""


@archive.command()
@json_option
@click.pass_context
def status(context: click.Context) -> None:
    """Say whether the archiver serves."""
    target = ArchiverSettings().archiver_target
    with grpc.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.RpcError:
            raise CommandFailed(
                "The archiver cannot be reached.", code=Exit.UNREACHABLE, reason="UNREACHABLE"
            ) from None
    serving = answer.status == health_pb2.HealthCheckResponse.SERVING
    output(context, {"target": target, "serving": serving})
    if not serving:
        context.exit(Exit.FAILED)


commands: list[click.Command] = [archive]
