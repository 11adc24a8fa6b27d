"""How long a file is, by its headers: a close upper bound, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.demo import media
from edge.translate.audio import mp3, wav
from tests.unit.edge.translate.audio import sound as sound_of

FRAME_128K = b"\xff\xfb\x90\xc4" + bytes(413)
"""MPEG-1 layer III, 128 kbit/s, 44,100 samples a second: 417 bytes, 1,152 samples."""
TAG = b"ID3\x04\x00\x00\x00\x00\x02\x01" + bytes(257)


@given(
    st.integers(0, 40_000),
    st.sampled_from([4_000, 8_000, 44_100]),
    st.integers(1, 3),
    st.integers(1, 4),
)
def test_the_length_of_a_wav_file_is_a_close_upper_bound(
    samples: int, rate: int, channels: int, width: int
) -> None:
    """At most a second and a few bytes of headers more."""
    seconds = wav.seconds_of(sound_of(samples / rate, rate, channels, width))
    assert seconds is not None
    assert samples / rate <= seconds <= samples / rate + 1.05


@given(st.binary(max_size=80), st.integers(0, 60), st.binary(max_size=4))
def test_any_bytes_have_a_length_or_none(tail: bytes, place: int, change: bytes) -> None:
    """Also damaged headers."""
    whole = bytearray(sound_of(0.01) + tail)
    whole[place : place + len(change)] = change
    for data in (bytes(whole), b"RIFF\0\0\0\0WAVE" + tail, tail):
        seconds = wav.seconds_of(memoryview(data))
        assert seconds is None or 0 <= seconds <= len(data)


def test_only_plain_samples_are_measured() -> None:
    """Of other codings the bytes do not tell the length."""
    plain = sound_of(1)
    assert wav.seconds_of(plain) == 2
    for place, value in ((20, b"\x02"), (22, b"\0"), (24, b"\1\0\0\0"), (32, b"\x03"), (34, b"\7")):
        damaged = bytearray(plain)
        damaged[place : place + len(value)] = value
        assert wav.seconds_of(bytes(damaged)) is None
    chunk = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    assert wav.seconds_of(plain[:12] + chunk + plain[12:]) == 2


# --- MP3


@pytest.mark.parametrize("frames", [1, 38, 2_297])
@pytest.mark.parametrize("around", [(b"", b""), (TAG, b""), (TAG, b"TAG" + bytes(125))])
def test_the_length_of_an_mp3_file_is_that_of_its_frames(
    frames: int, around: tuple[bytes, bytes]
) -> None:
    """And a second more; tags are no audio."""
    data = around[0] + FRAME_128K * frames + around[1]
    assert mp3.seconds_of(memoryview(data)) == -(-frames * 1_152 // 44_100) + 1


def test_frames_of_other_versions_have_other_sizes() -> None:
    """The demo provider's are MPEG-2: 24 ms each."""
    sound = media.mp3(media.pcm(7, 4_000))
    assert mp3.seconds_of(sound) == -(-len(sound) // 144 * 576 // 24_000) + 1
    slow = (b"\xff\xe3\x18\xc4" + bytes(68)) * 100  # MPEG-2.5, 8 kbit/s, 8,000 samples
    assert mp3.seconds_of(slow) == -(-100 * 576 // 8_000) + 1
    padded = b"\xff\xfb\x92\xc4" + bytes(414)
    assert mp3.seconds_of(padded + FRAME_128K) == 2


def test_a_frame_that_is_cut_counts_whole() -> None:
    """What is missing only makes it shorter."""
    assert mp3.seconds_of((FRAME_128K * 77)[:-200]) == 4


@pytest.mark.parametrize(
    "data",
    [
        b"",
        TAG,
        FRAME_128K + b"more",
        b"more" + FRAME_128K,
        FRAME_128K + b"\0" + FRAME_128K,
        FRAME_128K + b"\xff\xfb\x94\xc4" + bytes(380),
        b"\xff\xfd\x90\xc4" + bytes(413),
        b"\xff\xfb\x00\xc4" + bytes(413),
        b"\xff\xfb\xf0\xc4" + bytes(413),
        b"\xff\xfb\x9c\xc4" + bytes(413),
        b"\xff\xeb\x90\xc4" + bytes(413),
        TAG[:8],
        b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + FRAME_128K,
        (b"\xff\xe3\x18\xc4" + bytes(68)) * (mp3.MAX_FRAMES + 1),
    ],
    ids=range(14),
)
def test_what_is_not_frames_alone_is_not_measured(data: bytes) -> None:
    """Another reader could find other audio in it."""
    assert mp3.seconds_of(data) is None


@given(st.binary(max_size=500), st.integers(0, 900), st.binary(max_size=4))
def test_any_bytes_are_measured_or_not(tail: bytes, place: int, change: bytes) -> None:
    """Also damaged frames and tags."""
    whole = bytearray(TAG + FRAME_128K * 2 + tail)
    whole[place : place + len(change)] = change
    seconds = mp3.seconds_of(memoryview(whole))
    assert seconds is None or 2 <= seconds <= 3
