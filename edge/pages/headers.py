"""The headers of the API in words: what a request may send, and what an answer tells.

The tests hold the first table to `edge/api/http.py: READ_HEADERS`, the second to
`edge/api/headers.py` and to the headers of errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.admission.catalog import LANE_NAMES
from edge.translate.operation import TEXT, Schema

AMOUNT: Final = r"^[0-9]{1,6}(\.[0-9]{1,9})?$"
_COUNT: Final[Schema] = {"type": "string", "pattern": "^[0-9]+$"}
_DURATION: Final[Schema] = {"type": "string", "examples": ["120ms", "8.64s", "6m0s"]}


@dataclass(frozen=True, slots=True)
class HeaderRow:
    """One header. Back quotes mark code."""

    name: str
    schema: Schema
    meaning: str


KEY_HEADERS: Final = (
    HeaderRow("authorization", TEXT, "`Bearer` and the API key, as OpenAI's SDKs send it."),
    HeaderRow("x-api-key", TEXT, "The API key alone, as Anthropic's clients send it."),
    HeaderRow("api-key", TEXT, "The same, as Azure's clients send it."),
    HeaderRow("x-goog-api-key", TEXT, "The same, as Google's clients send it."),
)
"""Where an API key may stand; the first that is there counts."""
CONTENT_TYPE: Final = HeaderRow(
    "content-type", TEXT, "Read where a form may come; everything else is JSON."
)
REQUEST_HEADERS: Final = (
    HeaderRow(
        "x-delivery-lane",
        {"type": "string", "enum": list(LANE_NAMES)},
        "The delivery lane. It goes before a `:lane` behind the model, `service_tier`, and what "
        "the key and the workspace prefer.",
    ),
    HeaderRow(
        "x-max-cost",
        {"type": "string", "pattern": AMOUNT, "examples": ["0.05"]},
        "The most that this request may cost, in US dollars. The output is capped to fit.",
    ),
    HeaderRow(
        "idempotency-key",
        {"type": "string", "minLength": 1, "maxLength": 255},
        "Of requests with the same key only one is ever sent to a provider.",
    ),
    CONTENT_TYPE,
    HeaderRow(
        "content-encoding",
        {"type": "string", "enum": ["identity"]},
        "Bodies are taken without encoding only.",
    ),
)
"""What else we read. Every other header is neither used, nor kept, nor sent on."""
ANTHROPIC_HEADERS: Final = (
    HeaderRow(
        "anthropic-version",
        {"type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "examples": ["2023-06-01"]},
        "The version of Anthropic's API; goes on to the upstream.",
    ),
    HeaderRow(
        "anthropic-beta",
        {"type": "string", "pattern": r"^[a-z0-9-]{1,64}( ?, ?[a-z0-9-]{1,64}){0,63}$"},
        "Features of Anthropic's API to switch on; goes on to the upstream.",
    ),
)
"""What the endpoints of Anthropic's API read besides."""
BROWSER_HEADERS: Final = (
    HeaderRow("origin", TEXT, "Where the page of a script comes from."),
    HeaderRow("sec-fetch-mode", TEXT, "Whether a script asks."),
    HeaderRow("sec-fetch-site", TEXT, "Whether it asks its own site."),
)
"""What browsers alone say, and no script can change."""
ANSWER_HEADERS: Final = (
    HeaderRow(
        "x-request-id",
        {"type": "string", "pattern": "^req_[0-9a-f]{32}$"},
        "The id of the request and of its usage record; give it to support.",
    ),
    HeaderRow("request-id", TEXT, "The same, where Anthropic's SDKs read it."),
    HeaderRow(
        "x-delivery-lane", {"enum": list(LANE_NAMES)}, "The lane that served, and is charged."
    ),
    HeaderRow(
        "x-1api-max-tokens-applied",
        _COUNT,
        "The output limit that we set where the request had none, or a higher one than "
        "`x-max-cost` allows.",
    ),
    HeaderRow("x-ratelimit-limit-requests", _COUNT, "The key's limit of requests each minute."),
    HeaderRow("x-ratelimit-remaining-requests", _COUNT, "What is left of it, at least."),
    HeaderRow("x-ratelimit-reset-requests", _DURATION, "When all of it is there again."),
    HeaderRow("x-ratelimit-limit-tokens", _COUNT, "The key's limit of tokens each minute."),
    HeaderRow("x-ratelimit-remaining-tokens", _COUNT, "What is left of it, at least."),
    HeaderRow("x-ratelimit-reset-tokens", _DURATION, "When all of it is there again."),
)
"""On answers to requests that were admitted; the limits also on a 429."""
ERROR_HEADERS: Final = (
    HeaderRow("retry-after", _COUNT, "Seconds until the same request makes sense again."),
    HeaderRow("retry-after-ms", _COUNT, "The same in milliseconds."),
    HeaderRow(
        "x-should-retry", {"enum": ["false"]}, "Trying again does not help; SDKs obey to it."
    ),
)
"""On errors, where it is known."""
