"""Which path of the demo provider is served by which protocol file."""

from __future__ import annotations

from collections.abc import Callable

from edge.demo import (
    anthropic_messages,
    google_generate,
    openai_chat,
    openai_completions,
    openai_media,
    openai_responses,
    openai_vectors,
)
from edge.demo.delivery import JSON_HEADERS, Work
from edge.demo.errors import DemoError
from edge.demo.knobs import Knobs
from edge.demo.server import Reply, Request

Endpoint = Callable[[Request, Reply], Work]

_MODEL_PREFIX = "/v1/models/"


def healthz(_request: Request, reply: Reply) -> Work:
    """Serve GET /healthz for the process that supervises this one."""
    reply.send(200, b'{"status":"ok"}', JSON_HEADERS)
    return None


ROUTES: dict[tuple[str, str], Endpoint] = {
    ("POST", "/v1/chat/completions"): openai_chat.chat_completions,
    ("POST", "/v1/responses"): openai_responses.responses,
    ("POST", "/v1/completions"): openai_completions.completions,
    ("POST", "/v1/embeddings"): openai_vectors.embeddings,
    ("POST", "/v1/moderations"): openai_vectors.moderations,
    ("POST", "/v1/messages"): anthropic_messages.messages,
    ("POST", "/v1/messages/count_tokens"): anthropic_messages.count_tokens,
    ("POST", "/v1/images/generations"): openai_media.image_generations,
    ("POST", "/v1/images/edits"): openai_media.image_edits,
    ("POST", "/v1/audio/speech"): openai_media.speech,
    ("POST", "/v1/audio/transcriptions"): openai_media.transcriptions,
    ("GET", "/v1/models"): openai_chat.models,
    ("GET", "/healthz"): healthz,
}


def handle(request: Request, reply: Reply) -> Work:
    """Answer one request by its method and path; any API key is accepted."""
    endpoint = ROUTES.get((request.method, request.path))
    if endpoint is not None:
        return endpoint(request, reply)
    if request.path.startswith(google_generate.PREFIX):
        return google_generate.serve(request, reply)
    if request.method == "GET" and request.path.startswith(_MODEL_PREFIX):
        return openai_chat.model(request.path.removeprefix(_MODEL_PREFIX), reply)
    return openai_chat.deliver_error(reply, Knobs(), DemoError(404, "unknown_url"))
