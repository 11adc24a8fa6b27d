"""Any chat that the neutral form can express is the same chat after a round trip through it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.edge.translate.test_chat_crossing_requests import read, written

TEXTS = st.text(min_size=1, max_size=12)
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
DATA = st.sampled_from(["aGk=", "AAAA", "Zm9vYmFy"])
PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS),
    st.builds(
        lambda data, detail: {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{data}", **detail},
        },
        DATA,
        st.sampled_from([{}, {"detail": "low"}, {"detail": "auto"}]),
    ),
    st.builds(
        lambda name: {"type": "image_url", "image_url": {"url": f"https://example.com/{name}"}},
        NAMES,
    ),
    st.builds(
        lambda data: {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}, DATA
    ),
    st.builds(
        lambda name, data: {
            "type": "file",
            "file": {"filename": name, "file_data": f"data:application/pdf;base64,{data}"},
        },
        NAMES,
        DATA,
    ),
)
SYSTEM = st.builds(lambda text: {"role": "system", "content": text}, TEXTS)
USER = st.builds(
    lambda content: {"role": "user", "content": content},
    TEXTS | st.lists(PARTS, min_size=2, max_size=4),
)
ARGUMENTS = st.sampled_from(["{}", '{"a": 1}', '{"b":"\\u00fc"}'])


@st.composite
def exchanges(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Give what an assistant says, with calls and their results."""
    ids = draw(st.lists(NAMES, max_size=3, unique=True))
    said = draw(st.none() | TEXTS) if ids else draw(TEXTS)
    message: dict[str, Any] = {"role": "assistant", "content": said}
    thought = draw(st.none() | TEXTS)
    if thought is not None:
        message["reasoning_content"] = thought
    if not ids:
        return [message]
    message["tool_calls"] = [
        {
            "id": one,
            "type": "function",
            "function": {"name": draw(NAMES), "arguments": draw(ARGUMENTS)},
        }
        for one in ids
    ]
    texts = [draw(TEXTS) for _ in ids]
    return [
        message,
        *(
            {"role": "tool", "tool_call_id": one, "content": text}
            for one, text in zip(ids, texts, strict=True)
        ),
    ]


MESSAGES = st.lists(
    st.one_of(SYSTEM.map(lambda one: [one]), USER.map(lambda one: [one]), exchanges()),
    min_size=1,
    max_size=5,
).map(lambda groups: [message for group in groups for message in group])


def name_of(tool: Any) -> str:
    """Return a tool's name."""
    name: str = tool["function"]["name"]
    return name


TOOLS = st.lists(
    st.builds(
        lambda name, more: {
            "type": "function",
            "function": {"name": name, "parameters": {"type": "object"}, **more},
        },
        NAMES,
        st.sampled_from([{}, {"description": "D"}, {"strict": True}, {"strict": False}]),
    ),
    min_size=1,
    max_size=3,
    unique_by=name_of,
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "temperature": st.floats(0, 2) | st.integers(0, 2),
    "top_p": st.floats(0, 1),
    "top_k": st.integers(1, 100),
    "frequency_penalty": st.floats(0.1, 2),
    "presence_penalty": st.floats(-2, -0.1),
    "seed": st.integers(-(2**62), 2**62),
    "stop": st.lists(TEXTS, min_size=1, max_size=4),
    "n": st.integers(2, 128),
    "top_logprobs": st.integers(1, 20),
    "logprobs": st.just(value=True),
    "logit_bias": st.dictionaries(NAMES, st.integers(-100, 100), min_size=1, max_size=3),
    "verbosity": st.sampled_from(["low", "medium", "high"]),
    "reasoning_effort": st.sampled_from(["none", "minimal", "low", "medium", "high", "xhigh"]),
    "max_tokens": st.integers(1, 2**31 - 1),
    "response_format": st.sampled_from(
        [
            {"type": "json_object"},
            {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}},
            {"type": "json_schema", "json_schema": {"name": "x", "description": "d"}},
        ]
    ),
}


@given(MESSAGES, st.fixed_dictionaries({}, optional=FIELDS))
def test_messages_and_fields_come_out_as_they_went_in(
    messages: list[dict[str, Any]], more: dict[str, Any]
) -> None:
    """Nothing is lost, added, joined or put in another order."""
    assert written(read(messages, **more)) == {
        "model": "upstream-model",
        "messages": messages,
        **more,
    }


CHOICES = st.sampled_from([None, "auto", "none", "required", "named"])


@given(TOOLS, CHOICES, st.sampled_from([{}, {"parallel_tool_calls": False}]))
def test_tools_and_their_choice_come_out_as_they_went_in(
    tools: list[dict[str, Any]], choice: str | None, parallel: dict[str, Any]
) -> None:
    """In all forms that chat has for them."""
    more: dict[str, Any] = {"tools": tools, **parallel}
    if choice == "named":
        name = name_of(tools[-1])
        more["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif choice is not None:
        more["tool_choice"] = choice
    asked = written(read(**more))
    assert {name: asked.get(name) for name in more} == more
