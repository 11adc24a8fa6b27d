"""How commands call a service as operator, and show what comes back."""

from __future__ import annotations

import importlib
from typing import Any


def call(
    service: str,
    method: str,
    *,
    seconds: float | None = None,
    caller: str = "operator",
    **fields: Any,
) -> Any:
    """Call a method such as `call("keys.v1.key_service", "GetKey", key_id=…)`.

    `seconds` is for calls that may take longer than an ordinary one; `caller` for those that an
    operator may not make.

    Raises:
        CommandFailed: there are no credentials.
        grpc.RpcError: what core answered; the command line turns it into an exit code.
    """
    # Imported here, so that `1api --help` does not wait for gRPC.
    from kit.cli_link import CALL_SECONDS, core_channel  # noqa: PLC0415

    messages = importlib.import_module(f"oneapi.{service}_pb2")
    stubs = importlib.import_module(f"oneapi.{service}_pb2_grpc")
    (name,) = messages.DESCRIPTOR.services_by_name
    with core_channel(caller=caller) as channel:
        stub = getattr(stubs, f"{name}Stub")(channel)
        request = getattr(messages, f"{method}Request")(**fields)
        return getattr(stub, method)(request, timeout=seconds or CALL_SECONDS)


def time_of(message: Any, field: str) -> str | None:
    """Return a timestamp field as RFC 3339 text, None if it is not set."""
    return getattr(message, field).ToJsonString() if message.HasField(field) else None


def dollars(money: Any) -> str:
    """Return an amount message as a decimal string of US dollars, exact to the nano-dollar."""
    from kit.money import format_dollars  # noqa: PLC0415 - commands start quickly

    return format_dollars(money.amount_nanos)


def word(message: Any, field: str) -> str | None:
    """Return an enum field as a lower-case word without its prefix; None if it is unspecified."""
    kind = message.DESCRIPTOR.fields_by_name[field].enum_type
    number = getattr(message, field)
    if number == 0:
        return None
    prefix = kind.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = kind.values_by_number.get(number)
    return known.name.removeprefix(prefix).lower() if known else str(number)


def plain(message: Any) -> dict[str, Any]:
    """Return a message as JSON shows it: amounts, words and times as text, what is unset as None.

    Bytes are hex digits; a number stays a number.
    """
    return {field.name: _field(message, field) for field in message.DESCRIPTOR.fields}


def _field(message: Any, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_plain_value(item, field) for item in value]
    if field.enum_type is not None:
        return word(message, field.name)
    if field.message_type is not None and not message.HasField(field.name):
        return None
    return _plain_value(value, field)


def _plain_value(value: Any, field: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    kind = field.message_type
    if kind is None:
        return value
    if kind.name == "Money":
        return dollars(value)
    return value.ToJsonString() if kind.name == "Timestamp" else plain(value)
