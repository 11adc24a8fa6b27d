"""Makes a fresh process safe to be a child, then becomes the command it was started for.

Run as a script by `kit.process` (`python -I -S process_entry.py PARENT SIGNAL RUN_AS COMMAND...`)
and made of the standard library only, so that it starts in milliseconds. A script rather than a
`preexec_fn`: code between fork and exec may deadlock in a parent that has threads, as gRPC does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

CANNOT_PREPARE = 126
CANNOT_EXECUTE = 127
_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_INNER_ID = 1000


def main(arguments: list[str]) -> int:
    """Prepare this process and replace it; return an exit code only if that was impossible."""
    parent_id, death_signal, run_as, *command = arguments
    try:
        _become(run_as)
        die_with_parent(int(parent_id), int(death_signal))
        _restore_signals()
    except OSError as failure:
        sys.stderr.write(f"child not prepared: {type(failure).__name__} {failure.errno}\n")
        return CANNOT_PREPARE
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as failure:
        sys.stderr.write(f"child not executed: {type(failure).__name__} {failure.errno}\n")
    return CANNOT_EXECUTE


def _become(run_as: str) -> None:
    """Take on the identity `caller`, `namespace` or `<uid>:<gid>`.

    It must come before the death signal, which the kernel clears when credentials change.
    """
    if run_as == "namespace":
        _enter_user_namespace()
    elif run_as != "caller":
        user, _, group = run_as.partition(":")
        os.setgroups([])
        os.setgid(int(group))
        os.setuid(int(user))


def _enter_user_namespace() -> None:
    """Become user 1000 in a namespace of our own; outside of it, files stay those of the caller."""
    user, group = os.geteuid(), os.getegid()
    kernel_call("unshare", _CLONE_NEWUSER)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{_INNER_ID} {user} 1")
    _write("/proc/self/gid_map", f"{_INNER_ID} {group} 1")


def die_with_parent(parent_id: int, death_signal: int) -> None:
    """Ask the kernel for a signal at the parent's death; leave if it is dead already."""
    if sys.platform != "linux":
        return
    kernel_call("prctl", _PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent_id:
        raise ProcessLookupError


def _restore_signals() -> None:
    """Undo what Python or the caller's shell ignored, because exec would hand it on."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def kernel_call(function: str, *arguments: int) -> None:
    """Call a function of the C library that returns 0; anything else is an OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
