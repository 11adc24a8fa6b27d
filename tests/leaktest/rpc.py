"""What edge and core said to each other, read back from the recorded bytes of their connections.

The bytes are looked through as they are (names and values of headers too), and every gRPC message
again on its own: reassembled, and inflated where it was compressed. The one message in which
provider credentials may be is the catalogue snapshot, so that part is taken out before looking.
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from oneapi.admission.v1.admission_service_pb2 import WatchChangesResponse
from tests.leaktest.needles import forms_of

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD_BYTES = 9
_DATA = 0
_PADDED = 0x08
_PREFIX_BYTES = 5


def frames_of(raw: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Give type, stream and payload of each HTTP/2 frame; a cut last one is left out."""
    at = len(_PREFACE) if raw.startswith(_PREFACE) else 0
    while at + _HEAD_BYTES <= len(raw):
        length = int.from_bytes(raw[at : at + 3])
        kind, flags = raw[at + 3], raw[at + 4]
        stream = int.from_bytes(raw[at + 5 : at + 9]) & 0x7FFF_FFFF
        payload = raw[at + _HEAD_BYTES : at + _HEAD_BYTES + length]
        if kind == _DATA and flags & _PADDED:
            payload = payload[1 : len(payload) - payload[0]]
        yield kind, stream, payload
        at += _HEAD_BYTES + length


def messages_of(raw: bytes) -> Iterator[bytes]:
    """Give each gRPC message of one direction of a connection."""
    streams: dict[int, bytearray] = defaultdict(bytearray)
    for kind, stream, payload in frames_of(raw):
        if kind == _DATA:
            streams[stream] += payload
    for data in streams.values():
        at = 0
        while at + _PREFIX_BYTES <= len(data):
            length = int.from_bytes(data[at + 1 : at + _PREFIX_BYTES])
            body = bytes(data[at + _PREFIX_BYTES : at + _PREFIX_BYTES + length])
            yield gzip.decompress(body) if data[at] and len(body) == length else body
            at += _PREFIX_BYTES + length


def headers_of(raw: bytes) -> bytes:
    """Return all frames that are not data, one after the other: headers and trailers."""
    return b"\n".join(payload for kind, _, payload in frames_of(raw) if kind != _DATA)


def without_catalogue(message: bytes) -> bytes:
    """Return a message of core's without the catalogue; others stay as they are."""
    try:
        parsed = WatchChangesResponse.FromString(message)
    except DecodeError:
        return message
    if not parsed.HasField("catalog") or not parsed.catalog.upstreams:
        return message
    parsed.ClearField("catalog")
    return parsed.SerializeToString()


def recorded(folder: Path) -> list[tuple[str, bytes]]:
    """Return what to look through, by name: headers, then every message, of each direction."""
    found = []
    for path in sorted(folder.iterdir()):
        raw = path.read_bytes()
        messages = list(messages_of(raw))
        if path.name.endswith("-down"):
            messages = [without_catalogue(message) for message in messages]
        found.append((f"{path.name} headers", headers_of(raw)))
        found.append((f"{path.name} messages", b"\n".join(messages)))
    return found


# The codes of HPACK (RFC 7541, appendix B), as bits.
_LOWER = (
    "00011 100011 00100 100100 00101 100101 100110 100111 00110 1110100 1110101 101000 101001"
    " 101010 00111 101011 1110110 101100 01000 01001 101101 1110111 1111000 1111001 1111010"
    " 1111011"
)
_UPPER = (
    "100001 1011101 1011110 1011111 1100000 1100001 1100010 1100011 1100100 1100101 1100110"
    " 1100111 1101000 1101001 1101010 1101011 1101100 1101101 1101110 1101111 1110000 1110001"
    " 1110010 11111100 1110011 11111101"
)
_FIGURES = "00000 00001 00010 011001 011010 011011 011100 011101 011110 011111"
_CODES = {
    **{chr(ord("0") + place): code for place, code in enumerate(_FIGURES.split())},
    **{chr(ord("a") + place): code for place, code in enumerate(_LOWER.split())},
    **{chr(ord("A") + place): code for place, code in enumerate(_UPPER.split())},
}


def header_forms(word: str) -> dict[str, bytes]:
    """Return all forms, and the whole bytes of HPACK's code wherever its bits may begin."""
    bits = "".join(_CODES[letter] for letter in word)
    forms = forms_of(word)
    for shift in range(8):
        start = -shift % 8
        whole = bits[start : start + (len(bits) - start) // 8 * 8]
        forms[f"huffman+{shift}"] = int(whole, 2).to_bytes(len(whole) // 8)
    return forms
