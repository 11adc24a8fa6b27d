"""Requests to generate content: one spelling, our checks, the native way, and the neutral form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from edge.translate.errors import CountingUnavailable, InvalidRequest
from edge.translate.generate.count_tokens import CountRequest
from edge.translate.generate.request import GenerateRequest
from edge.translate.generate.seals import sealed_signature
from edge.translate.generate.surface import CountTokensSurface, GenerateSurface, model_and_method
from edge.translate.generate.upstream import GenerateUpstream
from edge.translate.neutral.conversation import (
    Image,
    Maker,
    Reasoning,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from edge.translate.surface import EVENT_STREAM
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.unit.edge.translate.terms import terms
from tests.unit.edge.translate.test_chat_shape import Limits

GENERATE = Endpoint.ENDPOINT_GENERATE_CONTENT
COUNT = Endpoint.ENDPOINT_COUNT_TOKENS
CHAT = Endpoint.ENDPOINT_CHAT_COMPLETIONS
HELLO = [{"role": "user", "parts": [{"text": "Hello."}]}]
PIXEL = {"mimeType": "image/png", "data": "aGk="}
CALL = {"functionCall": {"id": "c1", "name": "tide", "args": {"a": 1}}, "thoughtSignature": "c2ln"}
RESULT = {"functionResponse": {"id": "c1", "name": "tide", "response": {"output": "7"}}}
DECLARED = {"name": "tide", "description": "Height.", "parametersJsonSchema": {"type": "object"}}
TOOLS = [{"functionDeclarations": [DECLARED]}]


def request(contents: Any = HELLO, *, stream: bool = False, **more: Any) -> GenerateRequest:
    """Return a checked request."""
    return GenerateRequest({"contents": contents, **more}, "m", stream=stream)


def parts(*found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return contents of one user turn."""
    return [{"role": "user", "parts": list(found)}]


def sent(asked: GenerateRequest, limit: int | None = None) -> dict[str, Any]:
    """Return what an upstream of this API is asked."""
    body: dict[str, Any] = orjson.loads(asked.translation(terms(GENERATE)).body(limit))
    return body


def refusal(**fields: Any) -> str | None:
    """Return the path that a request is refused by, at whichever step."""
    try:
        asked = request(**fields)
        asked.shape(Limits())
        asked.conversation()
    except InvalidRequest as error:
        return error.param
    return "nothing was refused"


# --- what a client may write


