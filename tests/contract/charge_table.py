"""Charges worked out by hand: an exchange, the price it is charged at, and the nano-dollars due.

One token at a price of `p` dollars per million costs `p * 1000` nano-dollars; the comments hold the
sums. Prices are list prices of November 2026 where the catalogue has them, else stated here only.
`fixture`: the exchange is the project's own; the others lie beside the repository.
"""

from __future__ import annotations

from dataclasses import dataclass

from kit.charge import Dimension, Price, PriceTier
from kit.money import parse_dollars


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars per million units; what is not given is priced as text input or output."""

    input: str
    output: str
    cached: str | None = None
    cache_write: str | None = None
    audio_input: str | None = None
    audio_output: str | None = None
    above: int = 0

    def tier(self) -> PriceTier:
        """Return the tier with these rates, in the order of the dimensions."""
        chosen = {
            Dimension.INPUT: self.input,
            Dimension.CACHED_INPUT: self.cached or self.input,
            Dimension.CACHE_WRITE: self.cache_write or self.input,
            Dimension.CACHE_WRITE_LONG: self.cache_write or self.input,
            Dimension.OUTPUT: self.output,
            Dimension.REASONING: self.output,
            Dimension.AUDIO_INPUT: self.audio_input or self.input,
            Dimension.AUDIO_OUTPUT: self.audio_output or self.output,
            Dimension.IMAGE_INPUT: self.input,
            Dimension.IMAGE_OUTPUT: self.output,
            Dimension.REQUESTS: "0",
            Dimension.TOOL_CALLS: "0",
        }
        rates = tuple(int(parse_dollars(chosen[dimension])) for dimension in Dimension)
        return PriceTier(above_context_tokens=self.above, rates=rates)


def price(*tiers: Rates) -> Price:
    """Return a price version with these tiers, smallest context first."""
    return Price(
        number=1,
        model_number=1,
        lane=1,
        effective_from_micros=0,
        tiers=tuple(one.tier() for one in tiers),
    )


GPT_4O = price(Rates("2.50", "10.00", cached="1.25"))
GPT_4O_MINI = price(Rates("0.15", "0.60", cached="0.075"))
GPT_41_MINI = price(Rates("0.40", "1.60", cached="0.10"))
GPT_5 = price(Rates("1.25", "10.00", cached="0.125"))
GPT_54_MINI = price(Rates("0.75", "4.50", cached="0.075"))
GPT_56 = price(
    Rates("1.25", "10.00", cached="0.125", cache_write="1.5625"),
    Rates("2.50", "15.00", cached="0.25", cache_write="3.125", above=200_000),
)
GPT_AUDIO = price(Rates("2.50", "10.00", audio_input="32.00", audio_output="64.00"))
O4_MINI = price(Rates("1.10", "4.40", cached="0.275"))
DEEPSEEK = price(Rates("0.14", "0.28", cached="0.0028"))
GROQ_GPT_OSS = price(Rates("0.15", "0.60", cached="0.075"))
GROQ_LLAMA = price(Rates("0.59", "0.79"))
GROQ_QWEN = price(Rates("0.29", "0.59"))
MISTRAL_SMALL = price(Rates("0.15", "0.60"))
CEREBRAS_GLM = price(Rates("2.25", "2.75"))
CEREBRAS_GPT_OSS = price(Rates("0.35", "0.75"))
CEREBRAS_LLAMA = price(Rates("0.85", "1.20"))
GLM = price(Rates("0.60", "2.20"))
GROK_4 = price(Rates("3.00", "15.00", cached="0.75"))
KIMI = price(Rates("0.60", "2.50", cached="0.15"))
HALF_A_NANO = price(Rates("0.0005", "0"))
"""So small that a token costs half a nano-dollar: the rounding decides."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one exchange costs."""

    stem: str
    price: Price
    nanos: int
    fixture: bool = True


