"""Answers before any protocol: token limits, stop sequences, calls and usage."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edge.demo.answer import OUTPUT_TOKENS_MAX, Finish, Question, Tool, answer
from edge.demo.knobs import Knobs

PLAIN = Question(seed=77, prompt_tokens=10)
TOOLS = tuple(
    Tool(name, {"type": "object", "properties": {"x": {"type": "string"}}})
    for name in ("first", "second")
)


def test_equal_questions_get_equal_answers() -> None:
    """A charge for the demo can be foretold."""
    assert answer(PLAIN, Knobs()) == answer(PLAIN, Knobs())
    assert answer(PLAIN, Knobs()) != answer(replace(PLAIN, seed=78), Knobs())


def test_a_shorter_limit_keeps_the_beginning() -> None:
    """The token limit cuts the same answer short and says so."""
    full = answer(PLAIN, Knobs()).choices[0]
    cut = answer(replace(PLAIN, output_tokens_max=5), Knobs()).choices[0]
    assert full.finish is Finish.STOP
    assert cut.finish is Finish.LENGTH
    assert cut.text == full.text[:5]
    assert cut.output_tokens == 5


def test_an_answer_of_exactly_the_limit_is_complete() -> None:
    """The limit is reached, but nothing was cut."""
    made = answer(replace(PLAIN, output_tokens_max=9), Knobs(tokens=9)).choices[0]
    assert made.finish is Finish.STOP
    assert len(made.text) == 9


def test_no_answer_exceeds_the_models_own_cap() -> None:
    """However long an answer is ordered, 4,096 tokens are the end of it."""
    made = answer(Question(1, 1, output_tokens_max=10**6), Knobs(tokens=10**6)).choices[0]
    assert made.output_tokens == OUTPUT_TOKENS_MAX
    assert made.finish is Finish.LENGTH


def test_reasoning_is_counted_inside_the_completion() -> None:
    """Reasoning comes first and takes its part of the limit."""
    made = answer(replace(PLAIN, reasoning_tokens=16, output_tokens_max=20), Knobs())
    assert made.reasoning_tokens == 16
    assert made.completion_tokens == 20
    assert len(made.choices[0].text) == 4


def test_reasoning_may_use_up_the_limit() -> None:
    """Then there is no visible output, and the finish says why."""
    made = answer(replace(PLAIN, reasoning_tokens=16, output_tokens_max=8), Knobs())
    assert made.choices[0].text == ()
    assert made.choices[0].finish is Finish.LENGTH
    assert made.completion_tokens == made.reasoning_tokens == 8


def test_text_ends_before_the_first_stop_sequence() -> None:
    """The sequence is not shown, but the tokens that made it are counted."""
    words = answer(PLAIN, Knobs()).choices[0].text
    stop = "".join(words[3:5])
    made = answer(replace(PLAIN, stop=("never there", stop)), Knobs()).choices[0]
    assert "".join(made.text) == "".join(words[:3])
    assert made.output_tokens == 5
    assert made.finish is Finish.STOP


def test_a_stop_sequence_that_never_comes_changes_nothing() -> None:
    """Also not the reason why the answer ended."""
    limited = replace(PLAIN, output_tokens_max=4)
    assert answer(replace(limited, stop=("0",)), Knobs()) == answer(limited, Knobs())


def test_each_offered_tool_is_called_with_its_own_arguments() -> None:
    """Parallel calls have different ids and valid arguments."""
    made = answer(replace(PLAIN, calls=TOOLS), Knobs()).choices[0]
    assert [call.name for call in made.calls] == ["first", "second"]
    assert len({call.id for call in made.calls}) == 2
    assert all("x" in json.loads("".join(call.arguments)) for call in made.calls)
    assert made.finish is Finish.TOOL_CALLS
    assert made.output_tokens == sum(1 + len(call.arguments) for call in made.calls)


def test_a_limit_cuts_arguments_short() -> None:
    """As with real models, the arguments are then not valid JSON, and the finish tells."""
    made = answer(replace(PLAIN, calls=TOOLS, output_tokens_max=3), Knobs()).choices[0]
    assert made.finish is Finish.LENGTH
    assert len(made.calls) == 1
    assert made.output_tokens == 3


def test_an_empty_answer_has_no_output() -> None:
    """Nothing to charge for."""
    made = answer(replace(PLAIN, reasoning_tokens=8), Knobs(empty=True))
    assert made.completion_tokens == made.reasoning_tokens == 0
    assert made.choices[0].finish is Finish.STOP


def test_cached_tokens_are_part_of_the_prompt() -> None:
    """Never more is read from the cache than there is."""
    assert answer(PLAIN, Knobs(cached_tokens=4)).cached_tokens == 4
    assert answer(PLAIN, Knobs(cached_tokens=400)).cached_tokens == 10


@given(
    limit=st.integers(1, 40),
    choices=st.integers(1, 4),
    reasoning=st.integers(0, 40),
    calls=st.sampled_from([(), TOOLS[:1], TOOLS]),
    stop=st.sampled_from([(), ("a",), (" ", "er")]),
)
def test_usage_is_within_choices_times_the_limit(
    limit: int, choices: int, reasoning: int, calls: tuple[Tool, ...], stop: tuple[str, ...]
) -> None:
    """The bound on which a hold rests: n times the token limit, reasoning included."""
    question = Question(3, 1, choices, limit, reasoning, calls, None, stop)
    made = answer(question, Knobs())
    assert made.completion_tokens <= choices * limit
    assert made.reasoning_tokens <= made.completion_tokens