def test_both_spellings_are_one_request() -> None:
    """Protobuf's JSON takes either; single objects stand for lists, as in Google's examples."""
    snake = {
        "contents": {"parts": {"inline_data": {"mime_type": "image/png", "data": "aGk="}}},
        "system_instruction": {"parts": {"text": "Be brief."}},
        "generation_config": {"max_output_tokens": 7, "thinking_config": {"thinking_budget": 1}},
        "tools": {"function_declarations": {"name": "f", "parameters": {"any_of": []}}},
        "tool_config": {"function_calling_config": {"mode": "ANY"}},
    }
    camel = {
        "contents": [{"parts": [{"inlineData": PIXEL}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 7, "thinkingConfig": {"thinkingBudget": 1}},
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"any_of": []}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    }
    asked = GenerateRequest(snake, "m", stream=False)
    assert sent(asked) == camel
    assert asked.token_limit == 7


def test_free_form_fields_keep_their_names() -> None:
    """Arguments and results are the functions' own."""
    call = {"function_call": {"name": "f", "args": {"a_b": 1}}}
    result = {"function_response": {"name": "f", "response": {"c_d": 2}}}
    contents = [{"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]
    body = sent(request(contents))
    assert body["contents"][0]["parts"][0]["functionCall"]["args"] == {"a_b": 1}
    assert body["contents"][1]["parts"][0]["functionResponse"]["response"] == {"c_d": 2}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"contents": None}, "contents"),
        ({"contents": []}, "contents"),
        ({"contents": "x"}, "contents"),
        ({"contents": ["x"]}, "contents[0]"),
        ({"contents": [{"role": "system", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": [7]}]}, "contents[0].parts[0]"),
        ({"systemInstruction": "x"}, "systemInstruction"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"maxOutputTokens": "7"}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"candidateCount": 9}}, "generationConfig.candidateCount"),
        ({"generationConfig": {"topK": 1, "top_k": 2}}, "generationConfig"),
        ({"generationConfig": {}, "generation_config": {}}, "body"),
        ({"serviceTier": "gold"}, "serviceTier"),
        ({"cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
        ({"tools": [{"google_search": {}}]}, "tools[0].googleSearch"),
        ({"tools": [{"codeExecution": {}}]}, "tools[0].codeExecution"),
        ({"tools": [*TOOLS, {"urlContext": {}}]}, "tools[1].urlContext"),
        ({"tools": [{"mindReading": {}}]}, "tools[0]"),
        ({"contents": parts({"hologram": {}})}, "contents[0].parts[0]"),
        (
            {"contents": parts({"inlineData": {"data": "aGk="}})},
            "contents[0].parts[0].inlineData.mimeType",
        ),
        (
            {"contents": parts({"fileData": {"fileUri": "gs://b/f", "mimeType": "image/png"}})},
            "contents[0].parts[0].fileData.fileUri",
        ),
        (
            {
                "contents": parts(
                    {
                        "fileData": {
                            "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x",
                            "mimeType": "image/png",
                        }
                    }
                )
            },
            "contents[0].parts[0].fileData.fileUri",
        ),
        (
            {"generationConfig": {"responseModalities": ["IMAGE"]}},
            "generationConfig.responseModalities",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(fields: dict[str, Any], path: str) -> None:
    """By our own words for the field, never by its value."""
    assert refusal(**fields) == path


def test_the_model_and_the_method_stand_in_the_path() -> None:
    """Slashes, lanes and a doubled `models/` included."""
    assert model_and_method("/v1beta/models/m:generateContent") == ("m", "generateContent")
    assert model_and_method("/v1/models/models/m:countTokens") == ("m", "countTokens")
    path = "/v1beta/models/maker/m:economy:streamGenerateContent"
    assert model_and_method(path) == ("maker/m:economy", "streamGenerateContent")


@pytest.mark.parametrize(
    ("query", "is_events"),
    [(b"alt=sse", True), (b"", False), (b"alt=json", False), (b"\xff", False)],
)
def test_a_stream_is_an_array_unless_events_are_asked_for(query: bytes, is_events: bool) -> None:  # noqa: FBT001  a column of the table
    """Google's own default."""
    path = "/v1beta/models/m:streamGenerateContent"
    asked = GenerateSurface().read(orjson.dumps({"contents": HELLO}), {}, path, query)
    assert (asked.stream, asked.as_array) == (True, not is_events)
    assert (asked.stream_type == EVENT_STREAM) == is_events


# --- what bounds it


def test_media_count_by_the_catalogues_maxima_and_not_by_their_bytes() -> None:
    """Images and files; audio makes audio prices possible."""
    plain = request(parts({"text": "Look."})).shape(Limits())
    image = request(parts({"text": "Look."}, {"inlineData": PIXEL}))
    bound = image.shape(Limits())
    assert (image.media_bytes, bound.media_tokens) == (4, Limits().image_max_tokens)
    assert plain.text_bytes < bound.text_bytes < plain.text_bytes + 80
    sound = request(parts({"inlineData": {"mimeType": "audio/wav", "data": "aGk="}}))
    assert sound.shape(Limits()).has_audio


def test_a_video_is_bounded_as_a_file_whatever_it_calls_itself() -> None:
    """A video site's page is one."""
    file = {"fileUri": "https://www.youtube.com/watch?v=x", "mimeType": "image/png"}
    bound = request(parts({"fileData": file})).shape(Limits())
    assert (bound.media_tokens, bound.has_audio) == (Limits().file_max_tokens, True)


@pytest.mark.parametrize("kind", ["image/png", "audio/wav", "application/pdf", "video/mp4"])
def test_media_without_a_maximum_are_refused(kind: str) -> None:
    """Their cost has no bound."""
    asked = request(parts({"inlineData": {"mimeType": kind, "data": "aGk="}}))
    with pytest.raises(InvalidRequest) as raised:
        asked.shape(Limits(image_max_tokens=0, audio_max_tokens=0, file_max_tokens=0))
    assert raised.value.param == "contents[0].parts[0].inlineData"


def test_media_in_a_functions_result_count_too() -> None:
    """They are read like any other."""
    result = {"functionResponse": {"name": "f", "response": {}, "parts": [{"inlineData": PIXEL}]}}
    asked = request(parts(result))
    assert asked.shape(Limits()).media_tokens == Limits().image_max_tokens
    assert asked.media_bytes == 4


# --- the native way


def test_the_native_body_is_the_clients_but_for_our_edits() -> None:
    """No model, no labels, nothing kept, no tier that chose our lane; unknown fields pass."""
    asked = request(
        model="models/m",
        labels={"team": "x"},
        store=True,
        serviceTier="flex",
        safetySettings=[{"category": "HARM_CATEGORY_JAILBREAK", "threshold": "BLOCK_NONE"}],
        somethingNew={"a": 1},
        generationConfig={"maxOutputTokens": 9, "speechConfig": {}},
    )
    assert asked.service_tier == "flex"
    assert sent(asked, 5) == {
        "contents": HELLO,
        "store": False,
        "safetySettings": [{"category": "HARM_CATEGORY_JAILBREAK", "threshold": "BLOCK_NONE"}],
        "somethingNew": {"a": 1},
        "generationConfig": {"maxOutputTokens": 5, "speechConfig": {}},
    }
    assert sent(asked, 50)["generationConfig"]["maxOutputTokens"] == 9
    assert sent(request(), 50)["generationConfig"] == {"maxOutputTokens": 50}
    assert sent(request(serviceTier="STANDARD"))["serviceTier"] == "STANDARD"


def test_the_upstreams_path_has_its_own_name_of_the_model() -> None:
    """Escaped; a stream is always asked for as events."""
    asked = request(stream=True)
    found = terms(GENERATE)
    found.upstream_model = "tuned/a b?c#d"
    path = asked.translation(found).path
    assert path == b"/models/tuned/a%20b%3Fc%23d:streamGenerateContent?alt=sse"
    assert request().translation(terms(GENERATE)).path == b"/models/upstream-model:generateContent"


def test_counts_need_an_upstream_of_this_api_that_counts() -> None:
    """Counting by another API's rules would be another number."""
    path = "/v1beta/models/m:countTokens"
    whole = {"generate_content_request": {"contents": HELLO, "tools": TOOLS, "model": "models/m"}}
    asked = CountTokensSurface().read(orjson.dumps(whole), {}, path, b"")
    assert (asked.is_free, asked.model) == (True, "m")
    found = asked.translation(terms(GENERATE, COUNT))
    assert found.path == b"/models/upstream-model:countTokens"
    assert orjson.loads(found.body(5)) == {
        "generateContentRequest": {
            "model": "models/upstream-model",
            "contents": HELLO,
            "tools": TOOLS,
        }
    }
    for serves in ((COUNT,), (GENERATE,), (CHAT, COUNT)):
        with pytest.raises(CountingUnavailable):
            asked.translation(terms(*serves))
    with pytest.raises(InvalidRequest):
        CountRequest({}, "m")


# --- to the neutral form and back


ROUND_TRIPS: list[dict[str, Any]] = [
    {},
    {"systemInstruction": {"parts": [{"text": "One."}, {"text": "Two."}]}},
    {"generationConfig": {"temperature": 0.5, "topP": 0.9, "topK": 40, "seed": 7}},
    {"generationConfig": {"stopSequences": ["a", "b"], "maxOutputTokens": 9, "candidateCount": 2}},
    {"generationConfig": {"frequencyPenalty": 0.5, "presencePenalty": -0.5}},
    {"generationConfig": {"responseLogprobs": True, "logprobs": 3}},
    {"generationConfig": {"responseMimeType": "application/json"}},
    {
        "generationConfig": {
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "object", "properties": {"a_b": {"type": "string"}}},
        }
    },
    {"generationConfig": {"thinkingConfig": {"thinkingLevel": "high", "includeThoughts": True}}},
    {"generationConfig": {"thinkingConfig": {"thinkingBudget": 512}}},
    {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}},
    {"tools": TOOLS},
    {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}}},
    {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}},
    {
        "tools": TOOLS,
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["tide"]}},
    },
    {
        "contents": [
            *HELLO,
            {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True, "thoughtSignature": "b25l"},
                    {"text": "Let me see.", "thoughtSignature": "dHdv"},
                    CALL,
                ],
            },
            {"role": "user", "parts": [RESULT]},
        ]
    },
    {"contents": parts({"text": "Look."}, {"inlineData": PIXEL})},
    {"contents": parts({"inlineData": {"mimeType": "audio/wav", "data": "aGk="}})},
    {"contents": parts({"inlineData": {"mimeType": "application/pdf", "data": "aGk="}})},
    {"contents": parts({"fileData": {"mimeType": "image/png", "fileUri": "https://a.test/b"}})},
]


