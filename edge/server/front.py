"""What all connections of a worker share: limits, counts, and whether it is draining."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """The bounds of the HTTP front. Seconds are deadlines; a client that misses one is cut."""

    # From the connection, or from the first byte of a next request, to complete headers.
    header_seconds: float = 10.0
    # The longest silence inside a request's body while we are reading it.
    body_idle_seconds: float = 15.0
    # From the headers to the last byte of a body, however steadily it drips.
    body_seconds: float = 300.0
    # The longest time in which a client takes none of what we have written.
    write_stall_seconds: float = 30.0
    # What a client that is behind must take, on average from the end of its first stall time on.
    # Progress alone would let a byte now and then hold the whole of a large answer for ever.
    min_take_bytes_per_second: float = 4_096.0
    # How long a connection is kept between two requests.
    keep_alive_seconds: float = 75.0
    # How long the rest of a body is read and dropped once its request is answered.
    linger_seconds: float = 5.0
    # How long an idle connection may still bring a request once we stop.
    stop_idle_seconds: float = 0.5
    max_header_count: int = 100
    max_header_bytes: int = 32 * 1024
    max_target_bytes: int = 8 * 1024
    max_pipelined: int = 8
    max_connections: int = 10_000
    # The kernel doubles it: at most 128 KiB of socket memory for a reader that stalls.
    send_buffer_bytes: int = 64 * 1024
    # Bytes of answers that wait in our memory before the application waits instead.
    write_buffer_bytes: int = 16 * 1024
    # Bytes in the kernel that are not on the wire yet; more would be latency and memory only.
    unsent_bytes: int = 16 * 1024


def ignore_fault(error: BaseException) -> None:
    """Take notice of nothing: for tests and for applications that report their own faults."""


@dataclass(slots=True)
class Front:
    """One worker's front. `on_fault` gets what the application raised; never log its text.

    Draining: no new connections, and each connection's next answer is its last. Idle ones are
    kept as long as ever, because a client may be sending on one just now; only a worker that stops
    for good closes them sooner.
    """

    limits: FrontLimits = field(default_factory=FrontLimits)
    on_fault: Callable[[BaseException], None] = ignore_fault
    draining: bool = False
    stopping: bool = False
    open_connections: int = 0
    accepted_connections: int = 0
    # By code of the refusal, and by the deadline that was missed.
    refused: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
