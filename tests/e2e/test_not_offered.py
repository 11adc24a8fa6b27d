"""What we do not offer says so to the unmodified SDK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from tests.support.stack import Stack

CALLS: dict[str, Callable[[openai.OpenAI], Any]] = {
    "files": lambda sdk: sdk.files.list(),
    "upload": lambda sdk: sdk.files.create(file=b"{}", purpose="batch"),
    "batches": lambda sdk: sdk.batches.list(),
    "stored chats": lambda sdk: sdk.chat.completions.list(),
    "stored response": lambda sdk: sdk.responses.retrieve("resp_1"),
    "vector stores": lambda sdk: sdk.vector_stores.list(),
    "fine-tuning": lambda sdk: sdk.fine_tuning.jobs.list(),
    "translation": lambda sdk: sdk.audio.translations.create(file=b"x", model="whisper-1"),
    "variation": lambda sdk: sdk.images.create_variation(image=b"x"),
    "deleting a model": lambda sdk: sdk.models.delete("demo"),
    "videos": lambda sdk: sdk.videos.list(),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_sdk_raises_what_it_raises_for_a_missing_page_with_our_code(
    stack: Stack, name: str
) -> None:
    """With a request id, as every answer."""
    with (
        httpx.Client(trust_env=False) as http,
        openai.OpenAI(
            api_key=stack.api_key, base_url=stack.base_url, max_retries=0, http_client=http
        ) as sdk,
        pytest.raises(openai.NotFoundError) as caught,
    ):
        CALLS[name](sdk)
    assert caught.value.code == "endpoint_not_available"
    assert (caught.value.request_id or "").startswith("req_")
