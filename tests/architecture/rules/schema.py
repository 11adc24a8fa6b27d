"""No field that leaves the edge can hold content (P2), whatever somebody might put into it.

Allowed are integers, booleans, enums, bytes of at most 32 (ids and hashes), and strings that are
constant or whose validation pattern refuses a sentence. What such a message contains is held to
the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

NUMBERS = frozenset(
    {
        FieldDescriptor.TYPE_INT32,
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_UINT32,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_SINT32,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_FIXED32,
        FieldDescriptor.TYPE_FIXED64,
        FieldDescriptor.TYPE_SFIXED32,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_ENUM,
    }
)
# A SHA-256 hash; an id has 16.
BYTES = 32
# What people write; an id matches none of it.
SENTENCES = ("tell me a story", "line\nline", "Grüße", "{}", "x" * 300)
# Seconds and nanoseconds.
WELL_KNOWN = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})


def able_to_hold_content(roots: Iterable[Descriptor]) -> list[str]:
    """Full names of fields, in these messages and all they contain, that are not allowed."""
    return [field.full_name for message in closure(roots) for field in faulty_fields(message)]


def requests(service: ServiceDescriptor) -> list[Descriptor]:
    """What callers of a service send."""
    return [method.input_type for method in service.methods]


def closure(roots: Iterable[Descriptor]) -> list[Descriptor]:
    """The messages and every message inside them."""
    seen: dict[str, Descriptor] = {}
    waiting = list(roots)
    while waiting:
        message = waiting.pop()
        if message.full_name in seen or message.full_name in WELL_KNOWN:
            continue
        seen[message.full_name] = message
        waiting += [field.message_type for field in message.fields if field.message_type]
    return list(seen.values())


def faulty_fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    """Fields of one message that are not allowed."""
    for field in message.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        if field.is_repeated:
            rules = rules.repeated.items
        if not allowed(field, rules):
            yield field


def allowed(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> bool:
    """Whether one field, with its validation rules, is too narrow for content."""
    if field.type in NUMBERS:
        return True
    if field.type == FieldDescriptor.TYPE_MESSAGE:
        return field.message_type is not None and not field.message_type.GetOptions().map_entry
    if field.type == FieldDescriptor.TYPE_BYTES:
        return 0 < (rules.bytes.len or rules.bytes.max_len) <= BYTES
    if field.type == FieldDescriptor.TYPE_STRING:
        return rules.string.HasField("const") or refuses_sentences(rules.string.pattern)
    return False


def refuses_sentences(pattern: str) -> bool:
    """Whether a string field's pattern is anchored and matches nothing that people write."""
    anchored = pattern.startswith("^") and pattern.endswith("$")
    return anchored and not any(re.search(pattern, text) for text in SENTENCES)
