"""What the bench says in the end: a table for people, JSON for programs."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table


class Row(Struct, frozen=True, kw_only=True):
    """One claim and what was measured. ``at_least``: the bound is a lower one; None where nothing was promised.
    ``raw`` is for the JSON.
    """

    name: str
    claim: str
    measured: float
    bound: float | None
    at_least: bool
    unit: str = ""
    notes: str = ""
    raw: Any = None

    @property
    def holds(self) -> bool:
        """Whether the bound is kept."""
        if self.bound is None:
            return True
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table(title=f"livethread on {machine()['cpu']}", show_lines=True)
    for heading, options in _COLUMNS.items():
        table.add_column(heading, **options)
    for row in rows:
        verdict = "[green]ok[/]" if row.holds else "[bold red]misses[/]"
        sign = "≥" if row.at_least else "≤"
        bound = "–" if row.bound is None else f"{sign} {row.bound:g}{row.unit}"
        table.add_row(row.claim, _figure(row.measured, row.unit), bound, verdict, row.notes)
    console.print(table)


_COLUMNS: Mapping[str, dict[str, Any]] = {
    "row": {"max_width": 32},
    "measured": {"justify": "right", "no_wrap": True},
    "bound": {"justify": "right", "no_wrap": True},
    "": {"no_wrap": True},
    "notes": {"overflow": "fold"},
}


def _figure(value: float, unit: str) -> str:
    return f"{value:.3g}{unit}" if abs(value) < 100 else f"{value:.0f}{unit}"


def write(rows: Sequence[Row], options: Mapping[str, Any], path: Path) -> None:
    """Write everything that was measured."""
    report = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "options": options,
        "rows": [msgspec.to_builtins(row) | {"holds": row.holds} for row in rows],
    }
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "llama_cpp_python": importlib.metadata.version("llama-cpp-python"),
        "livethread": importlib.metadata.version("livethread"),
    }


def _cpu_model() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
