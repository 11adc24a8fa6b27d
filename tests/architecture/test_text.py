"""No log and no message is made of free text, no exception is ever written out, no process runs
without its lock-down (P1).
"""

from __future__ import annotations

import pytest

from tests.architecture.rules.text import leaks
from tests.architecture.rules.tree import ROOT, report, sources


def test_no_module_writes_free_text() -> None:
    """Every process and tool."""
    found = [line for path, text in sources(".py") for line in report(path, leaks(text))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("process", ["edge", "core", "archiver"])
def test_every_process_is_locked_down_before_it_serves(process: str) -> None:
    """Whoever starts it: libraries silent, no dumps, faults told by type, telltales refused."""
    text = (ROOT / process / "__main__.py").read_text()
    locked, refused, served = (
        text.find(call) for call in ("lock_down(log)", "refuses_to_start(log", "serve(settings")
    )
    assert 0 < locked < refused < served


@pytest.mark.parametrize(
    "line",
    [
        "print(body)",
        "log.event(f'got {body}')",
        "self.log.event('got', text='%s' % body)",
        "logger.info('got ' + body)",
        "logger.info('got {}'.format(body))",
        "logger.warning('failed', exc_info=True)",
        "logging.exception('failed')",
        "traceback.format_exc()",
        "traceback.TracebackException.from_exception(fault, capture_locals=True)",
        "log.event('got', message=text_format.MessageToString(message))",
        "reply(str(fault))",
        "reply(f'failed: {fault!r}')",
        "reply('failed: %s' % fault)",
        "reply(fault.args[0])",
    ],
)
def test_a_line_that_lets_text_out_is_found(line: str) -> None:
    """Control: each way that people know."""
    assert leaks(f"try:\n    work()\nexcept ValueError as fault:\n    {line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "log.event('upstream_refused', status=status)",
        "log.fault('shipper_failed', exception=fault)",
        "raise UpstreamCut(upstream_number=3) from None",
        "parse(data[fault.args[0] :])",
        "task.exception()",
        "reply(f'{count} records')",
        "reply(str(path))",
    ],
)
def test_a_line_without_free_text_passes(line: str) -> None:
    """Control: the rule leaves honest code alone."""
    assert leaks(f"try:\n    work()\nexcept ValueError as fault:\n    {line}\n") == []
