"""The fast path equals the parser: for any chunks of a stream, in any reads."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from edge.translate.chat import plain_frames
from edge.translate.chat.stream import ChatStream
from edge.translate.sse import data_of, frame_of, split_frames

NASTY = [
    "word",
    "",
    ' "model":"up-1"',
    '"usage":null}\n\n',
    "data: {",
    '"finish_reason":null}],"usage":null}',
    "\\u006dodel",
    "é\u2028\x1b",
    '","usage":{"prompt_tokens":1,"completion_tokens":1}',
    "\\",
    '"',
]
TEXTS = st.sampled_from(NASTY) | st.text(max_size=12)
NESTED = st.dictionaries(
    st.sampled_from(["model", "usage", "error", "x", "finish_reason", "choices"]),
    st.none() | st.integers(0, 9) | TEXTS,
    max_size=3,
)
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": TEXTS}),
    st.fixed_dictionaries({"content": st.none(), "reasoning_content": TEXTS}),
    st.fixed_dictionaries({"role": st.just("assistant"), "content": TEXTS}),
    st.fixed_dictionaries({"tool_calls": st.lists(NESTED, max_size=2)}),
    NESTED,
)
FINISHES = st.sampled_from([None, None, None, None, "stop"])
USAGES = st.sampled_from(
    [None, None, None, {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}]
)


@st.composite
def chunk_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Chunks of one stream: mostly of one layout, with odd ones between."""
    has_usage, has_padding, finish_first = (draw(st.booleans()) for _ in range(3))
    model = draw(st.sampled_from(["up-1", 'up"1', "üp"]))
    extra = draw(NESTED)
    found = []
    for _ in range(draw(st.integers(1, 12))):
        choice: dict[str, Any] = {"index": 0, "delta": draw(DELTAS), "logprobs": None}
        finish = {"finish_reason": draw(FINISHES)}
        choice = {**finish, **choice} if finish_first else {**choice, **finish}
        one: dict[str, Any] = {"id": "c", "model": draw(st.sampled_from([model] * 5 + ["other"]))}
        if draw(st.integers(0, 9)) == 0:
            one |= {name: value for name, value in extra.items() if name != "choices"}
            one["error"] = None
        one["choices"] = [choice] if draw(st.integers(0, 9)) else []
        if has_usage:
            one["usage"] = draw(USAGES)
        if has_padding:
            one["obfuscation"] = draw(st.sampled_from(["aB3", "", "x" * 9]))
        found.append(one)
    return found


def expected(chunks: list[dict[str, Any]], *, show_usage: bool) -> list[Any]:
    """Edit the values."""
    edited = []
    for one in chunks:
        value = {**one, "model": "pub"}
        usage = value.get("usage")
        if not show_usage:
            value.pop("usage", None)
            if isinstance(usage, dict) and not value["choices"]:
                continue
        elif isinstance(usage, dict) and usage.get("total_tokens"):
            value["usage"] = {**usage, "cost": "0.000000003"}
        edited.append(value)
    return edited


def feed(chunks: list[dict[str, Any]], size: int, *, ascii_only: bool, show_usage: bool) -> Any:
    """Send the chunks `size` at a time; parse what the client gets."""
    frames = [
        frame_of(json.dumps(one, ensure_ascii=ascii_only, separators=(",", ":")).encode())
        for one in chunks
    ]
    stream = ChatStream(public_model="pub", show_usage=show_usage, price_of=lambda _: 3)
    reads = [b"".join(frames[at : at + size]) for at in range(0, len(frames), size)]
    relayed = b"".join(stream.feed(read) for read in reads)
    seen = [json.loads(data_of(frame) or b"null") for frame in split_frames(relayed)]
    return seen, (stream.events, stream.finish(body_complete=False).quantities, stream.has_output)


@given(
    chunks=chunk_lists(),
    size=st.integers(1, 12),
    ascii_only=st.booleans(),
    show_usage=st.booleans(),
)
@example(
    chunks=[
        {"model": "m", "choices": [{"delta": {"content": text}, "finish_reason": None}]}
        for text in NASTY
    ],
    size=4,
    ascii_only=False,
    show_usage=False,
)
def test_bursts_equal_a_parse_and_an_edit_of_each_chunk(
    chunks: list[dict[str, Any]], size: int, *, ascii_only: bool, show_usage: bool
) -> None:
    """Values, counts and all, also where content looks like a member."""
    seen, counts = feed(chunks, size, ascii_only=ascii_only, show_usage=show_usage)
    assert seen == expected(chunks, show_usage=show_usage)
    assert counts == feed(chunks, 1, ascii_only=ascii_only, show_usage=show_usage)[1]


