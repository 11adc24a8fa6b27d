"""The console command `1api`: finds its subcommands, prints tables or JSON, ends honestly.

Subcommands come from the entry-point group `oneapi.cli`: each entry names a list of click commands
of one process. A process whose extra is not installed loses its own commands, never the others'.

Exit codes: 0 done, 1 failed or a negative finding, 2 wrong usage, 3 not found, 4 refused,
5 unreachable, 70 a fault of ours, 78 wrong settings.
"""

from __future__ import annotations

import enum
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any, Final, Protocol, TypeVar

import click
from click.shell_completion import get_completion_class

PROGRAM: Final = "1api"
ENTRY_POINT_GROUP: Final = "oneapi.cli"
_JSON_KEY: Final = "oneapi.json"
_COMPLETION_VARIABLE: Final = "_1API_COMPLETE"
_PIPED_WIDTH: Final = 240

Row = Mapping[str, Any]
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any] | click.Command)


class Exit(enum.IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5
    FAULT = 70
    SETTINGS = 78
    INTERRUPTED = 130


class CommandFailed(click.ClickException):
    """A command could not do what was asked; `reason` is for programs, the message for people."""

    def __init__(
        self, message: str, *, code: Exit = Exit.FAILED, reason: str = "FAILED", **details: str
    ) -> None:
        super().__init__(message)
        self.exit_code = int(code)  # type: ignore[misc]  # click reads it from the instance
        self.reason = reason
        self.details = details


def json_option(command: _Decorated) -> _Decorated:
    """Give a command the flag `--json`; `output` obeys it."""
    decorate = click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        callback=_remember_json,
        help="Print JSON instead of a table.",
    )
    return decorate(command)


def wants_json(context: click.Context) -> bool:
    """Say whether the caller asked for JSON."""
    return bool(context.meta.get(_JSON_KEY))


def output(
    context: click.Context, value: Sequence[Row] | Row, *, table: Sequence[str] | None = None
) -> None:
    """Print rows or one object: as JSON if `--json` was given, else the columns `table`."""
    if wants_json(context):
        click.echo(json.dumps(value, indent=2, default=str))
    elif isinstance(value, Mapping):
        _print_table([{"": key, "value": value[key]} for key in table or value], None)
    else:
        _print_table(value, table)


def output_line(context: click.Context, value: Row) -> None:
    """Print one element of an endless list: a line of JSON, or its values side by side."""
    if wants_json(context):
        click.echo(json.dumps(value, default=str))
    else:
        click.echo("  ".join(_cell(item) for item in value.values()))
    sys.stdout.flush()


class CommandSource(Protocol):
    """Where commands come from: an entry point, or whatever has a name and loads a list."""

    @property
    def name(self) -> str:
        """Return the process whose commands these are."""

    def load(self) -> Any:
        """Return the click commands; may fail in any way."""


class Commands(click.Group):
    """The commands of all installed processes; one that cannot be loaded hides no other."""

    def __init__(self, sources: Iterable[CommandSource]) -> None:
        """Take the sources to load from; nothing is imported before it is needed."""
        super().__init__(PROGRAM, help="Operate 1API Club. Every command takes --json.")
        self._sources = tuple(sources)
        self._loaded = False
        self.unavailable: dict[str, str] = {}
        self.add_command(completion)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands that can be loaded."""
        self._load()
        return sorted(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        self._load()
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of a line, saying which processes are missing if it is not there."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            if self.unavailable and args:
                raise _missing_command(args[0], self.unavailable) from None
            raise

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for source in self._sources:
            try:
                found = list(source.load())
            except Exception as failure:  # noqa: BLE001 - one broken process must not hide the rest
                self.unavailable[source.name] = _kind_of(failure)
                continue
            for command in found:
                _add_json_flag(command)
                self.add_command(command)


@click.command
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell: eval "$(1api completion bash)"."""
    kind = get_completion_class(shell)
    if kind is None:
        raise CommandFailed(f"No completion for {shell}.")
    root = click.get_current_context().find_root().command
    click.echo(kind(root, {}, PROGRAM, _COMPLETION_VARIABLE).source())


