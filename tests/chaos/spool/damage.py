"""Flipped bits, overwritten bytes and cut files: nothing wrong is ever read, the rest survives."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from edge.metering.frames import EMPTY, FRAME_BYTES
from tests.chaos.spool.report import Row
from tests.chaos.spool.written import Written, faults, read_spool, write_spool

MEMORY = Path("/dev/shm")
BITS = FRAME_BYTES * 8
FLIPS_AT_ONCE = 20
PROCESSES = 2 * (os.cpu_count() or 1)
BURST_MAX = 600
"""Bytes overwritten at once: up to three frames are hit."""


@contextmanager
def in_memory() -> Iterator[Path]:
    """Give a folder whose files are in memory, where there is such a place: syncs cost nothing."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="oneapi-damage-", dir=place) as folder:
        yield Path(folder)


async def flips(folder: Path, row: Row, written: Written, bits: Iterable[int]) -> None:
    """Flip bits of a spool, one at a time; a bit is numbered through all segments."""

    @cache
    def expected(sequence: int) -> object:
        return written.expected({sequence})

    for bit in bits:
        sequence, inside = divmod(bit, BITS)
        damaged = _flip(written, sequence, inside)
        written.restore(folder)
        _overwrite(folder, written, sequence, damaged)
        read = await read_spool(folder)
        wrong = faults(read, expected(sequence))  # type: ignore[arg-type]
        # The head of all carries nothing that is shipped, and the room behind the last frame but
        # one was never used: there is nothing lost there, but people can look at it.
        lost = int(1 <= sequence <= written.used)
        if read.lost != lost:
            wrong.append("a gap that is not counted")
        if read.kept != [damaged]:
            wrong.append("a damaged frame that is not kept")
        row.note(wrong)


