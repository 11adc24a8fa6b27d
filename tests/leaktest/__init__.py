"""`make leaktest`: recognisable content and secrets go in everywhere, through every failure.

They must then be nowhere (P1, P2).
"""
