"""Shows on standard error how far a download is: a bar for people, a few plain lines where nobody watches.

It must never know what is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn


class Meter(Protocol):
    """Shows how much there is of a download, in bytes; ``total`` 0 where nobody knows."""

    def __call__(self, done: int, total: int) -> None: ...


def say(line: str) -> None:
    """A line for people on standard error."""
    Console(stderr=True).print(line, highlight=False, soft_wrap=True, markup=False)


@contextmanager
def meter(title: str) -> Iterator[Meter]:
    """A meter that is shown inside the ``with``."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(title)
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total or None)


class _Lines:
    """A meter for logs: a line at the beginning and at every quarter."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._quarter = 0
        say(f"{title} …")

    def __call__(self, done: int, total: int) -> None:
        quarter = 4 * done // total if total else 0
        if quarter > self._quarter:
            self._quarter = quarter
            say(f"{self._title}: {25 * quarter} % of {total / 1e6:.0f} MB")