HEAD = (
    '{"id":"c","object":"chat.completion.chunk","model":"gpt-4o-2024-08-06","choices":[{"index":0'
)
OPENAI = [
    frame_of(
        (
            f'{HEAD},"delta":{{"content":"{text}"}},"logprobs":null,"finish_reason":null}}],'
            f'"usage":null,"obfuscation":"{padding}"}}'
        ).encode()
    )
    for text, padding in [("The", "abcd"), (" capital", "xY"), (' of \\"\\u00e9', ""), (" it", "z")]
]


def learnt(frame: bytes) -> plain_frames.PlainFrames | None:
    """Learn from a frame whose usage is hidden and whose model is replaced."""
    payload = data_of(frame)
    assert payload is not None
    edited = frame.replace(b"gpt-4o-2024-08-06", b"pub").replace(b',"usage":null', b"")
    return plain_frames.learn(frame, json.loads(payload), edited, "The")


def test_a_burst_of_padded_chunks_is_edited_up_to_the_first_that_is_not_plain() -> None:
    """The third has a quotation mark and an escape, which could spell a name: for the parser."""
    plain = learnt(OPENAI[0])
    assert plain is not None
    edited, count, content, _ = plain.edit(b"".join(OPENAI), 0)
    assert (count, content) == (2, 0)
    assert edited == b"".join(OPENAI[:2]).replace(b"gpt-4o-2024-08-06", b"pub").replace(
        b',"usage":null', b""
    )
    assert plain.edit(b"".join(OPENAI), len(b"".join(OPENAI[:3])))[1] == 1


def test_an_escape_in_a_text_without_quotation_marks_is_text() -> None:
    """It can spell no name: there is no second string."""
    plain = learnt(OPENAI[0])
    assert plain is not None
    assert plain.edit(OPENAI[2].replace(b'\\"', b""), 0).frames == 1


def test_the_content_of_unpadded_chunks_is_measured() -> None:
    """It is what stands between the ends."""
    frames = [one.replace(b',"obfuscation":"abcd"', b"") for one in OPENAI[:1]]
    longer = frames[0].replace(b"The", b"The answer")
    plain = learnt(frames[0])
    assert plain is not None
    assert plain.edit(frames[0] + longer, 0)[1:] == (2, 3 + 10, len(frames[0] + longer))


def test_a_member_of_an_edited_name_elsewhere_is_left_to_the_parser() -> None:
    """Its name ends as the member's does, so the counts differ."""
    plain = learnt(OPENAI[0])
    assert plain is not None
    for name in (b"usage", b"model", b"error", b"finish_reason", b"\\u006dodel"):
        odd = OPENAI[1].replace(b" capital", b'x","' + name + b'":"y')
        assert plain.edit(odd, 0)[1] == 0


def test_a_chunk_that_starts_otherwise_or_has_two_lines_is_left_to_the_parser() -> None:
    """Another id, an event line before or behind the data, another line end."""
    plain = learnt(OPENAI[0])
    assert plain is not None
    for odd in (
        OPENAI[0].replace(b'"id":"c"', b'"id":"d"'),
        b"event: e\n" + OPENAI[0],
        OPENAI[0][:-1] + b"event: e\n\n",
        OPENAI[0].replace(b"\n\n", b"\r\n\r\n"),
        OPENAI[0].replace(b"[{", b"[ {"),
        OPENAI[0].replace(b'"logprobs":null', b'"logprobs":{}'),
    ):
        assert plain.edit(odd, 0)[1] == 0


def test_nothing_is_learnt_from_chunks_whose_ends_cannot_be_told() -> None:
    """Other line ends, other lines, a text that is spelled with needless escapes."""
    whole = OPENAI[0]
    for odd in (
        whole.replace(b'"The"', b'"T\\u0068e"'),
        whole.replace(b"\n\n", b"\r\n\r\n"),
        b"event: e\n" + whole,
    ):
        assert learnt(odd) is None
