"""What `1api doctor` asks core, and what it looks at itself where core does not answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from pydantic import ValidationError

from core.settings import CoreSettings
from core.up.control import is_up
from core.up.settings import UpSettings
from kit.alarm_meanings import meaning_of, remedy_of
from kit.cli import CommandFailed
from kit.clock import Clock, now_micros
from kit.doctor import Finding, Practice, Surroundings, fine, problem, warning

POSTGRES_OLDEST: Final = 15
POSTGRES_NEWEST: Final = 18
SKEW_MICROS_MAX: Final = 2_000_000
"""An edge whose clock is further off stops minting ids."""
BOOKS_SECONDS: Final = 600.0
"""How long core may add up the books: all entries are read."""
_SERVICE: Final = "operations.v1.operations_service"
_START: Final = "Start `1api up`; if it runs, see logs/core.log."


def supervisor(surroundings: Surroundings) -> Iterable[Finding]:
    """Check that `1api up` runs here."""
    root = surroundings.data_dir
    if not is_up(root):
        mend = "Start it, unless the processes of this machine are started otherwise."
        yield warning("1api up", f"does not run on {root}", mend)
    elif not surroundings.ready:
        mend = "Wait for it, or see the logs of what does not serve."
        yield warning("1api up", "runs, and not everything has served yet", mend)
    else:
        yield fine("1api up", f"runs on {root}")


def core(surroundings: Surroundings) -> Iterable[Finding]:
    """Ask core what it sees; if it does not answer, look at the database from here."""
    found = _ask()
    if found is None:
        yield problem("core", f"cannot be reached at {surroundings.target('core_target')}", _START)
        yield from _database_from_here(surroundings)
        return
    yield from findings_of(found, surroundings.clock)
    yield from _books()


def findings_of(found: Any, clock: Clock) -> Iterator[Finding]:
    """Judge what core has found."""
    yield fine("core", f"answers; Python {found.python_version}")
    yield from _clocks(found, clock)
    for look in (_versions, _partitions, _alarms, _catalogue, _data_policies, _leases):
        yield from look(found)


def _ask() -> Any:
    """Return core's answer; None if there is none."""
    import grpc  # noqa: PLC0415 - commands start quickly

    from kit.cli_calls import call  # noqa: PLC0415
    from kit.reasons import Unavailable  # noqa: PLC0415
    from kit.rpc.status import domain_error_of  # noqa: PLC0415

    try:
        return call(_SERVICE, "Examine")
    except (CommandFailed, ValidationError):
        return None  # no credentials: nobody runs here; wrong settings are told beside this
    except grpc.RpcError as error:
        if isinstance(domain_error_of(error), Unavailable):
            return None
        raise


def _books() -> Iterator[Finding]:
    """Let core add up the books; that it takes long is no sign that core is down."""
    import grpc  # noqa: PLC0415 - commands start quickly

    from kit.cli_calls import call  # noqa: PLC0415

    try:
        found = call(_SERVICE, "ExamineBooks", seconds=BOOKS_SECONDS)
    except grpc.RpcError as error:
        yield books_not_told(error)
    else:
        yield from books_of(found)


def books_not_told(error: Any) -> Finding:
    """Say why the books were not added up, though core has just answered."""
    import grpc  # noqa: PLC0415 - commands start quickly

    mend = "Run `1api audit verify` when little is going on; it takes its time."
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return warning("books", f"took longer than {BOOKS_SECONDS:.0f} s to add up", mend)
    return warning("books", f"could not be added up: {error.code().name}", mend)


def _versions(found: Any) -> Iterator[Finding]:
    major = found.postgres_version_number // 10_000
    version = f"PostgreSQL {major}.{found.postgres_version_number % 10_000}"
    if POSTGRES_OLDEST <= major <= POSTGRES_NEWEST:
        yield fine("postgresql", f"{version}, {found.database_bytes / (1 << 20):.0f} MiB")
    else:
        mend = f"Use PostgreSQL {POSTGRES_OLDEST} to {POSTGRES_NEWEST}."
        yield problem("postgresql", f"{version} is not tested", mend)
    yield _schema(found.schema_revision, found.schema_head, here=_head())


def _schema(database: str, core_head: str, *, here: str) -> Finding:
    if database != core_head:
        mend = "Core migrates when it starts: `1api restart core`, with the newest version."
        return problem("schema", f"the database is at {database or 'nothing'}", mend)
    if here != core_head:
        mend = "`1api restart all`: the files on disk are of another version than what runs."
        return warning("schema", f"core runs {core_head}, this command knows {here}", mend)
    return fine("schema", f"version {database}, the newest")


