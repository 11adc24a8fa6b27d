"""A completion of one prompt in the neutral form: what a user says, and the model goes on.

Nothing else of completions has a place in a conversation: several prompts, tokens, `echo`,
`suffix`, `logprobs` (their shape is completions' own) and `best_of` are refused by name.
"""

from __future__ import annotations

from typing import Final

from edge.translate.chat import to_neutral
from edge.translate.completions.request import CompletionRequest
from edge.translate.errors import UnsupportedParameter, UnsupportedValue
from edge.translate.neutral.conversation import Conversation, Text, Turn

_REFUSED: Final = ("best_of", "echo", "suffix", "logprobs")
_OWN: Final = frozenset({"prompt", *_REFUSED})


def conversation(request: CompletionRequest) -> Conversation:
    """Return the request in the neutral form.

    Raises:
        InvalidRequest: something in it has no place there; the field is named.
    """
    prompt = request.prompts[0]
    if len(request.prompts) != 1 or not isinstance(prompt, str):
        raise UnsupportedValue("prompt")
    for name in _REFUSED:
        value = request.body.get(name)
        makes_no_more = name == "best_of" and value == (request.body.get("n") or 1)
        says_nothing = value is None or value is False or value == ""
        if not (says_nothing or makes_no_more):
            raise UnsupportedParameter(name)
    rest = {name: value for name, value in request.body.items() if name not in _OWN}
    read = to_neutral.conversation({**rest, "messages": []}, request.token_limit)
    if read.thinking is not None:
        read.thinking.shown = False  # a completion has no place for it
    read.turns = [Turn("user", [Text("prompt", prompt)], "prompt")]
    return read
