"""Requests of other APIs, asked of Google."""

from __future__ import annotations

from typing import Any

import pytest

from edge.translate.errors import InvalidRequest
from edge.translate.generate.from_turns import NO_SIGNATURE
from edge.translate.generate.upstream import GenerateUpstream
from edge.translate.neutral.conversation import (
    Audio,
    Conversation,
    File,
    Image,
    Maker,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms

GENERATE = Endpoint.ENDPOINT_GENERATE_CONTENT


def written(conversation: Conversation, model: str = "upstream-model") -> dict[str, Any]:
    """Return what a conversation becomes for a model of Google's."""
    found = terms(GENERATE)
    found.upstream_model = model
    return GenerateUpstream().write(conversation, found, stream=False)


def said(*turns: Turn, **more: Any) -> Conversation:
    """Return a conversation of these turns, a greeting if there are none."""
    return Conversation(turns=list(turns) or [Turn("user", [Text("p", "Hi.")], "p")], **more)


def test_calls_that_google_did_not_make_get_the_signature_that_passes_its_check() -> None:
    """The first of parallel ones; older models need none."""
    calls = [ToolCall("p", f"c{n}", "f", "{}") for n in range(2)]
    asked = said(Turn("assistant", [*calls], "p"))
    made = [part.get("thoughtSignature") for part in written(asked)["contents"][0]["parts"]]
    assert made == [NO_SIGNATURE, None]
    made = written(asked, "gemini-2.5-flash")["contents"][0]["parts"]
    assert not any("thoughtSignature" in part for part in made)


def test_a_signature_stands_where_it_came_from() -> None:
    """On its call, on the text after it, or at the end; other makers' reasoning stays out."""
    turn = Turn(
        "assistant",
        [
            Reasoning("p", Maker.ANTHROPIC, "Mine.", "x"),
            Reasoning("p", Maker.GOOGLE, "", "b25l"),
            Text("p", "Yes."),
            ToolCall("p", "c1", "f", '{"a": 1}', "dHdv"),
            Reasoning("p", Maker.GOOGLE, "", "dHJl"),
        ],
        "p",
    )
    assert written(said(turn))["contents"][0]["parts"] == [
        {"text": "Yes.", "thoughtSignature": "b25l"},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "dHdv"},
        {"text": "", "thoughtSignature": "dHJl"},
    ]


def test_results_of_parallel_calls_stand_in_one_content() -> None:
    """Google counts them against the calls; errors are said as errors, media beside them."""
    results = [
        Turn("tool", [ToolResult("p", "c1", "f", [Text("p", "7"), Text("p", "8")])], "p"),
        Turn("tool", [ToolResult("p", "c2", "g", [Text("p", "no")], is_error=True)], "q"),
        Turn("tool", [ToolResult("p", "c3", "h", [Image("p", "image/png", "aGk=")])], "r"),
    ]
    (content,) = written(said(*results))["contents"]
    found = [part["functionResponse"] for part in content["parts"]]
    assert [one["response"] for one in found] == [
        {"output": "7\n8"},
        {"error": "no"},
        {"output": ""},
    ]
    assert found[2]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "aGk="}}]


def test_instructions_of_any_place_are_the_systems() -> None:
    """There is one place for them."""
    system = [Turn("system", [Text("p", text)], "p") for text in ("One.", "Two.")]
    user = Turn("user", [Text("p", "Hi."), Refusal("p", "No.")], "p")
    assert written(said(system[0], user, system[1])) == {
        "contents": [{"role": "user", "parts": [{"text": "Hi."}, {"text": "No."}]}],
        "systemInstruction": {"parts": [{"text": "One."}, {"text": "Two."}]},
    }


def test_strict_functions_are_validated() -> None:
    """Google's word for arguments that fit their schema."""
    asked = said(tools=[Tool("p", "f", strict=True)])
    assert written(asked)["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-3-flash", "minimal", {"thinkingLevel": "minimal"}),
        ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "low"}),
        ("gemini-3-flash", "max", {"thinkingLevel": "high"}),
        ("gemini-3-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "medium", {"thinkingBudget": 8192}),
        ("models/gemini-2.5-pro", "low", {"thinkingBudget": 1024}),
    ],
)
def test_efforts_are_levels_or_budgets(model: str, effort: str, config: dict[str, Any]) -> None:
    """As Google's own OpenAI endpoint maps them."""
    asked = said(thinking=Thinking(effort=effort))
    assert written(asked, model)["generationConfig"] == {"thinkingConfig": config}


@pytest.mark.parametrize(
    ("conversation", "path"),
    [
        (said(logit_bias={"1": 1.0}, paths={"logit_bias": "logit_bias"}), "logit_bias"),
        (said(verbosity="low", paths={"verbosity": "text.verbosity"}), "text.verbosity"),
        (
            said(
                parallel_tools=False,
                tools=[Tool("t", "f")],
                paths={"parallel_tools": "parallel_tool_calls"},
            ),
            "parallel_tool_calls",
        ),
        (said(Turn("user", [Image("image", url="https://a.test/b")], "p")), "image"),
        (said(Turn("user", [Audio("audio", "pcm16", "aGk=")], "p")), "audio"),
        (said(Turn("user", [File("file")], "p")), "file"),
        (said(Turn("assistant", [ToolCall("call", "c", "f", "[1]")], "p")), "call"),
        (said(Turn("assistant", [ToolCall("call", "c", "f", "{")], "p")), "call"),
        (said(Turn("tool", [ToolResult("result", "c", None, [])], "p")), "result"),
        (said(Turn("system", [Image("image", "image/png", "aGk=")], "p")), "image"),
        (said(Turn("system", [Text("p", "x")], "messages[0]")), "messages[0]"),
    ],
)
def test_what_google_cannot_express_is_refused_by_the_clients_name(
    conversation: Conversation, path: str
) -> None:
    """The path is the client's own."""
    with pytest.raises(InvalidRequest) as raised:
        written(conversation)
    assert raised.value.param == path


def test_a_url_says_what_it_is_by_its_ending() -> None:
    """Google wants to be told; OpenAI's clients do not."""
    image = Turn("user", [Image("p", url="https://a.test/b.JPG?c=d")], "p")
    (part,) = written(said(image))["contents"][0]["parts"]
    assert part["fileData"]["mimeType"] == "image/jpeg"


def test_a_limit_of_ours_never_raises_the_clients() -> None:
    """The smaller one goes upstream."""
    api = GenerateUpstream()
    body = written(said(max_output_tokens=9))
    assert api.limit(body, terms(), 5)["generationConfig"] == {"maxOutputTokens": 5}
    assert api.limit(body, terms(), 50)["generationConfig"] == {"maxOutputTokens": 9}
    assert api.limit(body, terms(), None) == body
