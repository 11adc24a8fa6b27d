"""Every recorded embedding: vectors as the provider sent them, tokens as it counted them.

The oracle unpacks vectors and reads counts anew.
"""

from __future__ import annotations

import base64
import json
import struct
from functools import cache
from typing import Any

import orjson
from openai.types import CreateEmbeddingResponse

from edge.translate.answer import WholeAnswer
from edge.translate.embeddings.surface import EmbeddingsSurface
from edge.translate.surface import Terms, Translation
from kit.charge import Dimension, Quantities, charge_nanos
from oneapi.common.v1.endpoint_pb2 import Endpoint
from tests.contract.charge_table import GPT_41_MINI
from tests.support.every import every
from tests.support.openai_types import check
from tests.support.recordings import Recording, load_fixtures, load_recordings

OWN = {"google": Endpoint.ENDPOINT_GENERATE_CONTENT, "cohere": Endpoint.ENDPOINT_EMBEDDINGS}
NAMES = {"cohere": "cohere-v2"}
ENDINGS = ("/embeddings", "/embed", ":batchEmbedContents")


@cache
def embeddings() -> dict[str, Recording]:
    """All answered embeddings: the recordings beside the repository, if any, and our fixtures."""
    every = [*load_recordings(), *load_fixtures()]
    return {one.stem: one for one in every if one.path.endswith(ENDINGS) and one.status == 200}


def price_of(quantities: Quantities) -> int:
    """Price at the rates that `cost` multiplies with."""
    return charge_nanos(quantities, GPT_41_MINI)


def asked(one: Recording) -> dict[str, Any]:
    """Return the request as a client of ours would send it."""
    request = one.request
    if one.provider == "cohere":
        return {"model": "m", "input": request["texts"], "encoding_format": "float"}
    if one.provider == "google":
        parts = [inner["content"]["parts"] for inner in request["requests"]]
        more = {"model": "m", "input": ["".join(p["text"] for p in part) for part in parts]}
        size = request["requests"][0].get("outputDimensionality")
        return more if size is None else {**more, "dimensions": size}
    return request


def way(one: Recording, **more: Any) -> Translation:
    """Return how the request reaches its provider."""
    terms = Terms(
        upstream=NAMES.get(one.provider, one.provider),
        upstream_model="upstream-model",
        serves=frozenset({OWN.get(one.provider, Endpoint.ENDPOINT_EMBEDDINGS)}),
        ends_with_terminal_frame=True,
        public_model="public-model",
        max_output_tokens=1,
        request_id="req_" + "0" * 32,
        created=1,
    )
    body = orjson.dumps({**asked(one), **more})
    return EmbeddingsSurface().read(body, {}, "/v1/embeddings", b"").translation(terms)


def answered(one: Recording, **more: Any) -> WholeAnswer:
    """Return what the client gets."""
    return way(one, **more).whole(one.body(), b"application/json", price_of)


def sent_vectors(one: Recording) -> list[list[float]]:
    """Read the provider's vectors anew."""
    answer = one.response
    if one.provider == "cohere":
        return list(answer["embeddings"]["float"])
    if one.provider == "google":
        return [inner["values"] for inner in answer["embeddings"]]
    return [numbers(inner["embedding"]) for inner in answer["data"]]


def numbers(vector: str | list[float]) -> list[float]:
    """Unpack base64, float by float."""
    if not isinstance(vector, str):
        return vector
    raw = base64.b64decode(vector)
    return [struct.unpack("<f", raw[at : at + 4])[0] for at in range(0, len(raw), 4)]


def counted(one: Recording) -> int | None:
    """Return the input tokens that the provider counted, None if it counted none."""
    if one.provider == "cohere":
        return int(one.response["meta"]["billed_units"]["input_tokens"])
    if one.provider == "google":
        found: int | None = one.response.get("usageMetadata", {}).get("promptTokenCount")
        return found
    return int(one.response["usage"]["total_tokens"])


@every(stem=embeddings)
def test_the_vectors_are_the_providers(stem: str) -> None:
    """In the client's form, and in the SDK's types."""
    one = embeddings()[stem]
    answer = json.loads(answered(one).body)
    if one.provider in OWN:
        CreateEmbeddingResponse.model_validate(answer)
        check("CreateEmbeddingResponse", answer)
    assert [numbers(inner["embedding"]) for inner in answer["data"]] == sent_vectors(one)
    assert [inner["index"] for inner in answer["data"]] == list(range(len(answer["data"])))
    assert answer["model"] == "public-model"
    assert answer["usage"].keys() >= {"prompt_tokens", "total_tokens"}


@every(stem=lambda: [s for s, one in embeddings().items() if one.provider in OWN])
def test_what_is_converted_to_base64_is_the_same_vector(stem: str) -> None:
    """To the precision of 32 bits."""
    one = embeddings()[stem]
    answer = json.loads(answered(one, encoding_format="base64").body)
    for inner, vector in zip(answer["data"], sent_vectors(one), strict=True):
        assert numbers(inner["embedding"]) == [
            struct.unpack("<f", struct.pack("<f", value))[0] for value in vector
        ]


@every(stem=embeddings)
def test_the_quantities_are_the_providers_counts(stem: str) -> None:
    """Input and a request; where nothing was counted, an estimate of the texts alone."""
    one = embeddings()[stem]
    answer, tokens = answered(one), counted(one)
    if tokens is None:
        assert answer.quantities is None
        assert answer.estimated is not None
        size = sum(len(text.encode()) for text in asked(one)["input"])
        assert answer.estimated[Dimension.INPUT] == max(1, size // 4)
        return
    expected = {Dimension.INPUT: tokens, Dimension.REQUESTS: 1}
    assert answer.quantities == tuple(expected.get(dimension, 0) for dimension in Dimension)
    nanos = int(json.loads(answer.body)["usage"]["cost"].replace(".", "").ljust(10, "0"))
    assert nanos == tokens * 400


@every(stem=embeddings)
def test_the_provider_is_asked_what_was_recorded(stem: str) -> None:
    """But for the model, and nothing that the client did not send."""
    one = embeddings()[stem]
    sent = json.loads(way(one).body(None))
    recorded = {name: value for name, value in one.request.items() if value is not None}
    if one.provider == "cohere":
        recorded |= {"input_type": "search_document"}
        del recorded["truncate"]
    if one.provider == "google":
        sent = {"requests": [_google(inner) for inner in sent["requests"]]}
        recorded = {"requests": [_google(inner) for inner in recorded["requests"]]}
    else:
        assert sent.pop("model") == "upstream-model"
        del recorded["model"]
    assert {name: value for name, value in sent.items() if value is not None} == recorded


def _google(request: dict[str, Any]) -> dict[str, Any]:
    content = {"parts": request["content"]["parts"]}
    size = request.get("outputDimensionality")
    return {"content": content} if size is None else {"content": content, "size": size}
