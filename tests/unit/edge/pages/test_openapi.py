"""/openapi.json describes what is served: paths, headers, errors, states."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import orjson
import pytest

from edge.admission.catalog import LANE_NAMES, Catalog
from edge.api import anthropic_models, google_models, models
from edge.api import headers as answer_headers
from edge.api.http import READ_HEADERS
from edge.errors import lane_unavailable, spend_limit_reached
from edge.pages.error_table import ERROR_GROUPS, by_status, groups_of
from edge.pages.headers import (
    ANSWER_HEADERS,
    ANTHROPIC_HEADERS,
    BROWSER_HEADERS,
    ERROR_HEADERS,
    KEY_HEADERS,
    REQUEST_HEADERS,
)
from edge.pages.lanes import LANE_WORDS
from edge.pages.openapi import document
from edge.pages.operations import ENVELOPES, OPERATIONS, other_paths, served_paths
from tests.contract.error_codes import PAGE, on_page
from tests.unit.edge.admission.world import AdmissionWorld
from tests.unit.edge.pages.page_world import SECOND, State, small_catalog, small_snapshot

ORIGIN = "https://api.example.com"


def made(catalog: Catalog | None = None) -> dict[str, Any]:
    """Return the document as clients get it."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(document(catalog or small_catalog(), ORIGIN)))
    return found


def test_every_path_that_is_served_is_described_and_no_other() -> None:
    """Under its own name or as another place of an operation."""
    described = {path for one in OPERATIONS for path in (one.path, *other_paths(one))}
    assert described == served_paths()


def test_an_operation_names_the_endpoint_of_the_surface_behind_it() -> None:
    """So that its state is the state of what answers."""
    names = [one.name for one in OPERATIONS]
    assert len(set(names)) == len(names)
    assert {one.api for one in OPERATIONS} == ENVELOPES.keys()


def test_the_headers_of_requests_are_those_that_are_read() -> None:
    """No more, no less."""
    tables = (KEY_HEADERS, REQUEST_HEADERS, ANTHROPIC_HEADERS, BROWSER_HEADERS)
    rows = [row.name.encode() for table in tables for row in table]
    assert len(set(rows)) == len(rows)
    assert set(rows) == READ_HEADERS


async def test_the_headers_of_answers_are_those_that_are_sent() -> None:
    """Of an admitted request with limits, and of errors that say when to come again."""
    world = AdmissionWorld()
    admitted = await world.admit(requests_per_minute=5, tokens_per_minute=10**6, max_cost="0.005")
    sent = {name for name, _ in answer_headers.of_terms(admitted)}
    sent |= {name for name, _ in answer_headers.of_request(b"i" * 16)}
    sent |= {*lane_unavailable().headers, *spend_limit_reached().headers}
    rows = {row.name.encode() for row in (*ANSWER_HEADERS, *ERROR_HEADERS)}
    assert sent == rows


def test_the_paths_without_a_key_are_those_of_the_router() -> None:
    """Lists of models in every shape, what a workspace has and was charged, and the probes."""
    described = {path for path in made()["paths"] if path not in served_paths()}
    listed = {f"{prefix}/models" for prefix in ("/v1", google_models.PREFIX)}
    assert described == {
        *listed,
        *(f"{path}/{{model}}" for path in listed),
        "/v1/credits",
        "/v1/receipts/{request_id}",
        "/v1/archives",
        "/v1/archives/{month}",
        "/v1/archives/{month}/{name}",
        "/healthz",
        "/readyz",
    }


def test_a_model_is_as_it_is_described() -> None:
    """In OpenAI's shape, in Anthropic's and in Google's; each is named where it is answered."""
    catalog, document = small_catalog(), made()
    answer = document["paths"]["/v1/models/{model}"]["get"]["responses"]["200"]
    named = [one["$ref"] for one in answer["content"]["application/json"]["schema"]["anyOf"]]
    shapes = {
        "Model": models._shape,
        "AnthropicModel": anthropic_models.shape,
        "GoogleModel": google_models.shape,
    }
    assert named == [f"#/components/schemas/{name}" for name in shapes]
    for name, shape in shapes.items():
        schema = document["components"]["schemas"][name]
        validator = jsonschema_rs.Draft202012Validator(schema)
        for model in catalog.servable(SECOND):
            shown = orjson.loads(orjson.dumps(shape(catalog, model)))
            assert validator.is_valid(shown)
            assert name == "GoogleModel" or shown.keys() == schema["properties"].keys()


def test_every_lane_has_words() -> None:
    """The reference explains each."""
    assert LANE_WORDS.keys() == LANE_NAMES.keys()


def test_the_errors_are_those_of_the_page() -> None:
    """One text for the repository, the reference and this document."""
    rows = {
        (row.code, status) for rows in ERROR_GROUPS for row in rows.rows for status in row.statuses
    }
    assert rows == on_page(PAGE.read_text())
    responses = made()["components"]["responses"]
    for api in ENVELOPES:
        for status, found in by_status().items():
            told = responses[f"{api.capitalize()}Error{status.upper()}"]
            assert told["x-1api-codes"] == [row.code for row in found]


def test_a_table_is_read_with_its_title_and_its_words() -> None:
    """Control: several statuses, a null code, a status of the provider's."""
    page = (
        "# T\n\nwords\n\n## One `a`\n\nA note\nof two lines.\n\n| code | status |\n| --- | --- |\n"
    )
    page += "| `a_code` | 400, 404 | said `so` | no |\n| `none` | 4xx | b | yes |\n"
    (group,) = groups_of(page)
    assert (group.title, group.note) == ("One `a`", "A note of two lines.")
    assert [(row.code, row.statuses, row.meaning) for row in group.rows] == [
        ("a_code", ("400", "404"), "said `so`"),
        ("none", ("4xx",), "b"),
    ]


def test_every_reference_leads_somewhere() -> None:
    """Schemas and responses."""
    whole = made()
    found = [
        part.partition('"')[0] for part in orjson.dumps(whole).decode().split('"$ref":"#/')[1:]
    ]
    assert len(found) > 50
    for reference in found:
        place: Any = whole
        for step in reference.split("/"):
            place = place[step]


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (State.STATUS_READY, "ready"),
        (State.STATUS_LIMITED, "limited"),
        (State.STATUS_NOT_AVAILABLE, "not available"),
    ],
)
def test_a_state_is_what_the_catalogue_says(status: State.Status.ValueType, word: str) -> None:
    """With the operator's words."""
    message = small_snapshot()
    message.endpoints.add(endpoint=OPERATIONS[0].endpoint, status=status, note="Some models only.")
    told = made(Catalog(message))["paths"][OPERATIONS[0].path]["post"]
    assert (told["x-1api-state"], told["x-1api-state-note"]) == (word, "Some models only.")


def test_an_endpoint_that_no_model_can_be_served_at_is_not_available() -> None:
    """Derived from the catalogue, without a word of the operator's."""
    paths = made()["paths"]
    assert paths["/v1/chat/completions"]["post"]["x-1api-state"] == "ready"
    assert paths["/v1/images/edits"]["post"]["x-1api-state"] == "not available"
    assert "x-1api-state-note" not in paths["/v1/images/edits"]["post"]


def test_the_address_is_that_of_this_service() -> None:
    """Generated clients need no other."""
    assert made()["servers"] == [{"url": ORIGIN}]
