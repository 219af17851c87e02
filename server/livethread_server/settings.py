"""What can be set, in one frozen value, checked before anything is built.

It must never know where a setting came from: that is `cli`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from livethread.errors import LivethreadError
from livethread.model import MESSAGE_BYTES
from livethread_server.bounds import Bounds
from livethread_server.engine.wire import Layout
from livethread_server.store.address import masked
from livethread_server.tasks.bounds import TaskBounds

OnRestart = Literal["resume", "keep"]

_UNITS = {"": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
_UNITS |= {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", re.ASCII)
STEPS_OF_SILENCE = 10
"""Steps of the engine that the watchdog sits through at least: one may take several times as long as it should."""
MOST_SEQUENCES = 256
"""llama.h: LLAMA_MAX_SEQ."""
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")
ANY_ADDRESS = ("", "0.0.0.0", "::")
"""Listening on all addresses; no Host header of an honest client names them."""
TOKEN_FILE = "tokens.json"
AuthMode = Literal["none", "token", "jwt"]


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
    task_sequences: int
    kv_cells: int
    ram_cache: int
    disk_cache: int
    idle_after: float
    ingest_tokens: int
    store: str
    chat_template: Path | None
    system_prompt: str
    layout: Layout
    flash_attention: bool | None
    repack: bool
    threads: int
    gpu_layers: int
    step_ms: float
    watchdog: float
    queued_runs: int
    queued_tasks: int
    queued_vectors: int
    subscriptions: int
    outbox_bytes: int
    sockets: int
    sessions_per_principal: int
    head_bytes: int
    body_bytes: int
    request_seconds: float
    hello_seconds: float
    ping_seconds: float
    pong_seconds: float
    slow_seconds: float
    close_seconds: float
    commands_in_flight: int
    bytes_in_flight: int
    message_rate: float
    message_burst: int
    loaded_threads: int
    threads_per_principal: int
    on_restart: OnRestart
    drain: float
    history_events: int
    history_bytes: int
    allow_hosts: tuple[str, ...]
    allow_origins: tuple[str, ...]
    auth: AuthMode
    auth_tokens: Path | None
    jwt_key: Path | None
    jwt_jwks: str | None
    jwt_audience: str | None
    jwt_issuer: str | None
    jwt_algorithms: tuple[str, ...]
    jwt_leeway: float
    shares: int
    task_results: float
    tasks_kept: int
    task_result_bytes: int
    tasks_per_principal: int
    openai_any_model: bool
    store_connections: int

    def __repr__(self) -> str:
        """All of it but the password that ``store`` may hold."""
        shown = {name: getattr(self, name) for name in self.__struct_fields__} | {"store": masked(self.store)}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    @property
    def address(self) -> str:
        """Where the server is reached, such as ``127.0.0.1:8000``."""
        loopback = "[::1]" if ":" in self.host else "127.0.0.1"
        return f"{self._own_host[0] if self._own_host else loopback}:{self.port}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """The Host names that are ours."""
        return (*LOOPBACK_HOSTS, *self._own_host, *self.allow_hosts)

    @property
    def origins(self) -> tuple[str, ...]:
        """The Origins that pages may come from."""
        port = "" if self.port == 80 else f":{self.port}"  # browsers leave out the default one
        own = {f"http://{host}{port}" for host in (*LOOPBACK_HOSTS, *self._own_host)}
        return (*sorted(own), *self.allow_origins)

    @property
    def token_file(self) -> Path:
        """The file of tokens for ``--auth token``."""
        return self.auth_tokens or self.state_dir / TOKEN_FILE

    @property
    def is_nameless(self) -> bool:
        """Whether others can reach the server, but call it by no name that it answers to."""
        return not self._own_host and not self.allow_hosts

    @property
    def _own_host(self) -> tuple[str, ...]:
        return () if self.host.strip("[]") in ANY_ADDRESS else (_bracketed(self.host),)

    @property
    def bounds(self) -> Bounds:
        """How much may be asked of sockets and sessions."""
        names = (name for name in Bounds.__struct_fields__ if name in self.__struct_fields__)
        return Bounds(**{name: getattr(self, name) for name in names})

    @property
    def task_bounds(self) -> TaskBounds:
        """How many tasks there may be, and how long they stay."""
        return TaskBounds(**{name: getattr(self, name) for name in TaskBounds.__struct_fields__})

    def check(self) -> None:
        """`SettingsError` where settings do not fit together."""
        if self.auth == "none" and not is_loopback(self.host):
            raise SettingsError(
                f"--host {self.host} is not a loopback address, and without --auth anybody there could come in. "
                "Use 127.0.0.1, or --auth token or jwt."
            )
        self._check_auth()
        if 0 < self.kv_cells < self.context:
            raise SettingsError(
                f"--kv-cells {self.kv_cells} cannot hold one context of {self.context} tokens. Give more cells, "
                "a smaller --context, or 0 for as many as --sequences need."
            )
        if self.sequences + self.task_sequences > MOST_SEQUENCES:
            raise SettingsError(
                f"--sequences {self.sequences} and --task-sequences {self.task_sequences} are more than "
                f"{MOST_SEQUENCES} together, which is llama.cpp's most. Give fewer of either."
            )
        if self.watchdog * 1000 < STEPS_OF_SILENCE * self.step_ms:
            raise SettingsError(
                f"--watchdog {self.watchdog:g} s is shorter than {STEPS_OF_SILENCE} steps of --step-ms "
                f"{self.step_ms:g}, so that a healthy engine would be ended. Give it more seconds."
            )
        if len(self.system_prompt.encode()) > MESSAGE_BYTES:
            raise SettingsError(
                f"The system prompt of --system-prompt has more than {MESSAGE_BYTES} bytes, which a message may "
                "have. Shorten it."
            )

    def _check_auth(self) -> None:
        if self.auth == "jwt" and (self.jwt_key is None) is (self.jwt_jwks is None):
            raise SettingsError(
                "--auth jwt needs the keys of its issuer: give either --jwt-key FILE or --jwt-jwks with a file or an "
                "https:// URL."
            )
        if "null" in self.allow_origins:
            raise SettingsError(
                "--allow-origin null would let in pages that hide where they are from. Name the pages' own address."
            )


def byte_size(flag: str, text: str) -> int:
    """How many bytes ``512MiB``, ``4 GB`` or ``1000000`` are. `SettingsError` naming the flag."""
    found = _SIZE.fullmatch(text)
    unit = _UNITS.get(found.group(2).lower()) if found else None
    if found is None or unit is None:
        raise SettingsError(
            f"{flag} {text!r} is not a size. Give bytes with a unit, such as 512MiB or 4GiB, or 0 for none."
        )
    return int(float(found.group(1)) * unit)


def names_of(flag: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    """The names in a text with commas between them. `SettingsError` naming the flag where one is not ``known``."""
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingsError(f"{flag} does not know {unknown[0]!r}. Give one or more of {', '.join(known)}.")
    return names


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
