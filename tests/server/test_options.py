from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from livethread_server.cli import cli

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"^\| `(--[a-z-]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)


def parameters() -> dict[str, Any]:
    """The options of ``livethread serve`` by their first flag."""
    group: Any = typer.main.get_command(cli)
    return {parameter.opts[0]: parameter for parameter in group.commands["serve"].params}


def documented() -> dict[str, str]:
    """Flags and their defaults in README's table."""
    return {flag: default for flag, default, _ in ROW.findall(README.read_text(encoding="utf-8"))}


def test_the_readme_names_exactly_the_flags_there_are() -> None:
    assert set(documented()) == set(parameters())


@pytest.mark.parametrize("flag", sorted(documented()))
def test_the_readme_gives_each_default_as_it_is(flag: str) -> None:
    default, shown = parameters()[flag].default, documented()[flag]
    if isinstance(default, bool):
        assert shown == ("on" if default else "off")
    elif default is None:
        assert not shown.startswith("`")
    else:
        assert shown == f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


@pytest.mark.parametrize("flag", sorted(parameters()))
def test_every_flag_has_its_variable_and_a_line_of_help(flag: str) -> None:
    parameter = parameters()[flag]
    assert parameter.envvar == "LIVETHREAD_" + flag.removeprefix("--").upper().replace("-", "_")
    assert parameter.help.endswith(".")


def refused_host(folder: Path, *flags: str, variable: str | None = None, file: str | None = None) -> str:
    """The host that is refused, which tells where it was taken from."""
    arguments = ["serve", *flags]
    if file is not None:
        (folder / "livethread.toml").write_text(f'host = "{file}"\n')
        arguments += ["--config", str(folder / "livethread.toml")]
    result = CliRunner().invoke(cli, arguments, env={"LIVETHREAD_HOST": variable})
    assert result.exit_code == 2
    return result.stderr.partition("--host ")[2].partition(" ")[0]


def test_flags_come_before_variables_before_the_file(tmp_path: Path) -> None:
    assert refused_host(tmp_path, file="10.0.0.1") == "10.0.0.1"
    assert refused_host(tmp_path, file="10.0.0.1", variable="10.0.0.2") == "10.0.0.2"
    assert refused_host(tmp_path, "--host", "10.0.0.3", file="10.0.0.1", variable="10.0.0.2") == "10.0.0.3"


@pytest.mark.parametrize(
    "flags",
    [
        ("--port", "0"),
        ("--port", "65536"),
        ("--context", "63"),
        ("--sequences", "251"),
        ("--sequences", "0"),
        ("--threads", "-1"),
        ("--step-ms", "nan"),
        ("--step-ms", "4"),
        ("--queued-runs", "-1"),
        ("--task-sequences", "-1"),
        ("--queued-tasks", "-1"),
        ("--queued-vectors", "0"),
        ("--watchdog", "1"),
        ("--ram-cache", "much"),
        ("--disk-cache", "-1"),
        ("--idle-after", "-1"),
        ("--kv-cells", "-1"),
        ("--ingest-tokens", "-1"),
        ("--outbox-bytes", "1"),
        ("--sockets", "0"),
        ("--head-bytes", "1"),
        ("--slow-seconds", "0"),
        ("--message-rate", "0"),
        ("--threads-per-principal", "0"),
        ("--on-restart", "forget"),
        ("--drain", "-1"),
        ("--layout", "round"),
        ("--log-level", "loud"),
    ],
)
def test_what_is_out_of_bounds_is_refused_with_its_flag(flags: tuple[str, str]) -> None:
    result = CliRunner().invoke(cli, ["serve", "--host", "10.0.0.1", *flags])
    assert result.exit_code == 2
    assert flags[0] in result.stderr