_WORKFLOW = "openai-test_mcptoolset_dynamic_toolset_in_workflow-11"
_STRUCTURED = "openai-test_ref_sibling_wire_contract_openai-structured-dict_-0"
_SEARCH = "openai-test_tool_availability_portability_matrix_R1-T6-local-search_-0"
_CAPABILITY = "deepseek-test_deepseek_deferred_capability_with_thinking"
_GROQ = "groq-test_reasoning_wire_contract_groq"
_GROQ_HIGH = f"{_GROQ}-gpt-oss-thinking-high_-0"
_GROQ_NOOP = f"{_GROQ}-gpt-oss-thinking-false-noop_-0"
_GROQ_QWEN = f"{_GROQ}-qwen3-effort-setting_-0"
_MISTRAL = "mistral-test_reasoning_wire_contract_mistral-small-disable_-0"
_CEREBRAS_TAGS = "cerebras-test_cerebras_zai_reasoning_replayed_as_think_tags-0"
_CEREBRAS_OSS = "cerebras-test_reasoning_wire_contract_cerebras-gpt-oss-always-on_-0"
_TOOL_SEARCH = "openai-test_tool_search_eval_openai-chat_"

RECORDED = (
    # 14 * 2500 + 8 * 10000; the second one is the same answer as a stream
    Charge("openai-test_prefect_agent_run-0", GPT_4O, 115_000, fixture=False),
    Charge("openai-test_dbos_agent_iter_in_workflow-0", GPT_4O, 115_000, fixture=False),
    # 448 * 2500 + 62 * 10000 = 1120000 + 620000
    Charge("openai-test_complex_agent_run-2", GPT_4O, 1_740_000, fixture=False),
    # 1319 * 2500 + 145 * 10000 = 3297500 + 1450000
    Charge(_WORKFLOW, GPT_4O, 4_747_500, fixture=False),
    # 98 * 150 + 29 * 600 = 14700 + 17400
    Charge(_STRUCTURED, GPT_4O_MINI, 32_100, fixture=False),
    # 329 * 1250 + 300 * 10000, of which 256 are reasoning = 411250 + 3000000
    Charge(_SEARCH, GPT_5, 3_411_250, fixture=False),
    # 265 * 750 + 23 * 4500 = 198750 + 103500
    Charge(f"{_TOOL_SEARCH}-0", GPT_54_MINI, 302_250, fixture=False),
    # 266 * 750 + 147 * 4500 = 199500 + 661500
    Charge(f"{_TOOL_SEARCH}-7", GPT_54_MINI, 861_000, fixture=False),
    # 875 * 140 + 79 * 280 = 122500 + 22120
    Charge(f"{_CAPABILITY}-1", DEEPSEEK, 144_620, fixture=False),
    # 80 * 140 + 896 cached * 2.8 + 61 * 280 = 11200 + 2508.8 + 17080 = 30788.8
    Charge(f"{_CAPABILITY}-2", DEEPSEEK, 30_789, fixture=False),
    # 12 * 140 + 789 * 280 = 1680 + 220920
    Charge("deepseek-test_deepseek_model_thinking_part-0", DEEPSEEK, 222_600, fixture=False),
    # 6 * 140 + 212 * 280 = 840 + 59360
    Charge("deepseek-test_deepseek_model_thinking_stream-0", DEEPSEEK, 60_200, fixture=False),
    # 84 * 150 + 105 * 600 = 12600 + 63000
    Charge(_GROQ_HIGH, GROQ_GPT_OSS, 75_600, fixture=False),
    # 84 * 150 + 42 * 600 = 12600 + 25200
    Charge(_GROQ_NOOP, GROQ_GPT_OSS, 37_800, fixture=False),
    # 21 * 290 + 173 * 590 = 6090 + 102070
    Charge(_GROQ_QWEN, GROQ_QWEN, 108_160, fixture=False),
    # 28 * 150 + 2 * 600 = 4200 + 1200
    Charge(_MISTRAL, MISTRAL_SMALL, 5_400, fixture=False),
    # 17 * 2250 + 415 * 2750 = 38250 + 1141250
    Charge(_CEREBRAS_TAGS, CEREBRAS_GLM, 1_179_500, fixture=False),
    # 80 * 350 + 45 * 750 = 28000 + 33750
    Charge(_CEREBRAS_OSS, CEREBRAS_GPT_OSS, 61_750, fixture=False),
    # 43 * 850 + 9 * 1200 = 36550 + 10800
    Charge("cerebras-test_cerebras_model_simple-0", CEREBRAS_LLAMA, 47_350, fixture=False),
    # 20 * 600 + 233 * 2200 = 12000 + 512600
    Charge("crusoe-test_crusoe_native_output-0", GLM, 524_600, fixture=False),
)

