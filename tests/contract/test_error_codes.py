"""The page of errors says what the code answers, no more and no less."""

from __future__ import annotations

from tests.contract.bad_bodies import BAD_BODIES
from tests.contract.bad_forms import BAD_FORMS
from tests.contract.bad_inputs import BAD_INPUTS
from tests.contract.bad_upstreams import BAD_UPSTREAMS
from tests.contract.error_codes import PAGE, in_code, of_source, on_page

TOLD_BY_OTHERS = {("upstream_refused", "4xx"), ("upstream_stream_error", "in-band")}
"""Where the status is the provider's, or was sent before."""


def test_the_page_and_the_code_know_the_same_errors() -> None:
    """A new code is documented, a lost one is struck."""
    assert on_page(PAGE.read_text()) == in_code() | TOLD_BY_OTHERS


def test_every_error_of_the_tables_of_bad_input_is_on_the_page() -> None:
    """What the running service is held to is what clients can read."""
    page = on_page(PAGE.read_text())
    for row in (*BAD_INPUTS, *BAD_BODIES, *BAD_FORMS):
        assert (row.code or "none", str(row.status)) in page, row.name
    codes = {code for code, _ in page}
    assert {row.code for row in BAD_UPSTREAMS} - codes == {"a\r\nX: y"}


def test_each_way_to_answer_an_error_is_found() -> None:
    """Control: calls, tables and classes; other tuples are none."""
    source = """
raise errors.invalid("a_code", "words")
raise ApiError(402, "b_code", "words", headers={})
x = {1: (503, "c_code", "words", "type")}
class Sub(InvalidRequest):
    code = "d_code"
raise errors.unavailable("e_code", "words")
y = ApiError(401, None, "words")
z = (200, "f_code", "words"), (500, 7, "words")
"""
    expected = {("a_code", "400"), ("b_code", "402"), ("c_code", "503"), ("d_code", "400")}
    assert set(of_source(source)) == {*expected, ("e_code", "503"), ("none", "401")}
