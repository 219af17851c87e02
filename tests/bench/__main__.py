"""``make bench``: measure what the project promises, print a table, write JSON.

    python -m tests.bench [--rows NAME …] [--quick] [--peer URL] [--json FILE] [--strict]

The machine should have nothing else to do. One module per group of rows, with ``NAMES`` and ``measure``, listed in
`GROUPS`. Rows of `settle` compare settings; they have no bound and are measured only when they are named.
"""

from __future__ import annotations

import argparse
import datetime
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from rich.console import Console

from livethread_server.models import DEFAULT_MODEL, default_models_dir, locate
from tests.bench import (
    ahead,
    churn,
    commands,
    crowd,
    disk,
    equal,
    fan_out,
    first_token,
    idle_sessions,
    kill_server,
    kill_worker,
    long_prompt,
    openai_speed,
    peer,
    reconnect,
    report,
    restart,
    revisit,
    settle,
    stateless,
    throughput,
)
from tests.bench.bench import CONTEXT, SEQUENCES, Bench, Group

ENGINE = (throughput, first_token, long_prompt)
MEMORY = (ahead, revisit, restart, churn, disk, crowd, equal)
DEATHS = (kill_worker, kill_server)
DOOR = (idle_sessions, fan_out, reconnect, commands)
OPENAI = (openai_speed, stateless)
MEASURED = (*ENGINE, *MEMORY, *DOOR, *DEATHS, *OPENAI, peer)
GROUPS = tuple(Group(module.NAMES, module.measure) for module in (*MEASURED, settle))
USUAL = tuple(name for module in MEASURED for name in module.NAMES)
NAMES = (*USUAL, *settle.NAMES)


def main() -> int:
    """Measure what the command line asks for; 1 where a bound is missed and ``--strict`` was given."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    options = _options()
    model = locate(options.model, default_models_dir()).path
    repack = _repack_works(model)
    used = {**vars(options), "model": model.name, "repack": repack, "sequences": SEQUENCES, "context": CONTEXT}
    say = Console(stderr=True, highlight=False).print
    bench = Bench(
        model, extra_bufts=repack, threads=options.threads, quick=options.quick, say=say, peer=options.peer or None
    )
    rows: list[report.Row] = []
    try:
        with closing(bench):
            for group in GROUPS:
                rows.extend(group.measure(bench, frozenset(options.rows)))
    finally:  # what was measured is told even where a later row could not be
        _report(rows, used, options)
    return 1 if options.strict and not all(row.holds for row in rows) else 0


def _report(rows: list[report.Row], used: dict[str, object], options: argparse.Namespace) -> None:
    report.show(rows, Console(width=max(Console().width, 120)))
    report.write(rows, used, Path(options.json))
    print(f"All figures are in {options.json}.")


def _options() -> argparse.Namespace:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what livethread promises.")
    parser.add_argument("--rows", nargs="+", choices=NAMES, metavar="NAME", help=_help())
    parser.add_argument("--peer", metavar="URL", help="compare chats with an OpenAI-compatible server, by its base URL")
    parser.add_argument("--quick", action="store_true", help="few and short repetitions, for development")
    parser.add_argument("--json", default=f"bench-{datetime.date.today()}.json", metavar="FILE")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a bound is missed")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a name of the catalogue, or a GGUF file's path")
    parser.add_argument("--threads", type=int, default=cpus if cpus <= 4 else cpus // 2, help="OS threads of llama.cpp")
    options = parser.parse_args()
    options.rows = options.rows or (tuple(openai_speed.CHATS) if options.peer else USUAL)
    return options


def _help() -> str:
    return f"{', '.join(USUAL)}; only when named: {', '.join(settle.NAMES)}"


def _repack_works(model: Path) -> bool:
    """Whether llama.cpp's repacked weights work here: where they don't, the process that tries dies."""
    command = [sys.executable, "-m", "tests.bench.bare", str(model), "--extra-bufts", "--sequences", "1"]
    trial = subprocess.run(
        [*command, "--tokens", "2", "--prompt", "33"],
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        capture_output=True,
        check=False,
    )
    return trial.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