@pytest.mark.parametrize("fields", ROUND_TRIPS)
def test_what_this_api_can_say_comes_back_unchanged(fields: dict[str, Any]) -> None:
    """Through the neutral form, for a model that takes levels of thinking."""
    body = {"contents": HELLO, **fields}
    conversation = request(**body).conversation()
    assert GenerateUpstream().write(conversation, terms(GENERATE), stream=False) == body


def test_googles_schemas_become_json_schemas() -> None:
    """Types in lower case, null as a type, 64-bit numbers as numbers."""
    schema = {
        "type": "OBJECT",
        "properties": {
            "a": {"type": "STRING", "nullable": True, "enum": ["x"], "maxLength": "5"},
            "type": {"type": "ARRAY", "items": {"anyOf": [{"type": "INTEGER"}]}, "min_items": 1},
        },
        "propertyOrdering": ["type", "a"],
        "required": ["a"],
    }
    tools = [{"functionDeclarations": [{"name": "f", "parameters": schema}]}]
    (tool,) = request(tools=tools).conversation().tools
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "enum": ["x", None], "maxLength": 5},
            "type": {"type": "array", "items": {"anyOf": [{"type": "integer"}]}, "minItems": 1},
        },
        "required": ["a"],
    }


def test_a_response_without_an_id_answers_the_oldest_call_of_its_name() -> None:
    """Google's older models give no ids."""
    calls = [{"functionCall": {"name": name}} for name in ("f", "g", "f")]
    results = [
        {"functionResponse": {"name": name, "response": {"output": text}}}
        for name, text in (("f", "1"), ("f", "2"), ("g", "3"))
    ]
    contents = [*HELLO, {"role": "model", "parts": calls}, {"role": "user", "parts": results}]
    turns = request(contents).conversation().turns
    assert [turn.role for turn in turns] == ["user", "assistant", "tool"]
    made = [part.id for part in turns[1].parts if isinstance(part, ToolCall)]
    answered = [part.call_id for part in turns[2].parts if isinstance(part, ToolResult)]
    assert answered == [made[0], made[2], made[1]]