def _clocks(found: Any, clock: Clock) -> Iterator[Finding]:
    pairs = {
        "core and PostgreSQL": found.core_time_micros - found.database_time_micros,
        "this machine and core": now_micros(clock) - found.core_time_micros,
    }
    far = {name: skew for name, skew in pairs.items() if abs(skew) > SKEW_MICROS_MAX}
    for name, skew in far.items():
        mend = "Let both follow the same time servers: edges that are off stop taking requests."
        yield problem("clocks", f"{name} differ by {skew / 1e6:.1f} s", mend)
    if not far:
        worst = max(abs(skew) for skew in pairs.values())
        yield fine("clocks", f"differ by at most {worst / 1e6:.2f} s")


def _partitions(found: Any) -> Iterator[Finding]:
    if found.missing_partitions:
        mend = "See logs/core.log for partitions_not_made; `1api restart core` tries again."
        yield problem("partitions", f"missing: {', '.join(found.missing_partitions)}", mend)
    else:
        yield fine("partitions", "usage has its months ahead")


def _alarms(found: Any) -> Iterator[Finding]:
    for alarm in found.alarms:
        last = alarm.last_at.ToJsonString()
        text = f"{alarm.count} in seven days, last {last}: {meaning_of(alarm.kind)}"
        yield warning(f"alarm {alarm.kind}", text, remedy_of(alarm.kind))
    if not found.alarms:
        yield fine("alarms", "none in seven days")


def _catalogue(found: Any) -> Iterator[Finding]:
    from kit.cli_calls import word  # noqa: PLC0415

    if found.upstreams_without_credential:
        names = ", ".join(found.upstreams_without_credential)
        mend = "Set <NAME>_API_KEY where core is started and restart it, or disable them."
        yield warning("upstreams", f"no credential: {names}", mend)
    if found.unpriced:
        names = ", ".join(f"{one.model} ({word(one, 'lane')})" for one in found.unpriced)
        mend = "`1api catalog price publish MODEL`; until then requests are refused."
        yield warning("prices", f"routed without a price: {names}", mend)
    if not found.unpriced and not found.upstreams_without_credential:
        yield fine("catalogue", "every route has a price, every upstream a credential")


def _data_policies(found: Any) -> Iterator[Finding]:
    if found.upstreams_of_unknown_policy:
        names = ", ".join(found.upstreams_of_unknown_policy)
        mend = "Import a document with their `data_policy`; until then unknown is the worst."
        yield warning("data policies", f"not known: {names}", mend)
    if found.zero_retention_keys_unserved:
        text = f"{found.zero_retention_keys_unserved} keys require it, no upstream keeps nothing"
        mend = "Connect such an upstream, or let keys and workspaces stop requiring it."
        yield warning("zero retention", text, mend)
    if not found.upstreams_of_unknown_policy and not found.zero_retention_keys_unserved:
        yield fine("data policies", "known of every upstream in use")


def books_of(found: Any) -> Iterator[Finding]:
    """Judge what the books come to."""
    wrong = {
        "entries do not sum to zero": found.entries_total.amount_nanos,
        "wallets differ from their entries": found.wallets_off,
        "wallets hold other than their leases": found.holds_off,
    }
    bad = [f"{text} ({number})" for text, number in wrong.items() if number]
    if bad:
        mend = "Stop taking payments and run `1api audit verify`: it names what was changed."
        yield problem("books", "; ".join(bad), mend)
    else:
        yield fine("books", "entries sum to zero, cached figures are their sums")


def _leases(found: Any) -> Iterator[Finding]:
    from kit.cli_calls import dollars  # noqa: PLC0415

    if found.silent_leases:
        text = f"{found.silent_leases} hold {dollars(found.silent_held)} and are silent"
        yield warning("leases", text, "See logs/core.log for tidying_failed; it closes them.")
    if found.epochs_left_open:
        text = f"{found.epochs_left_open} replaced edge processes have left a spool"
        mend = "Start an edge on the machine with that spool folder: it adopts and ships it."
        yield warning("epochs", text, mend)
    if not found.silent_leases and not found.epochs_left_open:
        yield fine("leases", "none is silent, no epoch is left open")


def _database_from_here(surroundings: Surroundings) -> Iterator[Finding]:
    """Look whether the database is why core does not serve; its address is never shown."""
    address = surroundings.environment.get("DATABASE_URL") or surroundings.ready.get("database_url")
    if not address:
        return
    # Imported here: SQLAlchemy takes its time.
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from core.db.migrate import current_revision  # noqa: PLC0415

    try:
        found = current_revision(str(address)) or ""
    except DBAPIError:
        yield problem("database", "cannot be reached", "Start PostgreSQL, or set DATABASE_URL.")
        return
    yield _schema(found, _head(), here=_head())


def _head() -> str:
    from core.db.migrate import head_revision  # noqa: PLC0415 - alembic takes its time

    return head_revision()


practice = Practice(checks=(supervisor, core), settings=(CoreSettings, UpSettings))
