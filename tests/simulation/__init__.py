"""Money under every misfortune: a state machine against an auditor who only adds up.

Real use cases on a real PostgreSQL, under a clock that the machine moves: edges with leases and
spools, credit, expiry, usage that is lost, doubled and reordered on its way, processes that die
before and after each commit. After every step the auditor's invariants hold (`invariants.py`).

`make simulate` runs 10,000 steps, the tests a few hundred of each machine; a failure prints the
seed that reproduces it.
"""
