"""How each command line client is set up: what a person would write, plus what keeps it alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.contract.clients.client import Client
from tests.contract.clients.command import QUESTION, Command, Place
from tests.contract.clients.environments import NodeEnvironment, PythonEnvironment

_AGENTS: Final = NodeEnvironment("agents")
_PACKAGES: Final = "node_modules"


def _claude(place: Place) -> str:
    # The package starts this binary; it is named here as no install script puts it in its place.
    return str(_only(place, "@anthropic-ai/claude-code-linux-*/claude"))


def _codex(place: Place) -> str:
    return str(_only(place, "@openai/codex-linux-*/vendor/*/bin/codex"))


def _opencode(place: Place) -> str:
    return str(_only(place, "opencode-linux-*/bin/opencode"))


def _only(place: Place, pattern: str) -> Path:
    (found,) = (place.folder / _PACKAGES).glob(pattern)
    return found


def _nothing(_place: Place) -> None:
    """Prepare nothing: variables say it all."""


def _claude_words(place: Place, model: str) -> list[str]:
    return [_claude(place), "-p", QUESTION, "--model", model]


def _claude_variables(place: Place) -> dict[str, str]:
    return {
        "ANTHROPIC_BASE_URL": place.origin,
        "ANTHROPIC_AUTH_TOKEN": place.key,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "IS_SANDBOX": "1",
    }


_CODEX_CONFIG: Final = """\
model_provider = "1api"
{search}
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.1api]
name = "1API"
base_url = "{origin}/v1"
env_key = "CODEX_1API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


def _codex_config(place: Place) -> None:
    folder = place.home / "codex"
    folder.mkdir()
    is_native = place.models["demo"].startswith("responses")
    search = "" if is_native else 'web_search = "disabled"'
    (folder / "config.toml").write_text(_CODEX_CONFIG.format(origin=place.origin, search=search))


def _codex_words(place: Place, model: str) -> list[str]:
    alone = ("--skip-git-repo-check", "--sandbox", "read-only")
    return [_codex(place), "exec", *alone, "--model", model, QUESTION]


def _codex_variables(place: Place) -> dict[str, str]:
    return {"CODEX_HOME": str(place.home / "codex"), "CODEX_1API_KEY": place.key}


def _opencode_config(place: Place) -> None:
    options = {"baseURL": f"{place.origin}/v1", "apiKey": place.key}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "1API",
        "options": options,
        "models": {name: {"name": name} for name in place.models.values()},
    }
    config = {
        "autoupdate": False,
        "share": "disabled",
        "snapshot": False,
        "provider": {"1api": provider},
    }
    (place.home / "work" / "opencode.json").write_text(json.dumps(config))


def _opencode_words(place: Place, model: str) -> list[str]:
    return [_opencode(place), "run", "--pure", "--model", f"1api/{model}", QUESTION]


def _opencode_variables(_place: Place) -> dict[str, str]:
    off = ("AUTOUPDATE", "MODELS_FETCH", "DEFAULT_PLUGINS", "LSP_DOWNLOAD", "SHARE")
    return {f"OPENCODE_DISABLE_{name}": "1" for name in off}


def _llm_config(place: Place) -> None:
    folder = place.home / "llm"
    folder.mkdir()
    models = [
        f"- model_id: {name}\n  model_name: {name}\n  api_base: {place.origin}/v1\n"
        "  api_key_name: 1api\n  supports_tools: true\n"
        for name in place.models.values()
    ]
    (folder / "extra-openai-models.yaml").write_text("".join(models))
    (folder / "keys.json").write_text(json.dumps({"1api": place.key}))


def _llm_words(place: Place, model: str) -> list[str]:
    return [str(place.folder / "bin" / "llm"), "--model", model, QUESTION]


def _llm_variables(place: Place) -> dict[str, str]:
    return {"LLM_USER_PATH": str(place.home / "llm")}


def _aider_words(place: Place, model: str) -> list[str]:
    name = f"openai/{model}"
    alone = (
        *("--no-git", "--yes-always", "--analytics-disable", "--no-check-update"),
        *("--no-show-model-warnings", "--no-show-release-notes", "--no-detect-urls"),
        *("--no-pretty", "--no-fancy-input", "--map-tokens", "0"),
    )
    models = ("--model", name, "--weak-model", name)
    return [str(place.folder / "bin" / "aider"), *models, *alone, "--message", QUESTION]


def _aider_variables(place: Place) -> dict[str, str]:
    return {
        "OPENAI_API_BASE": f"{place.origin}/v1",
        "OPENAI_API_KEY": place.key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


COMMANDS: Final[tuple[Client, ...]] = (
    Command(
        name="Claude Code",
        api="messages",
        environment=_AGENTS,
        setting='`ANTHROPIC_BASE_URL="<origin>"`, `ANTHROPIC_AUTH_TOKEN="<key>"`, `--model`',
        prepare=_nothing,
        words=_claude_words,
        variables=_claude_variables,
        version=lambda place: [_claude(place), "--version"],
    ),
    Command(
        name="Codex CLI",
        api="responses",
        environment=_AGENTS,
        setting=(
            '`[model_providers.1api]` with `base_url = "<origin>/v1"`, `wire_api = "responses"` '
            "and `env_key`"
        ),
        note=(
            'with `web_search = "disabled"` where an upstream of another API serves, or the model '
            "has no bound for searches of its provider's"
        ),
        prepare=_codex_config,
        words=_codex_words,
        variables=_codex_variables,
        version=lambda place: [_codex(place), "--version"],
    ),
    Command(
        name="opencode",
        api="chat",
        environment=_AGENTS,
        setting='`@ai-sdk/openai-compatible` in `opencode.json`, `baseURL: "<origin>/v1"`',
        prepare=_opencode_config,
        words=_opencode_words,
        variables=_opencode_variables,
        version=lambda place: [_opencode(place), "--version"],
    ),
    Command(
        name="aider",
        api="chat",
        environment=PythonEnvironment("aider", "3.12"),
        setting='`OPENAI_API_BASE="<origin>/v1"`, `OPENAI_API_KEY="<key>"`, `--model openai/…`',
        prepare=_nothing,
        words=_aider_words,
        variables=_aider_variables,
        version=lambda place: [str(place.folder / "bin" / "aider"), "--version"],
        lacks={"tools": "aider sends no tools: models edit files by blocks of text"},
    ),
    Command(
        name="llm",
        api="chat",
        environment=PythonEnvironment("llm"),
        setting='`extra-openai-models.yaml` with `api_base: "<origin>/v1"` and `api_key_name`',
        prepare=_llm_config,
        words=_llm_words,
        tool_words=("--tool", "llm_time"),
        variables=_llm_variables,
        version=lambda place: [str(place.folder / "bin" / "llm"), "--version"],
    ),
)
