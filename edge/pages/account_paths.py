"""The paths of /openapi.json about the key's own workspace: what it has and was charged."""

from __future__ import annotations

from typing import Any, Final

from edge.pages.headers import ANSWER_HEADERS, KEY_HEADERS
from edge.translate.operation import JSON, TEXT, Schema, object_of, reference, told

STATUSES: Final = ("400", "401", "403", "405", "408", "414", "431", "500", "503")
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