async def bursts(folder: Path, row: Row, written: Written, count: int, seed: int) -> None:
    """Overwrite a run of bytes somewhere with noise, as a stray write does."""
    generator = random.Random(seed)
    whole = written.used * FRAME_BYTES
    for _ in range(count):
        start = generator.randrange(whole)
        noise = generator.randbytes(generator.randrange(1, BURST_MAX))
        content = bytearray(b"".join(written.raw) + EMPTY * 2)
        before = bytes(content)
        content[start : start + len(noise)] = noise
        written.restore(folder)
        gone = set()
        for sequence in range(start // FRAME_BYTES, (start + len(noise) - 1) // FRAME_BYTES + 1):
            part = slice(sequence * FRAME_BYTES, (sequence + 1) * FRAME_BYTES)
            if content[part] != before[part]:
                gone.add(sequence)
                _overwrite(folder, written, sequence, bytes(content[part]))
        read = await read_spool(folder)
        wrong = faults(read, written.expected(gone))
        if len(read.kept) != len(gone):
            wrong.append("a damaged frame that is not kept")
        row.note(wrong)


async def cuts(folder: Path, row: Row, written: Written, lengths: Iterable[int]) -> None:
    """Cut the last used file to a length, as a file system that lost its tail does."""
    name, _ = written.place(written.used - 1)
    first = int(Path(name).stem)
    # What was made behind it is gone as well, or the cut would be a hole.
    later = [path for path in written.files if path > name]
    for length in lengths:
        written.restore(folder)
        for path in later:
            (folder / path).unlink()
        content = written.files[name]
        (folder / name).write_bytes(content[:length])
        whole, rest = divmod(length, FRAME_BYTES)
        torn = first + whole
        padded = content[whole * FRAME_BYTES :][:rest].ljust(FRAME_BYTES, b"\0")
        # A cut through the zeros at a frame's end takes nothing from it.
        survives = torn < written.used and padded == written.raw[torn]
        gone = range(torn + survives, written.used)
        read = await read_spool(folder)
        wrong = faults(read, written.expected(gone))
        is_torn = not survives and padded != EMPTY
        if read.kept != ([padded] if is_torn else []):
            wrong.append("a torn frame that is not kept")
        headless = length < FRAME_BYTES and not (survives and torn == first)
        if not headless and bool(read.counters.segments_cut) != (
            -(-length // FRAME_BYTES) < written.segment_frames
        ):
            wrong.append("a cut file that nobody noticed")
        row.note(wrong)


async def flips_at_once(folder: Path, row: Row, written: Written, count: int, seed: int) -> None:
    """Flip random bits, each of a batch in a frame of its own: damage seldom comes alone."""
    generator = random.Random(seed)
    for _ in range(count // FLIPS_AT_ONCE):
        hit = generator.sample(range(1, written.used), FLIPS_AT_ONCE)
        damaged = {one: _flip(written, one, generator.randrange(BITS)) for one in hit}
        written.restore(folder)
        for sequence, raw in damaged.items():
            _overwrite(folder, written, sequence, raw)
        read = await read_spool(folder)
        wrong = faults(read, written.expected(damaged))
        if read.lost != FLIPS_AT_ONCE:
            wrong.append("a gap that is not counted")
        if sorted(read.kept) != sorted(damaged.values()):
            wrong.append("a damaged frame that is not kept")
        row.note(wrong)
        row.tried += FLIPS_AT_ONCE - 1


class _AtOnce(ThreadPoolExecutor):
    """Runs at once what the product hands to a thread: nothing here waits for a disk."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it and return its result as a future."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except OSError as error:
            future.set_exception(error)
        return future


def _in_a_loop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(_AtOnce())
        await work()

    asyncio.run(run())


def _flip_part(folder: Path, written: Written, bits: list[int]) -> Row:
    """Flip some of the bits; for a process of a pool."""
    row = Row("")
    with tempfile.TemporaryDirectory(dir=folder) as place:
        _in_a_loop(lambda: flips(Path(place) / "copy", row, written, bits))
    return row


def _flip_in_parallel(folder: Path, row: Row, written: Written, bits: Iterable[int]) -> None:
    every = list(bits)
    parts = [every[start :: PROCESSES * 4] for start in range(PROCESSES * 4)]
    with ProcessPoolExecutor(PROCESSES) as pool:
        for part in pool.map(partial(_flip_part, folder, written), parts):
            row.tried += part.tried
            row.faults.update(part.faults)


def attack(folder: Path, *, full: bool, seed: int, rounds: int = 1) -> Iterator[Row]:
    """Run all attacks of this module: every bit and length, or a sample of each."""
    small = asyncio.run(write_spool(folder / "small", 20, 64))
    large = asyncio.run(write_spool(folder / "large", 1_000, 512))
    generator, place = random.Random(seed), folder / "copy"
    bits = _bits(small, generator, full=full)
    row = Row("every bit of 20 records" if full else "bits of 20 records")
    if full:
        _flip_in_parallel(folder, row, small, bits)
    else:
        _in_a_loop(lambda: flips(place, row, small, bits))
    yield row
    many = Row("random bits of 1,000 records")
    count = 10_000 * rounds if full else 40 * FLIPS_AT_ONCE
    _in_a_loop(lambda: flips_at_once(place, many, large, count, seed))
    yield many
    over = Row("overwritten bytes")
    _in_a_loop(lambda: bursts(place, over, small, 5_000 * rounds if full else 150, seed))
    yield over
    cut = Row("every length of 20 records" if full else "lengths of 20 records")
    size = 64 * FRAME_BYTES
    lengths = range(size + 1) if full else generator.sample(range(size), 300)
    _in_a_loop(lambda: cuts(place, cut, small, lengths))
    yield cut


def _bits(written: Written, generator: random.Random, *, full: bool) -> Iterator[int]:
    """Return the bits to flip: of all frames, and of the room behind them."""
    frames = written.used + 2
    if full:
        return iter(range(frames * BITS))
    of_each = (
        sequence * BITS + bit
        for sequence in range(frames)
        for bit in generator.sample(range(BITS), 12)
    )
    return chain(of_each, (64 * BITS - 1,))


def _flip(written: Written, sequence: int, bit: int) -> bytes:
    raw = bytearray(written.raw[sequence] if sequence < written.used else EMPTY)
    raw[bit // 8] ^= 1 << (bit % 8)
    return bytes(raw)


def _overwrite(folder: Path, written: Written, sequence: int, raw: bytes) -> None:
    name, offset = written.place(sequence)
    with (folder / name).open("r+b") as file:
        file.seek(offset)
        file.write(raw)
