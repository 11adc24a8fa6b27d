"""The kernel itself keeps this worker from writing anywhere but in its spool (Linux Landlock).

A library that opens a temporary file, a debug log or a cache gets EACCES: a mistake of ours becomes
an error, never a leak (P1). Nor can the worker execute another program. Reading stays as it is.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from pathlib import Path
from typing import Final

# The same numbers on every architecture.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_PR_SET_NO_NEW_PRIVS: Final = 38

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_REMOVE: Final = 0b11 << 4
_MAKE: Final = 0b111_1111 << 6
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_WRITES: Final = {1: _WRITE_FILE | _REMOVE | _MAKE, 2: _REFER, 3: _TRUNCATE}
"""The rights that count as writing, by the version of the interface that brought them."""


def confine_writes(folder: Path) -> int:
    """Forbid this thread, and all that it starts, to write anywhere but below the folder.

    Call it while there is no other thread. Returns the version of the kernel's interface; 0 if the
    kernel has none or the folder's neighbourhood is writable nevertheless.
    """
    version = available_version()
    if version < 1:
        return 0
    writes = 0
    for since, rights in _WRITES.items():
        writes |= rights if version >= since else 0
    ruleset = _create_ruleset(writes | _EXECUTE)
    try:
        _allow(ruleset, folder, writes)
        _restrict(ruleset)
    finally:
        os.close(ruleset)
    return 0 if _may_write(folder.parent) else version


def available_version() -> int:
    """Return the version of the kernel's interface, 0 if it has none."""
    if sys.platform != "linux":
        return 0
    try:
        return _system_call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    except OSError:
        return 0  # an older kernel, or one without the module


def _create_ruleset(handled: int) -> int:
    attributes = struct.pack("=Q", handled)
    return _system_call(_CREATE_RULESET, attributes, len(attributes), 0)


def _allow(ruleset: int, folder: Path, rights: int) -> None:
    beneath = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, beneath)
        _system_call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(beneath)


def _restrict(ruleset: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    # Without it only root may confine itself.
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    _system_call(_RESTRICT_SELF, ruleset, 0)


def _may_write(folder: Path) -> bool:
    probe = folder / f".landlock-{os.getpid()}"
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return False
    os.close(descriptor)
    probe.unlink()
    return True


def _system_call(number: int, *arguments: int | bytes | None) -> int:
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = int(library.syscall(ctypes.c_long(number), *given))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
