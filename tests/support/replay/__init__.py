"""A provider made of recordings: says what real upstreams said, and breaks in the ways they break.

`python -m tests.support.replay --port 0` prints `{"port": N}` on its first line. A recording is
chosen by the model `replay/<stem>`, by the header `x-replay-id: <stem>`, or by an equal request.
Faults are set through POST /_replay/faults; GET /_replay/calls tells what was seen.
"""