def test_results_and_what_the_user_says_with_them_are_turns_of_their_own() -> None:
    """Other APIs keep results apart."""
    contents = [{"role": "model", "parts": [CALL]}, *parts(RESULT, {"text": "And?"})]
    turns = request(contents).conversation().turns
    assert [turn.role for turn in turns] == ["assistant", "tool", "user"]


@pytest.mark.parametrize("maker", [Maker.ANTHROPIC, Maker.RESPONSES, Maker.CHAT])
def test_reasoning_of_another_maker_comes_back_to_it_whole(maker: Maker) -> None:
    """A stream brought it in pieces; Google's SDKs write the signature in their own base64."""
    seal = sealed_signature(maker, "signed", "sig?>~").replace("+", "-").replace("/", "_")
    contents = [
        *HELLO,
        {"role": "model", "parts": [{"text": "Hm, ", "thought": True}]},
        {"role": "model", "parts": [{"text": "well.", "thought": True}]},
        {"role": "model", "parts": [{"text": "", "thought": True, "thoughtSignature": seal}]},
        {"role": "model", "parts": [{"text": "Yes."}]},
    ]
    turns = request(contents).conversation().turns
    found = [part for turn in turns for part in turn.parts if isinstance(part, Reasoning)]
    made = [(one.maker, one.text, one.signature) for one in found if one.text or one.signature]
    assert made == [(maker, "Hm, well.", "sig?>~")]


