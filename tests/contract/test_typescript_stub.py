"""An internal team reads usage with the TypeScript stubs, from a service that really runs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import until
from tests.support.up import Up
from tools import protos

TYPESCRIPT = next(language for language in protos.LANGUAGES if language.name == "TypeScript")
FOLDER = protos.ROOT / "generated" / "typescript"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not protos.available(TYPESCRIPT), reason="the TypeScript example needs Node 20 or newer"
    ),
]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One run of everything for this file, with the packages of the example installed."""
    protos.prepare(TYPESCRIPT)
    started = Up(tmp_path_factory.mktemp("typescript") / "var", "--json")
    try:
        yield started
    finally:
        started.stop()


def list_usage(
    ready: dict[str, Any], workspace: str, token: str
) -> subprocess.CompletedProcess[str]:
    """Run the example as its first lines tell."""
    return subprocess.run(
        ["node", "examples/list-usage.mjs", workspace],
        cwd=FOLDER,
        env={
            "PATH": os.environ["PATH"],
            "ONEAPI_CORE_TARGET": ready["core_target"],
            "ONEAPI_TOKEN": token,
        },
        capture_output=True,
        text=True,
        check=False,
    )


def example_workspace(up: Up) -> str:
    """The workspace that the dev profile comes with."""
    example = json.loads((up.data_dir / "dev" / "example.json").read_bytes())
    return str(example["workspace_id"])


def tokens(ready: dict[str, Any]) -> dict[str, str]:
    """A token per service."""
    found: dict[str, str] = json.loads(Path(ready["credentials"]).read_bytes())
    return found


def test_the_example_lists_a_request_with_its_charge(up: Up) -> None:
    """Ask once, then read the record: same id, same model, a charge above zero as decimal text."""
    ready = up.ready()
    answer = httpx.post(
        f"{ready['base_url']}/chat/completions",
        headers={"authorization": f"Bearer {ready['api_key']}"},
        json={"model": ready["demo_model"], "messages": [{"role": "user", "content": "hello"}]},
    )
    request_id = answer.raise_for_status().headers["x-request-id"]
    workspace, token = example_workspace(up), tokens(ready)["finance"]

    def listed() -> list[dict[str, str]]:
        done = list_usage(ready, workspace, token)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    until(lambda: any(line["request_id"] == request_id for line in listed()))
    line = next(line for line in listed() if line["request_id"] == request_id)
    assert line["model"] == ready["demo_model"]
    whole, fraction = line["charge"].split(".")
    assert (int(whole), len(fraction)) == (0, 9)
    assert int(fraction) > 0


def test_the_example_says_why_it_was_refused(up: Up) -> None:
    """The typed error detail arrives: its reason is what the program prints."""
    ready = up.ready()
    done = list_usage(ready, example_workspace(up), "wrong")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "UNAUTHENTICATED\n")


def test_the_example_is_well_typed() -> None:
    """The generated declarations are ones that the TypeScript compiler accepts."""
    protos.prepare(TYPESCRIPT)
    done = subprocess.run(
        ["node", "node_modules/typescript/bin/tsc", "--noEmit"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
