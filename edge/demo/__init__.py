"""The built-in demo provider: an upstream that answers without a key, without a network.

It exists in the dev profile only, runs as its own process (`python -m edge.demo --port N`) and
speaks HTTP like any other provider, so that the path from client to charge is the real one. Its
answers are a deterministic function of the request and never repeat the prompt. Faults and latency
are asked for by the model name; `knobs.py` lists them.
"""