def run(group: click.Group, arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every failure is said in one line."""
    as_json = "--json" in arguments
    try:
        result = group.main(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except click.Abort:
        return Exit.INTERRUPTED
    except click.ClickException as failure:
        return _show(failure, as_json=as_json)
    except Exception as failure:  # noqa: BLE001 - its text could hold anything, so its kind is said
        return _show(_explain(failure), as_json=as_json)
    return result if isinstance(result, int) else Exit.OK


def main() -> None:
    """Run the console command."""
    # It is made of what this module offers, and of all processes.
    from kit.doctor import doctor  # noqa: PLC0415

    commands = Commands(entry_points(group=ENTRY_POINT_GROUP))
    _add_json_flag(doctor)
    commands.add_command(doctor)
    sys.exit(run(commands, sys.argv[1:]))


def _remember_json(
    context: click.Context,
    _parameter: click.Parameter,
    value: bool,  # noqa: FBT001 - click's signature
) -> None:
    if value:
        context.meta[_JSON_KEY] = True


def _add_json_flag(command: click.Command) -> None:
    """Give `--json` to a command and all below it, where it is not there yet."""
    if isinstance(command, click.Group):
        for child in command.commands.values():
            _add_json_flag(child)
    elif not any("--json" in parameter.opts for parameter in command.params):
        json_option(command)


def _missing_command(name: str, unavailable: Mapping[str, str]) -> click.UsageError:
    hidden = ", ".join(f"{source} ({kind})" for source, kind in sorted(unavailable.items()))
    return click.UsageError(f"No such command {name!r}. Commands not available here: {hidden}.")


def _show(failure: click.ClickException, *, as_json: bool) -> int:
    if as_json:
        known = failure if isinstance(failure, CommandFailed) else None
        error = {
            "reason": known.reason if known else "USAGE",
            "message": failure.format_message(),
            "metadata": known.details if known else {},
        }
        click.echo(json.dumps({"error": error}), err=True)
    else:
        failure.show()
    return failure.exit_code


def _explain(failure: Exception) -> CommandFailed:
    """Say what an error of a service means; of anything else only its kind and place."""
    if "kit.reasons" in sys.modules or "grpc" in sys.modules:
        known = _explain_domain_error(failure)
        if known is not None:
            return known
    if "kit.settings" in sys.modules and (known := _explain_settings(failure)) is not None:
        return known
    frame = traceback.extract_tb(failure.__traceback__)[-1]
    place = f"{frame.filename}:{frame.lineno}"
    message = f"A fault of ours: {type(failure).__name__} at {place}."
    return CommandFailed(message, code=Exit.FAULT, reason="INTERNAL")


def settings_refused(variables: Iterable[str]) -> CommandFailed:
    """Return the refusal of settings, with the names of their variables."""
    return CommandFailed(
        f"Wrong settings: {', '.join(variables)}.", code=Exit.SETTINGS, reason="SETTINGS"
    )


def _explain_settings(failure: Exception) -> CommandFailed | None:
    # Imported here, so that `1api --help` and completion do not wait for pydantic.
    from pydantic import ValidationError  # noqa: PLC0415

    from kit.settings import wrong_variables  # noqa: PLC0415

    if isinstance(failure, ValidationError) and failure.title.endswith("Settings"):
        return settings_refused(wrong_variables(failure))
    return None


def _explain_domain_error(failure: Exception) -> CommandFailed | None:
    # Imported here, so that `1api --help` and completion do not wait for gRPC.
    import grpc  # noqa: PLC0415

    from kit import reasons  # noqa: PLC0415
    from kit.rpc.status import domain_error_of  # noqa: PLC0415
    from oneapi.common.v1.error_reason_pb2 import ErrorReason  # noqa: PLC0415

    error = domain_error_of(failure) if isinstance(failure, grpc.RpcError) else failure
    if not isinstance(error, reasons.DomainError):
        return None
    reason = ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
    codes = {"NOT_FOUND": Exit.NOT_FOUND, "UNAVAILABLE": Exit.UNREACHABLE, "INTERNAL": Exit.FAILED}
    parts = [error.message, *(f"{name}={value}" for name, value in error.metadata.items())]
    code = codes.get(reason, Exit.REFUSED)
    return CommandFailed(" ".join(parts), code=code, reason=reason, **error.metadata)


def _print_table(rows: Sequence[Row], columns: Sequence[str] | None) -> None:
    # Rich takes a tenth of a second to import, which programs asking for JSON need not spend.
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    names = list(columns or (rows[0] if rows else ()))
    table = Table(*names, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in names))
    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    console.print(table if names else "Nothing to show.")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)


def _kind_of(failure: BaseException) -> str:
    name = getattr(failure, "name", None) if isinstance(failure, ImportError) else None
    return f"{type(failure).__name__}: {name}" if name else type(failure).__name__
