"""A real server in a process of its own, with the real model, for tests that go the whole way."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil

START_SECONDS = 120.0


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class ServerProcess:
    """``livethread serve`` on a port and a state folder of its own."""

    def __init__(self, folder: Path, model: Path, *flags: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.log = folder / "server.log"
        sizes = ("--context", "2048", "--sequences", "8", "--task-sequences", "4")
        self._flags = ("--model", str(model), *sizes, "--no-repack", *flags)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the web client is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where the wire is."""
        return f"ws://127.0.0.1:{self.port}/v1/ws"

    def start(self) -> None:
        """Start and wait until a generation would work."""
        self.launch()
        self.wait_healthy()

    def launch(self) -> None:
        """Start and wait for nothing."""
        command = [sys.executable, "-m", "livethread_server.cli", "serve", "--port", str(self.port)]
        command += ["--state-dir", str(self.folder / "state"), *self._flags]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_healthy(self) -> None:
        """Return once ``/health`` says 200."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self.log.read_text()
            if self.health() == 200:
                return
            time.sleep(0.05)
        raise AssertionError(f"the server did not become healthy:\n{self.log.read_text()}")

    def wait_listening(self) -> None:
        """Return once somebody answers."""
        deadline = time.monotonic() + START_SECONDS
        while not self.health():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def health(self) -> int:
        """The status of ``/health``; 0 while nobody answers."""
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code
        except httpx.TransportError:
            return 0

    def engine(self) -> psutil.Process:
        """The engine's process."""
        assert self._process is not None
        for child in psutil.Process(self._process.pid).children():
            if any("worker.main" in part for part in child.cmdline()):
                return child
        raise AssertionError("the server has no engine process")

    def send_signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait for nothing."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        assert self._process is not None
        process, self._process = self._process, None
        return process.wait(timeout=60)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self._process is None:
            return 0
        self.send_signal(number)
        return self.wait()

    def restart(self) -> None:
        """Stop and start on the same port and state."""
        self.stop()
        self.start()
