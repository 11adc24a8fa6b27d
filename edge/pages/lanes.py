"""What the delivery lanes are for. What each does is data of the catalogue's routes."""

from __future__ import annotations

from typing import Final

LANE_WORDS: Final = {
    "default": "General traffic: all healthy upstreams of the model, by weight.",
    "economy": "Cost-sensitive traffic that gives up priority: it waits longer, behind others.",
    "coding": "Agent runs with token-heavy edits: one upstream for a key and model, so that prompt "
    "caches hit, and long time-outs.",
    "priority": "Latency-sensitive traffic, price second: the upstream that lately answered "
    "soonest, ahead of others.",
    "opportunistic": "Spare capacity only: never waits, and is refused with `lane_unavailable` "
    "where there is none.",
}
