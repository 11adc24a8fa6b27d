"""What leaves the edge for the core has no field able to hold content (P2)."""

from __future__ import annotations

import re
import struct

import pytest
from buf.validate import validate_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as FieldProto

from edge.metering import frames
from edge.metering.records import MAX_ATTEMPTS
from kit.ids import ID_BYTES
from oneapi.admission.v1 import admission_service_pb2
from oneapi.metering.v1 import metering_service_pb2, usage_record_pb2, usage_service_pb2
from tests.architecture.rules.schema import able_to_hold_content, closure, requests

SENT = [
    *requests(metering_service_pb2.DESCRIPTOR.services_by_name["MeteringService"]),
    *requests(admission_service_pb2.DESCRIPTOR.services_by_name["AdmissionService"]),
]


def test_no_message_that_leaves_the_edge_can_hold_content() -> None:
    """Metering and admission requests, and everything inside them."""
    assert able_to_hold_content(SENT) == []


def test_no_usage_record_that_is_shown_can_hold_content() -> None:
    """The record as internal teams and customers read it."""
    assert able_to_hold_content([usage_service_pb2.Usage.DESCRIPTOR]) == []


def test_the_usage_record_is_among_what_is_checked() -> None:
    """The walk reaches the record and its attempts through the batch."""
    names = {message.full_name for message in closure(SENT)}
    assert usage_record_pb2.UsageRecord.DESCRIPTOR.full_name in names
    assert usage_record_pb2.Attempt.DESCRIPTOR.full_name in names


def test_the_data_plane_knows_no_package_for_what_people_type() -> None:
    """Tickets, names and payment events are other packages, out of its reach."""
    allowed = ("oneapi.admission.", "oneapi.metering.", "oneapi.common.")
    assert all(message.full_name.startswith(allowed) for message in closure(SENT))


def test_no_frame_of_the_spool_can_hold_content() -> None:
    """Integers and flags; bytes are the magic, ids, and the attempts, which are numbers again."""
    shapes = [value for value in vars(frames).values() if isinstance(value, struct.Struct)]
    codes = {
        code for shape in shapes for code in re.findall(r"\d*[a-z?]", shape.format, re.IGNORECASE)
    }
    texts = {code for code in codes if code[-1] in "sp"}
    assert len(shapes) > 5
    assert texts == {"4s", f"{ID_BYTES}s", f"{MAX_ATTEMPTS * frames.ATTEMPT_BYTES}s"}
    assert all(re.fullmatch(r"\d*[bBhHiIqQ?xsp]", code) for code in codes)


def planted(
    kind: FieldProto.Type.ValueType, rules: validate_pb2.FieldRules | None, *, repeated: bool
) -> Descriptor:
    """A message with one field of this type and these rules."""
    pool = descriptor_pool.DescriptorPool()
    for known in (*validate_pb2.DESCRIPTOR.dependencies, validate_pb2.DESCRIPTOR):
        pool.AddSerializedFile(known.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="planted.proto", syntax="proto3", dependency=["buf/validate/validate.proto"]
    )
    field = file.message_type.add(name="Planted").field.add(
        name="field",
        number=1,
        type=kind,
        label=FieldProto.LABEL_REPEATED if repeated else FieldProto.LABEL_OPTIONAL,
    )
    if rules:
        field.options.Extensions[validate_pb2.field].CopyFrom(rules)
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName("Planted")


STRING, BYTES = FieldProto.TYPE_STRING, FieldProto.TYPE_BYTES
DOUBLE, INT = FieldProto.TYPE_DOUBLE, FieldProto.TYPE_INT64


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        (STRING, None),
        (STRING, validate_pb2.FieldRules(string=validate_pb2.StringRules(max_len=64))),
        (STRING, validate_pb2.FieldRules(string=validate_pb2.StringRules(pattern="^.{1,64}$"))),
        (STRING, validate_pb2.FieldRules(string=validate_pb2.StringRules(pattern="[a-z]{3}"))),
        (STRING, validate_pb2.FieldRules(string=validate_pb2.StringRules(pattern="^[a-z]*$"))),
        (BYTES, None),
        (BYTES, validate_pb2.FieldRules(bytes=validate_pb2.BytesRules(max_len=4096))),
        (DOUBLE, None),
    ],
)
@pytest.mark.parametrize("repeated", [False, True])
def test_a_field_that_could_hold_content_is_found(
    kind: FieldProto.Type.ValueType, rules: validate_pb2.FieldRules | None, *, repeated: bool
) -> None:
    """Control: free, unanchored or unbounded strings, long bytes, floats; alone and in lists."""
    assert able_to_hold_content([planted(kind, in_list(rules, repeated), repeated=repeated)])


@pytest.mark.parametrize(
    ("kind", "rules"),
    [
        (INT, None),
        (BYTES, validate_pb2.FieldRules(bytes=validate_pb2.BytesRules(len=16))),
        (
            STRING,
            validate_pb2.FieldRules(string=validate_pb2.StringRules(pattern="^ws_[0-9a-f]{32}$")),
        ),
    ],
)
@pytest.mark.parametrize("repeated", [False, True])
def test_numbers_and_ids_pass(
    kind: FieldProto.Type.ValueType, rules: validate_pb2.FieldRules | None, *, repeated: bool
) -> None:
    """Control: what metadata is made of."""
    assert able_to_hold_content([planted(kind, in_list(rules, repeated), repeated=repeated)]) == []


def in_list(
    rules: validate_pb2.FieldRules | None,
    repeated: bool,  # noqa: FBT001 - told by the parameter of the test
) -> validate_pb2.FieldRules | None:
    """The same rules as those of a list's items."""
    if rules is None or not repeated:
        return rules
    return validate_pb2.FieldRules(repeated=validate_pb2.RepeatedRules(items=rules))
