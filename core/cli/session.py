"""How core's commands reach core: target, identity, example workspace, and errors as exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Final

import click
import grpc

from kit.cli import CommandFailed, Exit
from kit.ids import new_request_id
from kit.rpc.client import sync_channel
from kit.rpc.identity import Tokens
from kit.rpc.status import domain_error_of
from kit.settings import ProcessSettings

CALL_SECONDS: Final = 30.0
"""How long a command waits for one answer of core."""
IDENTITY: Final = "operator"


class CliSettings(ProcessSettings):
    """Where the command line finds the services; the files of `1api up` are the default."""


@contextmanager
def core_channel() -> Iterator[grpc.Channel]:
    """Open a channel to core as operator; a failed call is raised as its domain error.

    Raises:
        CommandFailed: there are no credentials.
        DomainError: what core answered, or Unavailable.
    """
    settings = CliSettings()
    try:
        token = Tokens.read(settings.credentials_file).of(IDENTITY)
    except (OSError, ValueError, KeyError):
        raise CommandFailed(
            "No credentials: start `1api up`, or set ONEAPI_CREDENTIALS.",
            code=Exit.UNREACHABLE,
            reason="NO_CREDENTIALS",
        ) from None
    with sync_channel(_core_target(settings), token) as channel:
        try:
            yield channel
        except grpc.RpcError as error:
            raise domain_error_of(error) from None


def _core_target(settings: CliSettings) -> str:
    """Return what is set, else what a running `1api up` says, else the default."""
    if "core_target" in settings.model_fields_set:
        return settings.core_target
    try:
        target = json.loads((settings.data_dir / "ready.json").read_bytes())["core_target"]
    except (OSError, ValueError, KeyError):
        return settings.core_target
    return str(target)


def example_workspace() -> str:
    """Return the dev profile's example workspace.

    Raises:
        CommandFailed: there is none.
    """
    try:
        example = json.loads((CliSettings().data_dir / "dev" / "example.json").read_bytes())
        return str(example["workspace_id"])
    except (OSError, ValueError, KeyError):
        raise CommandFailed(
            "Name a workspace: --workspace ws_…", code=Exit.USAGE, reason="NO_WORKSPACE"
        ) from None


def workspace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--workspace`, by default the example workspace."""

    @click.option("--workspace", metavar="WS_ID", help="Default: the example workspace.")
    @wraps(command)
    def with_workspace(*arguments: Any, workspace: str | None, **options: Any) -> Any:
        return command(*arguments, workspace=workspace or example_workspace(), **options)

    return with_workspace


def new_call_id() -> str:
    """Return a request id for a call that may be repeated (AIP-155)."""
    return new_request_id().hex()
