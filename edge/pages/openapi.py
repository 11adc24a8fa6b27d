"""/openapi.json: the public API in OpenAPI 3.1, made of what the code checks and answers.

Endpoints come from `edge/api/surfaces.py` by way of their operations, errors from the page of
errors, headers from `headers.py`, the states from the catalogue. Texts are the same as on the API
reference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from edge.admission.catalog import LANE_NAMES, Catalog, Status
from edge.pages import account_paths, open_paths
from edge.pages.error_table import ERROR_GROUPS, ErrorRow, by_status
from edge.pages.headers import (
    ANSWER_HEADERS,
    ANTHROPIC_HEADERS,
    CONTENT_TYPE,
    ERROR_HEADERS,
    KEY_HEADERS,
    REQUEST_HEADERS,
    HeaderRow,
)
from edge.pages.operations import ENVELOPES, OPERATIONS, other_paths
from edge.translate.operation import (
    EVENTS,
    FORM,
    JSON,
    TEXT,
    Api,
    Operation,
    Schema,
    reference,
)

STATES: Final[dict[int, str]] = {
    Status.STATUS_READY: "ready",
    Status.STATUS_LIMITED: "limited",
    Status.STATUS_NOT_AVAILABLE: "not available",
}
_FRONT: Final = frozenset(status for row in ERROR_GROUPS[0].rows for status in row.statuses)
"""Statuses that may come before a request is read: in OpenAI's shape whatever the path."""
_ALSO_FRONT: Final = _FRONT | {"404", "405", "500"}

_SECURITY: Final[list[dict[str, list[str]]]] = [{row.name: []} for row in KEY_HEADERS]


def document(catalog: Catalog, origin: str) -> dict[str, Any]:
    """Return the description, with the state of each endpoint in this catalogue."""
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths[operation.path] = {"post": _operation(operation, catalog)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "1API Club",
            "version": "1",
            "summary": "One API to many AI models: nothing kept, everything metered once.",
            "description": "The text for people is at /docs/api-reference.",
        },
        "servers": [{"url": origin}],
        "paths": paths | open_paths.paths() | account_paths.paths(),
        "components": _components(),
        "x-1api-lanes": list(LANE_NAMES),
    }


def state_of(operation: Operation, catalog: Catalog) -> str:
    """Return `ready`, `limited` or `not available`."""
    return STATES.get(catalog.endpoint_state(operation.endpoint), "not available")


def _operation(operation: Operation, catalog: Catalog) -> dict[str, Any]:
    found = {
        "operationId": operation.name,
        "tags": [operation.api],
        "summary": operation.title,
        "description": operation.summary,
        "security": _SECURITY,
        "parameters": [*_parameters(operation)],
        "requestBody": {
            "required": True,
            "content": {
                kind: {"schema": reference(_request_name(operation, kind))}
                for kind in operation.requests
            },
        },
        "responses": {"200": _answer(operation), **_errors(operation.api)},
        "x-1api-state": state_of(operation, catalog),
    }
    if note := catalog.endpoint_note(operation.endpoint):
        found["x-1api-state-note"] = note
    if others := other_paths(operation):
        found["x-1api-also-at"] = others
    return found


def _parameters(operation: Operation) -> Iterable[dict[str, Any]]:
    for name, schema in operation.path_parameters.items():
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, schema in operation.query_parameters.items():
        yield {"name": name, "in": "query", "schema": schema}
    more = ANTHROPIC_HEADERS if operation.api == "anthropic" else ()
    # OpenAPI describes the content type elsewhere, and ignores a parameter of that name.
    yield from (
        _header_parameter(row) for row in (*REQUEST_HEADERS, *more) if row is not CONTENT_TYPE
    )


def _header_parameter(row: HeaderRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "in": "header",
        "description": row.meaning,
        "schema": row.schema,
    }


def _answer(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for media_type, stated in operation.answers.items():
        schema = reference(_answer_name(operation, media_type)) if stated else stated
        if media_type == EVENTS:
            # OpenAPI 3.1 has no words for the events of a stream.
            content[media_type] = {"schema": TEXT, "x-1api-event-schema": schema}
        else:
            content[media_type] = {"schema": schema}
    headers = {row.name: _header(row) for row in ANSWER_HEADERS}
    return {"description": "The answer.", "headers": headers, "content": content}


def _request_name(operation: Operation, media_type: str) -> str:
    return _capital(operation.name) + ("Form" if media_type == FORM else "Request")


def _answer_name(operation: Operation, media_type: str) -> str:
    return _capital(operation.name) + {JSON: "Answer", EVENTS: "Event"}.get(media_type, "Text")


def _errors(api: Api) -> dict[str, Any]:
    return {
        status.upper(): {"$ref": f"#/components/responses/{_error_name(api, status)}"}
        for status in by_status()
    }


def _error_name(api: Api, status: str) -> str:
    return f"{_capital(api)}Error{status.upper()}"


def _error(api: Api, status: str, rows: list[ErrorRow]) -> dict[str, Any]:
    schema: Schema = reference(f"{_capital(api)}Error")
    if status in _ALSO_FRONT and api != "openai":
        schema = {"anyOf": [schema, reference("OpenaiError")]}
    return {
        "description": "\n".join(f"`{row.code}`: {row.meaning}" for row in rows),
        "headers": {row.name: _header(row) for row in (ANSWER_HEADERS[0], *ERROR_HEADERS)},
        "content": {JSON: {"schema": schema}},
        "x-1api-codes": [row.code for row in rows],
    }


def _components() -> dict[str, Any]:
    schemas: dict[str, Schema] = {**open_paths.SCHEMAS, **account_paths.SCHEMAS}
    for operation in OPERATIONS:
        schemas |= operation.shared
        for media_type, schema in operation.requests.items():
            schemas[_request_name(operation, media_type)] = schema
        for media_type, schema in operation.answers.items():
            if schema:
                schemas[_answer_name(operation, media_type)] = schema
    responses = {}
    for api, envelope in ENVELOPES.items():
        schemas[f"{_capital(api)}Error"] = envelope
        for status, rows in by_status().items():
            responses[_error_name(api, status)] = _error(api, status, rows)
    keys = {row.name: _security_scheme(row) for row in KEY_HEADERS}
    return {"schemas": schemas, "responses": responses, "securitySchemes": keys}


def _security_scheme(row: HeaderRow) -> dict[str, Any]:
    if row.name == "authorization":
        return {"type": "http", "scheme": "bearer", "description": row.meaning}
    return {"type": "apiKey", "in": "header", "name": row.name, "description": row.meaning}


def _header(row: HeaderRow) -> dict[str, Any]:
    return {"description": row.meaning, "schema": row.schema}


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]
