"""What speech and transcriptions used: OpenAI's counts as our dimensions, and our own counts.

A model whose catalogue entry allows one output token has no output that is counted: speech is then
priced by the characters of its input, a transcription by the seconds of its audio.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from edge.translate.counts import Contradiction, count, details_of, difference
from kit.charge import MAX_QUANTITY, Quantities, quantities

AUDIO_BYTES_PER_TOKEN: Final = 2_304
"""Of spoken PCM, 24,000 samples of 16 bits a second at about 1,250 tokens a minute (OpenAI pricing,
`gpt-4o-mini-tts`). Compressed audio has fewer bytes: an estimate is never above what was made."""
CHARACTERS_PER_SECOND: Final = 15
"""Of English as it is usually spoken, 150 words a minute."""
AUDIO_TOKENS_PER_SECOND: Final = 10
"""Of audio that is read: one each 100 ms (OpenAI guide, costs of realtime)."""
BYTES_PER_TOKEN: Final = 4
_CUE_END: Final = re.compile(r"--> *(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{3})")


def is_counted_by_us(max_output_tokens: int) -> bool:
    """Say whether a model is priced by characters or seconds."""
    return max_output_tokens <= 1


def of_characters(characters: int) -> Quantities:
    """Return the quantities of speech that is priced by the characters of its input."""
    return quantities(input=characters, requests=1)


def from_speech(usage: Mapping[str, Any]) -> Quantities | None:
    """Return the quantities of a `usage` object of speech, None if it is not to be used."""
    try:
        read = count(usage, "input_tokens", required=True)
        made = count(usage, "output_tokens", required=True)
        if usage.get("total_tokens") is not None and count(usage, "total_tokens") != read + made:
            return None
    except Contradiction:
        return None
    return quantities(input=read, audio_output=made, requests=1)


def estimated_speech(characters: int, audio_bytes: int, max_output_tokens: int) -> Quantities:
    """Return what speech without counts is charged: its characters, or tokens by sizes."""
    if is_counted_by_us(max_output_tokens):
        return of_characters(characters)
    made = min(audio_bytes // AUDIO_BYTES_PER_TOKEN, max_output_tokens)
    return quantities(input=max(1, characters // BYTES_PER_TOKEN), audio_output=made, requests=1)


def of_seconds(seconds: Any) -> Quantities | None:
    """Return the quantities of so many seconds of audio, begun ones counted; None for no number."""
    if type(seconds) not in (int, float) or not 0 <= seconds <= MAX_QUANTITY:
        return None
    return quantities(audio_input=math.ceil(seconds), requests=1)


def from_transcription(answer: Mapping[str, Any], *, by_seconds: bool) -> Quantities | None:
    """Return the quantities of a transcription, None if it counts nothing that is to be used.

    Seconds also stand beside the text, as `duration`. Counts in units that the model is not priced
    in are not used.
    """
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        usage = {}
    if by_seconds:
        seconds = usage.get("seconds")
        return of_seconds(answer.get("duration") if seconds is None else seconds)
    if usage.get("type", "tokens") != "tokens":
        return None
    try:
        read = count(usage, "input_tokens", required=True)
        made = count(usage, "output_tokens", required=True)
        if usage.get("total_tokens") is not None and count(usage, "total_tokens") != read + made:
            return None
        text = count(details_of(usage, "input_token_details"), "text_tokens")
        audio = difference(read, text)
    except Contradiction:
        return None
    return quantities(input=text, audio_input=audio, output=made, requests=1)


def estimated_transcription(
    text: str, *, known_seconds: int | None, bound: int, max_output_tokens: int
) -> Quantities:
    """Return what a transcription without counts is charged, in the units of the model.

    The audio's length where its file says it, else the end of the last subtitle, else by how fast
    people speak.
    """
    heard = known_seconds
    if heard is None:
        heard = max(1, _last_cue_seconds(text) or len(text) // CHARACTERS_PER_SECOND)
    made = 0
    if not is_counted_by_us(max_output_tokens):
        heard *= AUDIO_TOKENS_PER_SECOND
        made = min(len(text.encode()) // BYTES_PER_TOKEN, max_output_tokens)
    return quantities(audio_input=min(heard, bound), output=made, requests=1)


def _last_cue_seconds(text: str) -> int:
    """Return the end of the last subtitle (SRT, WebVTT), begun seconds counted, 0 without any."""
    last = 0
    for hours, minutes, seconds, millis in _CUE_END.findall(text):
        whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
        last = max(last, whole + (int(millis) > 0))
    return last
