"""The places of an answer that hold a canary; the number of each is its place here."""

from __future__ import annotations

FIELDS = (
    "content",
    "reasoning",
    "tool.name",
    "tool.arguments",
    "tool.id",
    "id",
    "fingerprint",
    "model",
    "event",
    "event.id",
    "comment",
    "usage.key",
    "finish",
    "refusal",
    "logprobs",
    "error.message",
    "error.code",
    "error.type",
    "header",
    "header.name",
    "trailer",
    "status.line",
    "chunk.size",
    "html",
    "location",
    "role",
    "service.tier",
    "annotation",
)
