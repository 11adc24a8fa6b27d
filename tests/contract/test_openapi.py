"""The running service answers as its own /openapi.json says: statuses, types, bodies.

The long form is `python -m tests.fuzz api --seconds N`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from edge.pages.examples import EXAMPLES, filled_in
from edge.pages.headers import KEY_HEADERS
from edge.pages.operations import OPERATIONS
from edge.translate.operation import JSON, Operation
from tests.fuzz.api import attack
from tests.fuzz.environments import NotHere
from tests.support.described import Described, described, models_of
from tests.support.near_schema import NearSchema

BODIES = 12
COMMANDS = {
    **{(api, "curl"): ("bash", "-c") for api in ("openai", "anthropic", "google")},
    **{(api, "Python"): (sys.executable, "-c") for api in ("openai", "anthropic")},
}
JSON_OPERATIONS = [one for one in OPERATIONS if JSON in one.requests]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Described]:
    """Run the service with its demo provider."""
    with described(tmp_path_factory.mktemp("described")) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Described) -> Iterator[httpx.Client]:
    """Give a plain client."""
    with httpx.Client(base_url=service.origin, timeout=60, trust_env=False) as found:
        yield found


def key_header(service: Described, number: int) -> dict[str, str]:
    """Return the key in one of the headers that it may stand in, in turn."""
    name = KEY_HEADERS[number % len(KEY_HEADERS)].name
    return {name: f"Bearer {service.api_key}" if name == "authorization" else service.api_key}


def bodies(service: Described, operation: Operation) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield paths and bodies near the schema, for models that there are."""
    near = NearSchema(service.document["components"]["schemas"], seed=4)
    for number in range(BODIES):
        names = models_of(operation)
        model = names[number % len(names)]
        body = near.value(operation.requests[JSON])
        if isinstance(body, dict):
            yield operation.path.replace("{model}", model), {**body, "model": model}


@pytest.mark.parametrize("operation", JSON_OPERATIONS, ids=lambda one: one.name)
def test_every_answer_is_as_it_is_described(
    service: Described, client: httpx.Client, operation: Operation
) -> None:
    """Whatever is sent: no fault of ours, what the schema calls wrong is refused."""
    whole = {**operation.requests[JSON], "components": service.document["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole)
    for number, (path, body) in enumerate(bodies(service, operation)):
        if operation.api == "google":
            del body["model"]
        answer = client.post(path, json=body, headers=key_header(service, number))
        assert answer.status_code < 500, (body, answer.text)
        assert service.faults_of(operation, answer) == [], (body, answer.text)
        if not validator.is_valid(body):
            assert answer.status_code == 400, (body, answer.text)


def test_a_wrong_answer_is_found(service: Described) -> None:
    """Control: a status, a type and a body that are not described."""
    chat = OPERATIONS[0]
    for answer in (
        httpx.Response(302, json={}),
        httpx.Response(200, text="words"),
        httpx.Response(200, json={"choices": {}}),
        httpx.Response(400, json={"error": "words"}),
    ):
        assert service.faults_of(chat, answer)


def test_lists_of_models_are_as_they_are_described(
    service: Described, client: httpx.Client
) -> None:
    """In every shape, with a key and without one."""
    schemas = service.document["components"]
    anthropics = {"anthropic-version": "2023-06-01"}
    for path, name, more in (
        ("/v1/models", "ModelList", {}),
        ("/v1/models", "AnthropicModelList", anthropics),
        ("/v1beta/models", "GoogleModelList", {}),
    ):
        validator = jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": schemas}
        )
        for headers in ({}, key_header(service, 0)):
            assert validator.is_valid(client.get(path, headers=headers | more).json())


def test_every_operation_works_where_the_demo_provider_runs(service: Described) -> None:
    """Every protocol, without keys of providers; what has no way over to every upstream says so."""
    posts = {one.name: service.document["paths"][one.path]["post"] for one in OPERATIONS}
    states = {name: post["x-1api-state"] for name, post in posts.items()}
    assert set(states.values()) <= {"ready", "limited"}
    for name in ("createChatCompletion", "createResponse", "createMessage", "generateContent"):
        assert states[name] == "ready"


@pytest.mark.parametrize("api", ["openai", "anthropic", "google"])
def test_the_examples_of_the_reference_work_as_they_stand(service: Described, api: str) -> None:
    """By curl, and in Python where its SDK is among those of the tests."""
    example = next(one for one in EXAMPLES if one.api == api)
    for language, text in filled_in(example, service.origin, "demo").programs:
        command = COMMANDS.get((api, language))
        if command is None or (language == "curl" and shutil.which("curl") is None):
            continue
        done = subprocess.run(
            [*command, text.replace("curl ", "curl --fail --silent ")],
            env={**os.environ, "ONEAPI_KEY": service.api_key},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, bool(done.stdout)) == (0, True), (language, done.stderr)


def test_a_path_says_which_methods_it_takes(client: httpx.Client) -> None:
    """Also where a model's name stands in it."""
    for operation in OPERATIONS:
        answer = client.put(operation.path.replace("{model}", "demo"))
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), operation.path


@pytest.mark.slow
def test_schemathesis_finds_nothing_in_a_short_run(service: Described, tmp_path: Any) -> None:
    """The same by other hands; deterministic, so that a failure is a failure."""
    options = ("--max-examples", "3", "--generation-deterministic", "--no-shrink")
    try:
        assert attack(service, tmp_path, *options, "--phases", "fuzzing") == 0
    except NotHere:
        pytest.skip("schemathesis cannot be installed here: our own bodies only")
