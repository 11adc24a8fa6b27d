"""The demo provider as a child process of a test."""

from __future__ import annotations

from tests.support.server_process import ServerProcess


class DemoProcess(ServerProcess):
    """`with DemoProcess() as demo:` — then `demo.base_url` is an OpenAI-compatible upstream."""

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__("edge.demo", "--port", "0")
