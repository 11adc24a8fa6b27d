"""Takes letters from the outbox and hands them over. A letter may come twice, never not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from core.db.database import Pool, Transaction
from core.db.values import to_uuid
from core.mail import outbox
from core.mail.letters import CannotBeWritten, Facts, letter
from core.mail.outbox import Waiting
from core.mail.post import NotSent, Post
from kit.clock import Clock, now
from kit.ids import format_id
from kit.log import EventLog
from kit.money import NANOS_PER_CENT

PER_ROUND_MAX: Final = 20
_PATIENCE: Final = timedelta(days=1)
"""How long a letter waits for an address: its owner may write one yet."""
_FACTS: Final = """
SELECT a.email, p.net_minor, coalesce(p.session_url, '') AS link,
       CASE WHEN p.card_last4 <> '' THEN p.card_last4 ELSE a.card_last4 END AS card
  FROM payment AS p JOIN billing_account AS a ON a.workspace_id = p.workspace_id
 WHERE p.id = :id
"""


class Mailer:
    """Sends what the outbox holds."""

    def __init__(self, pool: Pool, clock: Clock, log: EventLog, post: Post, sender: str) -> None:
        """Work on the pool's database; letters go to the post in the sender's name."""
        self._pool = pool
        self._clock = clock
        self._log = log
        self._post = post
        self._sender = sender

    async def work(self) -> int:
        """Send what is due; return how many letters that were."""
        async with self._pool.transaction("system") as tx:
            due = await outbox.take(tx, now(self._clock), PER_ROUND_MAX)
            await tx.commit()
        for waiting in due:
            await self._send(waiting)
        return len(due)

    async def _send(self, waiting: Waiting) -> None:
        name = format_id("mail", waiting.mail_id)
        async with self._pool.transaction("system") as tx:
            found = await _facts(tx, waiting)
        try:
            if found is not None:
                facts, to = found
                message = letter(
                    waiting.template,
                    facts,
                    sender=self._sender,
                    to=to,
                    message_id=name,
                    at=waiting.created_at,
                )
                await self._post.send(name, message)
        except NotSent:
            self._log.event("mail_not_sent", mail=name)
            return
        except CannotBeWritten:
            self._log.event("mail_cannot_be_written", mail=name)
        if found is None and now(self._clock) - waiting.created_at < _PATIENCE:
            return
        async with self._pool.transaction("system") as tx:
            await outbox.sent(tx, waiting.mail_id, now(self._clock))
            await tx.commit()


async def _facts(tx: Transaction, waiting: Waiting) -> tuple[Facts, str] | None:
    """Return what a letter tells, and to whom; None while there is no address."""
    row = await tx.one(_FACTS, id=to_uuid(waiting.object_id))
    if row is None or not row.email:
        return None
    amount = row.net_minor * NANOS_PER_CENT
    return Facts(waiting.workspace_id, amount, row.card, row.link), row.email
