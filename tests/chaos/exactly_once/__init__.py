"""Exactly once, under kills and broken messages: `python -m tests.chaos.exactly_once`.

Every request carries a number of its own, by which three parties that do not know of each other can
be compared: the client (what came back), the provider (what was asked and sent) and the record
(whose hold is the request's `x-max-cost`, hence its number).
"""
