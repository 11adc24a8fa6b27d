"""How core's commands call core: one place for identity, deadlines and pages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

from kit.cli_calls import call

PAGE_SIZE: Final = 1_000


def pages(service: str, method: str, field: str, **fields: Any) -> list[Any]:
    """Return the elements of all pages of a list."""
    found: list[Any] = []
    token = ""
    while True:
        page = call(service, method, page_size=PAGE_SIZE, page_token=token, **fields)
        found += getattr(page, field)
        token = page.next_page_token
        if not token:
            return found


def workspace_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--workspace`, by default the example workspace."""

    @click.option("--workspace", metavar="WS_ID", help="Default: the example workspace.")
    @wraps(command)
    def with_workspace(*arguments: Any, workspace: str | None, **options: Any) -> Any:
        from kit.cli_link import default_workspace  # noqa: PLC0415

        return command(*arguments, workspace=workspace or default_workspace(), **options)

    return with_workspace


def new_call_id() -> str:
    """Return a request id for a call that may be repeated (AIP-155)."""
    from kit.ids import new_request_id  # noqa: PLC0415

    return new_request_id().hex()


def nanos_of(text: str) -> int:
    """Return the nano-dollars of an option such as `5.00`.

    Raises:
        click.BadParameter: it is no amount, or below zero.
    """
    from kit.money import InvalidAmountError, parse_dollars  # noqa: PLC0415

    refusal = click.BadParameter("an amount is US dollars, such as 5.00")
    try:
        amount = parse_dollars(text)
    except InvalidAmountError:
        raise refusal from None
    if amount < 0:
        raise refusal
    return amount
