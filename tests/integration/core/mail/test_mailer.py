"""Letters: written down with what they tell of, and handed over until that has worked."""

from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from core.db.database import Database
from core.mail import outbox
from core.mail.mailer import Mailer
from core.mail.post import FilePost, NotSent, Post
from tests.support.payment_world import PaymentWorld
from tests.support.stripe import StripeSimulator

SENDER = "1API Club <billing@1api.club>"


@pytest.fixture(scope="module")
def simulator() -> Iterator[StripeSimulator]:
    """Run one simulated account for the tests of this file."""
    with StripeSimulator() as simulator:
        yield simulator


@pytest.fixture
async def world(database_url: str, simulator: StripeSimulator) -> AsyncIterator[PaymentWorld]:
    """Give a test a world on a database and an account of its own."""
    simulator.order("reset")
    world = PaymentWorld(Database.connect(database_url), simulator)
    yield world
    await world.close()


class FullPost:
    """A post office that takes nothing."""

    async def send(self, name: str, message: EmailMessage) -> None:
        """Refuse the letter."""
        del name, message
        raise NotSent


def mailer(world: PaymentWorld, post: Post) -> Mailer:
    """The mailer of a process."""
    return Mailer(world.database.jobs, world.clock, world.log, post, SENDER)


def letters(folder: Path) -> list[EmailMessage]:
    """Read the letters of a folder."""
    found = []
    for path in sorted(folder.glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return found


async def test_case_25_the_owner_gets_the_link_by_mail(world: PaymentWorld, tmp_path: Path) -> None:
    """Once, to the address of the billing account, and readable by nobody else here."""
    workspace_id = await world.with_card("pm_card_authenticationRequired")
    await world.auto(workspace_id)
    await world.desk.top_up_all()
    automatic = (await world.payments(workspace_id))[-1]
    sending = mailer(world, FilePost(tmp_path / "mail"))
    assert await sending.work() == 1
    assert await sending.work() == 0
    (letter,) = letters(tmp_path / "mail")
    assert (letter["to"], letter["from"]) == ("owner@example.org", SENDER)
    text = letter.get_content()
    assert automatic.session_url in text
    assert "10.00" in text
    (file,) = (tmp_path / "mail").glob("*.eml")
    assert file.stat().st_mode & 0o077 == 0


async def test_a_letter_that_cannot_be_handed_over_is_tried_again(
    world: PaymentWorld, tmp_path: Path
) -> None:
    """Later and later; it is one letter still."""
    workspace_id = await world.with_card("pm_card_authenticationRequired")
    await world.auto(workspace_id)
    await world.desk.top_up_all()
    assert await mailer(world, FullPost()).work() == 1
    assert await mailer(world, FullPost()).work() == 0
    world.pass_time(minutes=2)
    sending = mailer(world, FilePost(tmp_path))
    assert await sending.work() == 1
    world.pass_time(hours=7)
    assert await sending.work() == 0
    assert len(letters(tmp_path)) == 1


@pytest.mark.parametrize("address", ["", "no address at all", "a@b@c", "x@\u0000.org", "@", "a@"])
async def test_a_letter_to_nobody_hinders_no_other(
    world: PaymentWorld, tmp_path: Path, address: str
) -> None:
    """It waits a day for an address, or is given up where there is a wrong one."""
    good = await world.with_card("pm_card_authenticationRequired")
    async with world.database.rpc.transaction("system") as tx:
        await tx.run("UPDATE billing_account SET email = :email", email=address.replace("\0", "?"))
        await tx.commit()
    await world.auto(good)
    await world.desk.top_up_all()
    sending = mailer(world, FilePost(tmp_path))
    assert await sending.work() == 1
    world.pass_time(days=2)
    await sending.work()
    world.pass_time(days=2)
    assert await sending.work() == 0


async def test_old_letters_are_forgotten(world: PaymentWorld) -> None:
    """After three months, sent or not."""
    workspace_id = await world.with_card("pm_card_authenticationRequired")
    await world.auto(workspace_id)
    await world.desk.top_up_all()
    world.pass_time(days=91)
    async with world.database.rpc.transaction("system") as tx:
        assert await outbox.sweep(tx, world.act().now) == 1
        await tx.commit()
