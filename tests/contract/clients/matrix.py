"""The clients of the matrix; in a `setting`, `<origin>` is our address and `<key>` an API key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.contract.clients.agents import COMMANDS
from tests.contract.clients.client import Client, Library
from tests.contract.clients.environments import NodeEnvironment, PythonEnvironment

NODE: Final = NodeEnvironment("node")
_AI_SDK_NOTES: Final = {
    "compatible": "`includeUsage` and `supportsStructuredOutputs` are off unless asked for",
    "openrouter": "without `strict` it asks for no usage in streams",
}


def _openai() -> Iterator[Client]:
    python = '`OpenAI(base_url="<origin>/v1", api_key="<key>")`'
    for major in ("2", "3"):
        for api in ("chat", "responses"):
            environment = PythonEnvironment(f"openai-{major}")
            name = f"openai-python {major}"
            yield Library(name, api, environment, f"openai_{api}.py", python)
    for api in ("chat", "responses"):
        setting = '`new OpenAI({ baseURL: "<origin>/v1", apiKey: "<key>" })`'
        yield Library("openai-node", api, NODE, "openai.mjs", setting, (api,))
    for api in ("responses", "chat"):
        kind = "OpenAIResponsesModel" if api == "responses" else "OpenAIChatCompletionsModel"
        setting = f"`{kind}(openai_client=AsyncOpenAI(...))`, as openai-python"
        environment = PythonEnvironment("openai-agents")
        yield Library("openai-agents", api, environment, "openai_agents.py", setting, (api,))


def _anthropic() -> Iterator[Client]:
    python = '`Anthropic(base_url="<origin>", api_key="<key>")`'
    environment = PythonEnvironment("anthropic")
    yield Library("anthropic-python", "messages", environment, "anthropic_messages.py", python)
    setting = '`new Anthropic({ baseURL: "<origin>", apiKey: "<key>" })`'
    yield Library("@anthropic-ai/sdk", "messages", NODE, "anthropic.mjs", setting)


def _google() -> Iterator[Client]:
    setting = '`genai.Client(api_key="<key>", http_options=HttpOptions(base_url="<origin>"))`'
    environment = PythonEnvironment("google-genai")
    yield Library("google-genai", "generate", environment, "google_genai.py", setting)


def _ai_sdk() -> Iterator[Client]:
    api_v1 = '{ baseURL: "<origin>/api/v1", apiKey: "<key>", compatibility: "strict" }'
    v1, beta = '{ baseURL: "<origin>/v1", apiKey: "<key>" }', "<origin>/v1beta"
    for provider, api, setting in (
        ("openai-chat", "chat", f"`createOpenAI({v1}).chat(model)`"),
        ("openai-responses", "responses", f"`createOpenAI({v1})(model)`"),
        ("compatible", "chat", f"`createOpenAICompatible({v1})` with a `name`"),
        ("anthropic", "messages", f"`createAnthropic({v1})`"),
        ("google", "generate", f'`createGoogleGenerativeAI({{ baseURL: "{beta}", ... }})`'),
        ("openrouter", "chat", f"`createOpenRouter({api_v1})`"),
    ):
        note = _AI_SDK_NOTES.get(provider, "")
        name = f"AI SDK, {provider}"
        yield Library(name, api, NODE, "aisdk.mjs", setting, (provider,), note)


def _frameworks() -> Iterator[Client]:
    for api in ("chat", "responses", "messages"):
        environment = PythonEnvironment("langchain")
        anthropic = api == "messages"
        name = "ChatAnthropic" if anthropic else "ChatOpenAI"
        responses = ", use_responses_api=True" if api == "responses" else ""
        base = "<origin>" if anthropic else "<origin>/v1"
        setting = f'`{name}(base_url="{base}", api_key="<key>"{responses})`'
        yield Library(
            f"LangChain, {name}", api, environment, "langchain_models.py", setting, (api,)
        )
        place = (
            'anthropicApiUrl: "<origin>"'
            if anthropic
            else 'configuration: { baseURL: "<origin>/v1" }'
        )
        responses = ", useResponsesApi: true" if api == "responses" else ""
        setting = f'`new {name}({{ {place}, apiKey: "<key>"{responses} }})`'
        yield Library(f"LangChain.js, {name}", api, NODE, "langchain.mjs", setting, (api,))
    setting = '`OpenAILike(api_base="<origin>/v1", api_key="<key>", is_chat_model=True)`'
    environment = PythonEnvironment("llamaindex")
    yield Library("LlamaIndex, OpenAILike", "chat", environment, "llamaindex_chat.py", setting)
    for api, place in (
        ("chat", 'OpenAIProvider(base_url="<origin>/v1"'),
        ("responses", 'OpenAIProvider(base_url="<origin>/v1"'),
        ("messages", 'AnthropicProvider(base_url="<origin>"'),
        ("generate", 'GoogleProvider(base_url="<origin>"'),
    ):
        environment = PythonEnvironment("pydantic-ai")
        setting = f'`{place}, api_key="<key>")`'
        yield Library("pydantic-ai", api, environment, "pydantic_ai_agent.py", setting, (api,))


CLIENTS: Final[tuple[Client, ...]] = (
    *_openai(),
    *_anthropic(),
    *_google(),
    *_ai_sdk(),
    *_frameworks(),
    *COMMANDS,
)