OWN = (
    # 12 * 400 + 13 * 1600 = 4800 + 20800
    Charge("openai-chat-text", GPT_41_MINI, 25_600),
    # 11 * 400 + 7 * 1600 = 4400 + 11200
    Charge("openai-chat-text-stream-usage", GPT_41_MINI, 15_600),
    # (2006 - 1920) * 400 + 1920 * 100 + 10 * 1600 = 34400 + 192000 + 16000
    Charge("openai-chat-cached", GPT_41_MINI, 242_400),
    # 34400 + 192000 + 7 * 1600
    Charge("openai-chat-cached-stream", GPT_41_MINI, 237_600),
    # 28 * 1250 + 1024 * 125 + 2048 * 1562.5 + 3 * 10000 = 35000 + 128000 + 3200000 + 30000
    Charge("openai-chat-cache-write", GPT_56, 3_393_000),
    Charge("openai-chat-cache-write-stream", GPT_56, 3_393_000),
    # 200000 is not above 200000: 200000 * 1250 + 3 * 10000
    Charge("openai-chat-context-at-tier", GPT_56, 250_030_000),
    # above it all of the request is dearer: 250000 * 2500 + 9 * 15000
    Charge("openai-chat-long-context", GPT_56, 625_135_000),
    # 10000 * 2500 + 240000 * 250 + 5 * 15000 = 25000000 + 60000000 + 75000
    Charge("openai-chat-long-context-cached-stream", GPT_56, 85_075_000),
    # 12 * 2500 + 52 * 32000 + 8 * 10000 + 33 * 64000 = 30000 + 1664000 + 80000 + 2112000
    Charge("openai-chat-audio", GPT_AUDIO, 3_886_000),
    # 2848 * 400 + 3 * 1600 = 1139200 + 4800
    Charge("openai-chat-image", GPT_41_MINI, 1_144_000),
    # 12 * 1100 + 78 * 4400, of which 64 are reasoning = 13200 + 343200
    Charge("openai-chat-reasoning", O4_MINI, 356_400),
    # reasoning is not in the completion: 12 * 3000 + (1 + 290) * 15000 = 36000 + 4365000
    Charge("xai-chat-reasoning-excluded", GROK_4, 4_401_000),
    Charge("xai-chat-reasoning-excluded-stream", GROK_4, 4_401_000),
    # 20 * 140 + 1024 * 2.8 + 4 * 280 = 2800 + 2867.2 + 1120 = 6787.2
    Charge("deepseek-chat-cache-hit", DEEPSEEK, 6_787),
    # 15 * 140 + 12 * 280 = 2100 + 3360
    Charge("deepseek-chat-reasoning-stream", DEEPSEEK, 5_460),
    # 2 * 600 + 8 cached * 150 + 4 * 2500 = 1200 + 1200 + 10000
    Charge("moonshot-chat-stream", KIMI, 12_400),
    # 40 * 590 + 3 * 790 = 23600 + 2370
    Charge("groq-chat-stream", GROQ_LLAMA, 25_970),
    # 14 * 600 + 31 * 2200 = 8400 + 68200
    Charge("openrouter-chat-reasoning-stream", GLM, 76_600),
    # 7 * 150 + 4 * 600
    Charge("mistral-chat-stream", MISTRAL_SMALL, 3_450),
    # 97 * 400 + 45 * 1600 = 38800 + 72000
    Charge("openai-chat-tools-parallel-stream", GPT_41_MINI, 110_800),
    # two choices, counted together: 9 * 400 + 5 * 1600
    Charge("openai-chat-choices-stream", GPT_41_MINI, 11_600),
    # the last of two counts: 11 * 400 + 5 * 1600
    Charge("sse-usage-cumulative-stream", GPT_41_MINI, 12_400),
    # 11 * 0.5 = 5.5 goes to the even 6; 13 * 0.5 = 6.5 goes to 6 as well
    Charge("openai-chat-flex", HALF_A_NANO, 6),
    Charge("openai-chat-content-filter-stream", HALF_A_NANO, 6),
)

CHARGES = (*RECORDED, *OWN)
