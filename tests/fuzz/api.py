"""schemathesis against the running service, by the service's own /openapi.json."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from edge.pages.operations import OPERATIONS
from edge.translate.operation import EVENTS, FORM
from tests.fuzz.environments import python_with
from tests.support.described import Described, described

CONFIGURATION: Final = """
# A key of ours is sent with every request, so its absence cannot be tried here.
checks.ignored_auth.enabled = false
# What fits the schema may still not fit a model, or cost more than a header allows.
checks.positive_data_acceptance.enabled = false

# Wrong requests are refused, for whatever of it is found first; never by a fault of ours.
[checks.negative_data_rejection]
expected-statuses = [400, 401, 402, 403, 404, 405, 408, 409, 413, 414, 415, 429, 431]
"""
OF_ONE: Final = """
[[operations]]
include-path = "{path}"
checks.{check}
"""
IN_WORDS: Final = "negative_data_rejection.enabled = false"
"""In a form all is text: one field is a list of one, and true is the word."""
OTHERS: Final = (
    # Other methods there are OpenAI's, and answered as what is not offered.
    ("/v1/chat/completions", "unsupported_method.enabled = false"),
    ("/v1/models/{model}", "unsupported_method.enabled = false"),
    # Without a model it is one of OpenAI's, which no upstream serves here.
    ("/v1/moderations", 'not_a_server_error.expected-statuses = ["2xx", "4xx", 503]'),
    ("/v1/moderations", "negative_data_rejection.enabled = false"),
)


def configuration() -> str:
    """Return what schemathesis is to look at, and where not."""
    forms = [(one.path, IN_WORDS) for one in OPERATIONS if FORM in one.requests]
    single = [OF_ONE.format(path=path, check=check) for path, check in (*forms, *OTHERS)]
    return "".join([CONFIGURATION, *single])


def with_events(document: dict[str, Any]) -> dict[str, Any]:
    """Return the description with what each event of a stream holds, in the words of OpenAPI 3.2.

    schemathesis takes them in a description of 3.1 as well. Our own schema is that of a whole
    stream, as 3.1 has it: of an event schemathesis would find that it is no text.
    """
    for path in document["paths"].values():
        for operation in path.values():
            for answer in operation["responses"].values():
                content = answer.get("content", {})
                if EVENTS in content:
                    content[EVENTS] = {"itemSchema": event(content[EVENTS]["x-1api-event-schema"])}
    return document


def event(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an event: JSON of its API, or the word for the end."""
    told = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return {"type": "object", "properties": {"data": {"anyOf": [told, {"const": "[DONE]"}]}}}


def run(seconds: int) -> int:
    """Let schemathesis try the service for about so long; its exit code.

    Raises:
        NotHere: schemathesis cannot be installed on this machine.
    """
    with tempfile.TemporaryDirectory() as folder, described(Path(folder)) as service:
        return attack(service, Path(folder), "--max-time", str(seconds), "--max-examples", "300")


def attack(service: Described, folder: Path, *options: str) -> int:
    """Run schemathesis once; its exit code.

    Raises:
        NotHere: it cannot be installed on this machine.
    """
    python = python_with("schemathesis")
    document = folder / "openapi.json"
    document.write_text(json.dumps(with_events(service.with_models())))
    (folder / "schemathesis.toml").write_text(configuration())
    command = [str(python), "-m", "schemathesis.cli", "run", str(document)]
    command += ["--url", service.origin, "--header", f"Authorization: Bearer {service.api_key}"]
    command += ["--phases", "examples,coverage,fuzzing", "--no-color", "--continue-on-failure"]
    return subprocess.run([*command, *options], cwd=folder, check=False).returncode
