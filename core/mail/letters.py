"""What our letters say. Pure: a template and its facts in, a message out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from kit.ids import format_id
from kit.money import format_dollars

_ADDRESS: Final = re.compile(
    r"(?P<user>[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64})@(?P<host>[a-z0-9.-]{1,253})",
    re.ASCII | re.IGNORECASE,
)
"""As browsers take it (HTML, valid e-mail address): others would need SMTPUTF8."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a letter about a payment tells of."""

    workspace_id: bytes
    amount_nanos: int
    card: str
    link: str


class CannotBeWritten(Exception):
    """A letter has no template, or nobody to go to."""


def letter(
    template: str, facts: Facts, *, sender: str, to: str, message_id: str, at: datetime
) -> EmailMessage:
    """Write a letter.

    Raises:
        CannotBeWritten: there is no such template, or the address is none.
    """
    words = _TEMPLATES.get(template)
    if words is None:
        raise CannotBeWritten
    subject, body = words(facts)
    found = _ADDRESS.fullmatch(to)
    if found is None:
        raise CannotBeWritten
    message = EmailMessage()
    try:
        message["To"] = Address(username=found["user"], domain=found["host"])
    except ValueError:
        raise CannotBeWritten from None
    message["From"] = sender
    message["Subject"] = subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{message_id}@1api.club>"
    # Nobody's vacation notice is to answer it (RFC 3834).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    return message


def _needs_you(facts: Facts) -> tuple[str, str]:
    return (
        "Your automatic top-up needs you",
        f"""\
Hello,

your bank asks you to confirm the automatic top-up of {_amount(facts)} US dollars for
{_workspace(facts)}{_card(facts)}. Nothing has been charged.

Please confirm it here within a day:

{facts.link}

Automatic top-up is stopped until you switch it on again; requests are served from the credit that
is left.

1API Club
""",
    )


def _stopped(facts: Facts) -> tuple[str, str]:
    return (
        "Your automatic top-up has stopped",
        f"""\
Hello,

the automatic top-up of {_amount(facts)} US dollars for {_workspace(facts)} did not go
through{_card(facts)}, so we have stopped it. Nothing has been charged.

Please check the card, or save another one with your next purchase, and switch automatic top-up on
again. Until then requests are served from the credit that is left.

1API Club
""",
    )


_TEMPLATES: Final[dict[str, Callable[[Facts], tuple[str, str]]]] = {
    "top_up_needs_you": _needs_you,
    "top_up_stopped": _stopped,
}


def _amount(facts: Facts) -> str:
    return format_dollars(facts.amount_nanos, places=2)


def _workspace(facts: Facts) -> str:
    return format_id("ws", facts.workspace_id)


def _card(facts: Facts) -> str:
    return f" with the card that ends in {facts.card}" if facts.card else ""
