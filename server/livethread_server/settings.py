"""What can be set, in one frozen value, checked before anything is built.

It must never know where a setting came from: that is `cli`.
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

from msgspec import Struct

from livethread.errors import LivethreadError
from livethread_server.engine.wire import Layout

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class SettingsError(LivethreadError):
    """A setting cannot be used; the sentence names it and the remedy."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything `livethread serve` can be told. README lists each with its meaning and default."""

    host: str
    port: int
    state_dir: Path
    models_dir: Path
    model: str
    context: int
    sequences: int
    store: str
    chat_template: Path | None
    layout: Layout
    flash_attention: bool
    repack: bool
    threads: int
    gpu_layers: int
    step_ms: float
    queued_runs: int
    subscriptions: int
    outbox_bytes: int
    allow_hosts: tuple[str, ...]
    allow_origins: tuple[str, ...]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The Host names that are ours."""
        return (*LOOPBACK_HOSTS, _bracketed(self.host), *self.allow_hosts)

    @property
    def origins(self) -> tuple[str, ...]:
        """The Origins that pages may come from."""
        port = "" if self.port == 80 else f":{self.port}"  # browsers leave out the default one
        own = {f"http://{host}{port}" for host in (*LOOPBACK_HOSTS, _bracketed(self.host))}
        return (*sorted(own), *self.allow_origins)

    def check(self) -> None:
        """`SettingsError` where settings do not fit together."""
        if not is_loopback(self.host):
            raise SettingsError(
                f"--host {self.host} is not a loopback address, and this server has no authentication yet. "
                "Use 127.0.0.1, and a reverse proxy with authentication in front of it."
            )


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host.strip('[]')}]" if ":" in host else host
