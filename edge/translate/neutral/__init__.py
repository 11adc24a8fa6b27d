"""Conversations and answers that belong to no API: what crosses from one API to another.

Each API has four halves: it reads and writes requests (`conversation.py`) and reads and writes
answers (`events.py`). So four APIs need four times four halves instead of one translator for each
of their pairs, and a round trip through one API is a test of its halves.
"""
