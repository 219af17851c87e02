"""llama-server as the bench starts and stops it: the same model file, weights and OS threads as ours."""

from __future__ import annotations

import subprocess
import sys
import time

import httpx

from tests.bench.bench import Bench
from tests.serving import free_port

START_SECONDS = 120.0


class LlamaServer:
    """One in a process of its own. ``embed`` makes one that turns texts into vectors (mean pooling)."""

    def __init__(self, bench: Bench, *, sequences: int, context: int, embed: bool = False) -> None:
        self._port = free_port()
        self._bench = bench
        numbers = [str(each) for each in (self._port, sequences, context, bench.threads)]
        repack = "repack" if bench.extra_bufts else "no-repack"
        self._command = [sys.executable, "-m", "tests.bench.peer_server", str(bench.model), *numbers, repack]
        self._command += ["embed"] if embed else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers; its OpenAI-compatible paths are below ``/v1``."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start and wait until it is healthy. Raises RuntimeError where it will not be."""
        self._bench.say("starting llama-server")
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"llama-server did not start: exit code {self._process.poll()}.")
            time.sleep(0.1)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
