"""How a command reaches the running services: environment first, then what `1api up` wrote.

`ONEAPI_CORE_TARGET`, `ONEAPI_ARCHIVER_TARGET` and `ONEAPI_CREDENTIALS` win; else
`<data dir>/ready.json` says it; else the default ports are tried.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import grpc

from kit.cli import CommandFailed, Exit
from kit.rpc.client import sync_channel
from kit.rpc.identity import Tokens
from kit.settings import ProcessSettings

CALL_SECONDS: Final = 30.0
"""Deadline of an operator's ordinary call."""


def core_channel(*, caller: str = "operator") -> grpc.Channel:
    """Return a channel to core that calls as `caller`."""
    return _channel("core_target", caller)


def archiver_channel(*, caller: str = "operator") -> grpc.Channel:
    """Return a channel to the archiver that calls as `caller`."""
    return _channel("archiver_target", caller)


def archiver_target() -> str:
    """Return where the archiver is."""
    settings = ProcessSettings()
    return _target(settings, read_ready(settings.data_dir), "archiver_target")


def default_workspace() -> str:
    """Return the id of the example workspace; a command with `--workspace` needs no default."""
    path = ProcessSettings().data_dir / "dev" / "example.json"
    workspace = _read(path).get("workspace_id")
    if not isinstance(workspace, str):
        raise CommandFailed(
            "There is no example workspace here; name one with --workspace.",
            code=Exit.USAGE,
            reason="WORKSPACE_MISSING",
        )
    return workspace


def read_ready(data_dir: Path) -> Mapping[str, Any]:
    """Return what `1api up` wrote when everything served; empty if it does not serve."""
    return _read(data_dir / "ready.json")


def _channel(target_name: str, caller: str) -> grpc.Channel:
    settings = ProcessSettings()
    ready = read_ready(settings.data_dir)
    given = settings.model_fields_set
    target = _target(settings, ready, target_name)
    credentials = settings.credentials_file
    if "credentials" not in given:
        credentials = Path(ready.get("credentials", credentials))
    return sync_channel(target, _token(credentials, caller))


def _target(settings: ProcessSettings, ready: Mapping[str, Any], name: str) -> str:
    if name in settings.model_fields_set:
        return str(getattr(settings, name))
    return str(ready.get(name, getattr(settings, name)))


def _token(path: Path, caller: str) -> str:
    try:
        return Tokens.read(path).of(caller)
    except (OSError, ValueError, KeyError):
        raise CommandFailed(
            "No credentials: start `1api up`, or set ONEAPI_CREDENTIALS or ONEAPI_DATA_DIR.",
            code=Exit.UNREACHABLE,
            reason="CREDENTIALS_MISSING",
        ) from None


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