def test_encrypted_reasoning_comes_back_to_its_maker() -> None:
    """It has no text."""
    seal = sealed_signature(Maker.ANTHROPIC, "redacted", "data")
    contents = [{"role": "model", "parts": [{"thought": True, "thoughtSignature": seal}]}]
    (part,) = request(contents).conversation().turns[0].parts
    assert isinstance(part, Reasoning)
    assert (part.maker, part.redacted, part.signature) == (Maker.ANTHROPIC, "data", None)


def test_google_never_gets_the_signature_of_another_maker() -> None:
    """It would refuse it; its own signatures stay, whatever their letters."""
    seal = sealed_signature(Maker.ANTHROPIC, "signed", "sig")
    own = {"text": "Hm.", "thought": True, "thoughtSignature": "MWFwaS"}
    foreign = {"text": "Oh.", "thought": True, "thoughtSignature": seal}
    contents = [
        *HELLO,
        {"role": "model", "parts": [own, foreign]},
        {"role": "model", "parts": [foreign]},
        {"role": "model", "parts": [{"text": "Yes."}]},
    ]
    expected = [contents[0], {"role": "model", "parts": [own]}, contents[3]]
    assert sent(request(contents))["contents"] == expected


def test_base64_of_either_alphabet_reaches_other_apis_in_theirs() -> None:
    """Protobuf's JSON takes both, with or without padding."""
    inline = {"mimeType": "image/png", "data": "-_-_aA"}
    (part,) = request(parts({"inlineData": inline})).conversation().turns[0].parts
    assert isinstance(part, Image)
    assert part.data == "+/+/aA=="


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"somethingNew": 1}, "body"),
        ({"generationConfig": {"speechConfig": {}}}, "generationConfig.speechConfig"),
        ({"generationConfig": {"mood": "calm"}}, "generationConfig"),
        (
            {"generationConfig": {"responseModalities": ["AUDIO"]}},
            "generationConfig.responseModalities",
        ),
        (
            {"generationConfig": {"responseMimeType": "text/x.enum"}},
            "generationConfig.responseMimeType",
        ),
        ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
        ({"generationConfig": {"responseSchema": {}}}, "generationConfig.responseSchema"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "eternal"}}},
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (
            {"safetySettings": [{"threshold": "BLOCK_LOW_AND_ABOVE"}]},
            "safetySettings[0].threshold",
        ),
        (
            {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["f"]}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        ({"contents": parts({"executableCode": {"code": "x"}})}, "contents[0].parts[0]"),
        (
            {"contents": parts({"inlineData": {"mimeType": "video/mp4", "data": "aGk="}})},
            "contents[0].parts[0].inlineData",
        ),
        (
            {"contents": parts({"functionResponse": {"name": "f", "response": {}}})},
            "contents[0].parts[0].functionResponse.id",
        ),
    ],
)
def test_what_no_other_api_has_is_refused_by_name(fields: dict[str, Any], path: str) -> None:
    """Not dropped."""
    assert refusal(**fields) == path


def test_hints_are_left_out_when_crossing() -> None:
    """Weaker filters of Google's, validated calls, tiers and labels change no meaning."""
    made = request(
        labels={"a": "b"},
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        tools=TOOLS,
        toolConfig={"functionCallingConfig": {"mode": "VALIDATED"}},
        generationConfig={
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
            "responseModalities": ["TEXT"],
        },
    ).conversation()
    assert made.tool_choice == ToolChoice("auto")
    assert set(made.paths) == {"tools", "tool_choice"}
