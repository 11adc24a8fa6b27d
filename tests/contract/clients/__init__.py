"""The client matrix: programs that developers already use, unmodified, in front of our service.

`make clients` runs them all and writes docs/clients.md. The parts:

- `matrix.py`: the clients, and what a cell that is not green is explained with;
- `programs/`: a program for each library, run in an environment of its own (`locks/`, `node/`);
- `agents.py`, `command.py`: coding agents and other command lines, as a script would run them;
- `upstream.py`: the demo provider with a memory, so that what reached a provider can be judged;
- `judge.py`: what the service's own records must say of each cell;
- `found.py`, `page.py`: what was found, and the page about it;
- `locks.py`: locks everything anew.
"""
