"""Who waits for durability is answered, whatever becomes of the report."""

from __future__ import annotations

import asyncio
import errno
import os

from edge.metering.commit import GroupCommit, Job


def no_room(_descriptor: int) -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def cannot_tell(_job: Job, _durable: bool) -> None:  # noqa: FBT001  as GroupCommit calls it
    """Fail as a log on the same full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_report_that_fails_leaves_nobody_waiting() -> None:
    """The disk is full for the log as well: requests are told False, and none hangs."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _loop, context: faults.append(context.get("exception"))
    )
    commit = GroupCommit(lambda: Job((0,), 1), cannot_tell, sync=no_room)
    async with asyncio.timeout(10):
        first = asyncio.create_task(commit.durable())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        # One is being served, the other one came while it was.
        assert not any(await asyncio.gather(first, commit.durable()))
        await commit.close()
    assert [type(fault) for fault in faults] == [OSError]
