"""The paths of /openapi.json about the key's own workspace: what it has and was charged."""

from __future__ import annotations

from typing import Any, Final

from edge.pages.headers import ANSWER_HEADERS, KEY_HEADERS
from edge.translate.operation import (
    COUNT,
    JSON,
    TEXT,
    Schema,
    list_of,
    object_of,
    optional,
    reference,
    told,
)

STATUSES: Final = ("400", "401", "403", "405", "408", "414", "431", "500", "503")
MONTH: Final = "^[1-9][0-9]{3}-(0[1-9]|1[0-2])$"
TIME: Final[Schema] = {"type": "string", "format": "date-time"}
DOLLARS: Final[Schema] = {"type": "string", "pattern": r"^-?[0-9]+\.[0-9]+$"}
REQUEST_ID: Final[Schema] = {"type": "string", "pattern": "^req_[0-9a-f]{32}$"}
SCHEMAS: Final[dict[str, Schema]] = {
    "CreditBalance": object_of(
        {
            "object": {"const": "credit_balance"},
            "currency": {"const": "usd"},
            "total": told(DOLLARS, "All credit: held, available and frozen."),
            "held": told(DOLLARS, "Set aside for requests that run, or may begin at once."),
            "available": told(DOLLARS, "Free to be used."),
            "frozen": told(DOLLARS, "Frozen by disputes."),
            "debt": told(DOLLARS, "Owed; the next top-up pays it first."),
        },
        required=("object", "currency", "total", "held", "available", "frozen", "debt"),
    ),
    "Archive": object_of(
        {
            "object": {"const": "archive"},
            "workspace_id": TEXT,
            "month": {"type": "string", "pattern": MONTH},
            "revision": told(COUNT, "Grows when records came late, or a key's id was erased."),
            "records": told(COUNT, "Requests, one row each."),
            "charges": told(DOLLARS, "What they cost together."),
            "currency": {"const": "usd"},
            "published_at": TIME,
            "expires_at": told(TIME, "When the files are deleted: two years after."),
            "files": list_of(
                object_of(
                    {
                        "name": TEXT,
                        "media_type": TEXT,
                        "size_bytes": optional(told(COUNT, "Null for text made on demand.")),
                        "rows": COUNT,
                        "sha256": optional(told(TEXT, "Of its bytes, as hexadecimal digits.")),
                        "url": TEXT,
                    },
                    required=("name", "media_type", "size_bytes", "rows", "sha256", "url"),
                )
            ),
            "snippets": told({"type": "object"}, "Of one month only: lines to paste, by tool."),
        },
        required=("object", "workspace_id", "month", "revision", "records", "charges", "files"),
    ),
    "ArchiveList": object_of(
        {
            "object": {"const": "list"},
            "data": list_of(reference("Archive")),
            "has_more": {"type": "boolean"},
            "after": optional(told(TEXT, "For the next page; null on the last.")),
        },
        required=("object", "data", "has_more", "after"),
    ),
    "ChargeReceipt": object_of(
        {
            "receipt": told(
                {"type": "object"}, "What was charged and its proof; numbers are texts."
            ),
            "signature": object_of(
                {
                    "algorithm": {"const": "Ed25519"},
                    "key_id": told(TEXT, "Of a key at `/.well-known/1api-keys.json`."),
                    "value": told(TEXT, "64 bytes as hexadecimal digits."),
                },
                required=("algorithm", "key_id", "value"),
            ),
        },
        required=("receipt", "signature"),
    ),
}


def paths() -> dict[str, Any]:
    """Return these paths."""
    credit = "What the key's workspace has, holds and owes, in US dollars."
    receipt = "The signed receipt of one request's charge, which can be checked offline."
    parameter = {"name": "request_id", "in": "path", "required": True, "schema": REQUEST_ID}
    return {
        "/v1/credits": {"get": get("getCredits", credit, reference("CreditBalance"), STATUSES)},
        "/v1/receipts/{request_id}": {
            "get": get("getReceipt", receipt, reference("ChargeReceipt"), (*STATUSES, "404"))
            | {"parameters": [parameter]}
        },
        **_archive_paths(),
    }


def _archive_paths() -> dict[str, Any]:
    query = [
        _parameter("query", "workspace_id", TEXT, "The key's own, which is also the default."),
    ]
    pages = [
        _parameter("query", "limit", {"type": "integer", "minimum": 1, "maximum": 100}, "24."),
        _parameter("query", "after", {"type": "string", "pattern": MONTH}, "From a page before."),
    ]
    month = _parameter("path", "month", {"type": "string", "pattern": MONTH}, "Such as 2026-08.")
    name = _parameter("path", "name", TEXT, "One of the month's `files`.")
    limited = (*STATUSES, "429")
    statuses = (*limited, "404")
    listed = get(
        "listArchives",
        "Archived months of usage, newest first.",
        reference("ArchiveList"),
        limited,
    )
    described = get(
        "getArchive", "One archived month: files, sums, checksums.", reference("Archive"), statuses
    )
    file = get(
        "downloadArchive",
        "A file of a month, whole or from any byte on; or where the store has it.",
        TEXT,
        (*statuses, "416"),
    )
    binary: dict[str, Any] = {"application/octet-stream": {"schema": {}}}
    file["responses"]["200"]["content"] = binary
    file["responses"]["206"] = {"description": "The part.", "content": binary}
    file["responses"]["302"] = {"description": "A URL of the store, which works for minutes."}
    file["responses"]["304"] = {"description": "The file is the one that `If-None-Match` names."}
    return {
        "/v1/archives": {"get": listed | {"parameters": [*query, *pages]}},
        "/v1/archives/{month}": {"get": described | {"parameters": [month, *query]}},
        "/v1/archives/{month}/{name}": {"get": file | {"parameters": [month, name, *query]}},
    }


def _parameter(place: str, name: str, schema: Schema, words: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": words,
    }


def get(name: str, words: str, schema: Schema, statuses: tuple[str, ...]) -> dict[str, Any]:
    """Return a GET that needs a key and answers in OpenAI's shape of errors."""
    error = {
        "description": "See the table of errors.",
        "content": {JSON: {"schema": reference("OpenaiError")}},
    }
    answer = {
        "description": "The answer.",
        "headers": {row.name: {"schema": row.schema} for row in ANSWER_HEADERS[:1]},
        "content": {JSON: {"schema": schema}},
    }
    return {
        "operationId": name,
        "tags": ["account"],
        "summary": words,
        "security": [{row.name: []} for row in KEY_HEADERS],
        "responses": {"200": answer, **dict.fromkeys(statuses, error)},
    }
