"""Forms with files: read in one way only, or refused; written as a form that others read."""

from __future__ import annotations

from email import policy
from email.parser import BytesParser

import httpx
import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from edge.translate import form, multipart
from edge.translate.errors import InvalidForm, InvalidRequest
from edge.translate.form import Kind
from edge.translate.multipart import Part
from tests.contract.bad_forms import HOSTILE, TYPE, body, field

FIELDS = {"model": Kind.TEXT, "tags[]": Kind.TEXTS, "image": Kind.IMAGES, "file": Kind.AUDIO}


def read(raw: bytes, content_type: bytes = TYPE) -> list[tuple[str, bytes, str | None]]:
    """Return names, data and file names."""
    parts = multipart.parsed(raw, content_type)
    return [(part.name, bytes(part.data), part.file_name) for part in parts]


def test_fields_come_in_order_with_their_bytes() -> None:
    """Also empty ones, and such that hold line ends and what looks like a boundary."""
    tricky = b"\r\n--a\r\n--\r\n\r\n"
    raw = body(
        field("one", b""), field("one", tricky), field("f", b"\0", '; filename="a b\xff.png"')
    )
    assert read(raw) == [("one", b"", None), ("one", tricky, None), ("f", b"\0", "a b\xff.png")]
    assert read(raw[:-2]) == read(raw)
    assert read(b"--b--") == []


def test_a_form_of_a_usual_client_is_read() -> None:
    """What openai-python sends is written by httpx."""
    files = [("image[]", ("a.png", b"\x89PNG", "image/png")), ("image[]", ("b", b"", None))]
    sent = httpx.Request("POST", "http://h/", data={"prompt": "Grüße", "n": "2"}, files=files)
    parts = multipart.parsed(sent.read(), sent.headers["content-type"].encode())
    assert [(part.name, bytes(part.data)) for part in parts] == [
        ("prompt", "Grüße".encode()),
        ("n", b"2"),
        ("image[]", b"\x89PNG"),
        ("image[]", b""),
    ]
    assert [part.content_type for part in parts[2:]] == ["image/png", "application/octet-stream"]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_two_readers_could_take_for_two_forms_is_refused(name: str) -> None:
    """With words of our own: nothing of the form is in the error."""
    raw, content_type = HOSTILE[name]
    with pytest.raises(InvalidForm) as caught:
        multipart.parsed(raw, content_type)
    assert caught.value.param is None
    assert caught.value.message in list(vars(multipart).values())


NAMES = st.sampled_from(["model", "tags[]", "image", "file", "secret-field"])
EXTENSIONS = st.none() | st.sampled_from(["png", "WAV", "exe", "", "secret"])
PARTS = st.lists(st.tuples(NAMES, st.binary(max_size=40), EXTENSIONS), max_size=6)
NOISE = st.lists(
    st.sampled_from(
        [b"--b", b"\r\n", b"--", b"\r\n--b\r\n", b"Content-Disposition: form-data", b"; name=x"]
    )
    | st.binary(max_size=4),
    max_size=20,
).map(b"".join)


@given(NOISE, st.sampled_from([TYPE, b'multipart/form-data; boundary="b"']) | st.binary(max_size=9))
@example(b"--b--", TYPE)
@example(b"--b\r\nContent-Disposition: form-data; name=model\r\n\r\n\r\n--b--", TYPE)
def test_any_bytes_are_a_form_or_an_error_of_ours(raw: bytes, content_type: bytes) -> None:
    """And a form that was read can be written."""
    try:
        found = form.read(raw, content_type, FIELDS)
    except InvalidRequest as error:
        event(error.code)
        return
    assert found.text_bytes + found.file_bytes <= len(raw)
    again = multipart.parsed(found.written(b"ours"), multipart.content_type_of(b"ours"))
    assert len(again) == len(found.parts)


@given(PARTS)
def test_what_is_written_is_what_another_reader_reads(
    fields: list[tuple[str, bytes, str | None]],
) -> None:
    """Python's e-mail parser, which knows nothing of us; text parts keep their bytes in both."""
    parts = [
        Part(name, data, None if extension is None else f"file.{extension}", "a/b")
        for name, data, extension in fields
        if b"\r" not in data and b"\n" not in data
    ]
    raw = multipart.written(parts, b"ours")
    head = b"content-type: " + multipart.content_type_of(b"ours") + b"\r\n\r\n"
    message = BytesParser(policy=policy.HTTP).parsebytes(head + raw)
    read_back = list(message.iter_parts()) if parts else []
    assert [
        (one.get_param("name", header="content-disposition"), one.get_payload(decode=True))
        for one in read_back
    ] == [(part.name, bytes(part.data)) for part in parts]
    assert read_ours(raw) == [(part.name, bytes(part.data), part.file_name) for part in parts]


def read_ours(raw: bytes) -> list[tuple[str, bytes, str | None]]:
    """Read with our boundary."""
    return read(raw, multipart.content_type_of(b"ours"))


@given(PARTS)
def test_no_file_name_and_no_unknown_field_gets_through(
    fields: list[tuple[str, bytes, str | None]],
) -> None:
    """A file has a neutral name with a known extension; a field is in the table or refused."""
    parts = [
        Part(name, data, None if ext is None else f"secret.{ext}", "secret/type")
        for name, data, ext in fields
    ]
    raw = multipart.written(parts, b"b")
    try:
        found = form.read(raw, TYPE, FIELDS)
    except InvalidRequest as error:
        event(error.message)
        assert "secret" not in error.message  # noqa: PT017  an error is one of two right answers
        return
    for name, data, file_name in read_ours(found.written(b"ours", model="m")):
        assert name in FIELDS
        assert file_name in {None, "image.png", "image.bin", "audio.wav", "audio.bin"}
        assert b"secret" not in (file_name or "").encode()
        assert data == b"m" or (name, data) in [(part.name, bytes(part.data)) for part in parts]


@pytest.mark.parametrize(
    ("file_name", "content_type", "expected"),
    [
        ("Holiday with Ann.PNG", "", ("image.png", "image/png")),
        ("a.jpeg", "image/png", ("image.jpeg", "image/jpeg")),
        ("upload", "image/jpeg; x=y", ("image.jpg", "image/jpeg")),
        (None, "image/webp", ("image.webp", "image/webp")),
        ("a.tiff", "image/tiff", ("image.bin", "application/octet-stream")),
    ],
)
def test_an_extension_comes_from_the_name_or_else_from_the_type(
    file_name: str | None, content_type: str, expected: tuple[str, str]
) -> None:
    """And is one of those that the API takes."""
    raw = multipart.written([Part("image", b"x", file_name or "", content_type)], b"b")
    part = form.read(raw, TYPE, FIELDS).parts[0]
    assert (part.file_name, part.content_type) == expected


@pytest.mark.parametrize("name", ["model", "file"])
def test_a_field_of_one_value_comes_once(name: str) -> None:
    """Providers differ in which one they take."""
    with pytest.raises(InvalidRequest) as caught:
        form.read(body(field(name, b"a"), field(name, b"b")), TYPE, FIELDS)
    assert (caught.value.code, caught.value.param) == ("invalid_value", name)
    assert form.read(body(field("tags[]", b"a"), field("tags[]", b"b")), TYPE, FIELDS).parts
