from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from livethread_server.auth.digest import digest_of
from livethread_server.auth.token_file import TokenFile
from livethread_server.cli import cli


def ask(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["token", *arguments, "--state-dir", str(folder / "state")])


def records(folder: Path) -> dict[str, float | None]:
    return {record.name: record.expires for record in TokenFile(folder / "state" / "tokens.json").read()}


def test_a_new_token_is_all_that_is_printed_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    result = ask(tmp_path, "new", "alice")
    token = result.stdout.strip()
    assert (result.exit_code, result.stdout) == (0, f"{token}\n")
    assert "not shown again" in result.stderr
    path = tmp_path / "state" / "tokens.json"
    (record,) = TokenFile(path).read()
    assert (record.name, record.digest, record.expires) == ("alice", digest_of(token), None)
    assert token not in path.read_text()
    assert token not in ask(tmp_path, "list").output + ask(tmp_path, "list", "--json").output


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("12h", 43200), ("30d", 30 * 86400), ("8w", 56 * 86400)])
def test_a_token_may_expire(tmp_path: Path, text: str, seconds: int) -> None:
    assert ask(tmp_path, "new", "alice", "--expires", text).exit_code == 0
    assert records(tmp_path)["alice"] == pytest.approx(time.time() + seconds, abs=60)


@pytest.mark.parametrize("text", ["", "soon", "0d", "-1d", "1.5h", "10", "1y", "100000w"])
def test_what_is_no_time_is_refused(tmp_path: Path, text: str) -> None:
    result = ask(tmp_path, "new", "alice", "--expires", text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "such as 30d" in result.stderr


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 257])
def test_a_name_that_cannot_be_shown_is_refused(tmp_path: Path, name: str) -> None:
    assert ask(tmp_path, "new", name).exit_code == 2
    assert not (tmp_path / "state").exists()


def test_the_list_tells_whose_tokens_there_are_and_when_they_end(tmp_path: Path) -> None:
    ask(tmp_path, "new", "alice")
    ask(tmp_path, "new", "bob", "--expires", "30d")
    lines = ask(tmp_path, "list").stdout.splitlines()
    assert [line.split()[1] for line in lines] == ["alice", "bob"]
    assert [("never expires" in line, "expires 2" in line) for line in lines] == [(True, False), (False, True)]
    shown = json.loads(ask(tmp_path, "list", "--json").stdout)
    assert [one["name"] for one in shown] == ["alice", "bob"]
    assert {*shown[0]} == {"id", "name", "created", "expires"}


def test_tokens_are_revoked_by_id_or_all_of_a_name(tmp_path: Path) -> None:
    for name in ("alice", "alice", "bob", "bob"):
        ask(tmp_path, "new", name)
    first = ask(tmp_path, "list").stdout.split()[0]
    assert ask(tmp_path, "revoke", first).stdout == "1 token was revoked.\n"
    assert ask(tmp_path, "revoke", "bob").stdout == "2 tokens were revoked.\n"
    assert list(records(tmp_path)) == ["alice"]
    result = ask(tmp_path, "revoke", "bob")
    assert (result.exit_code, "There is no token 'bob'" in result.stderr) == (2, True)


def test_the_file_may_be_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.json"
    assert ask(tmp_path, "new", "alice", "--auth-tokens", str(file)).exit_code == 0
    assert len(TokenFile(file).read()) == 1
    assert not (tmp_path / "state").exists()


def test_a_spoilt_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "tokens.json"
    path.parent.mkdir()
    path.write_text("{")
    path.chmod(0o600)
    for arguments in (("new", "alice"), ("list",), ("revoke", "alice")):
        result = ask(tmp_path, *arguments)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "is not a file of tokens" in result.stderr
    assert path.read_text() == "{"
