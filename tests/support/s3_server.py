"""A server that speaks the S3 protocol (moto's), in an environment of its own."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PYTHON = ROOT / ".venv" / "s3" / "bin" / "python"
START_SECONDS = 60.0
BUCKET = "archive"


@contextmanager
def s3_server() -> Iterator[Mapping[str, str]]:
    """Yield the settings of an archiver whose store is a bucket of a running server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [str(PYTHON), "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": ""},
    )
    try:
        _make_bucket(port)
        yield {
            "archive_store": f"s3://{BUCKET}/kept",
            "archive_store_plain_http": "true",
            "archive_s3_endpoint": f"http://127.0.0.1:{port}",
            "archive_s3_region": "us-east-1",
            "archive_s3_access_key_id": "made-up",
            "archive_s3_secret_access_key": "made-up",
        }
    finally:
        process.kill()
        process.wait()


def _make_bucket(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("PUT", f"/{BUCKET}")
            assert connection.getresponse().status == 200
        except ConnectionError:
            assert time.monotonic() < end
            time.sleep(0.2)
        else:
            return
        finally:
            connection.close()
