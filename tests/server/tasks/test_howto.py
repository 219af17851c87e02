"""The how-to's kind of task: that it is the example, which other tests serve, and that its own test runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import howto
from tests.plugin import EXAMPLE

PAGE = "writing-a-task-kind.md"


@pytest.mark.parametrize("name", ["livethread_keywords.py", "pyproject.toml"])
def test_the_page_shows_the_example_as_it_is(name: str) -> None:
    assert howto.files(PAGE)[name] == (EXAMPLE / name).read_text()


def test_the_test_that_the_page_shows_runs(tmp_path: Path) -> None:
    howto.save(PAGE, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=howto.PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
