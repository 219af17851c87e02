from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from livethread_server.auth.digest import digest_of
from livethread_server.auth.token_file import BEGINNING, TokenFile, TokenRecord, new_token
from livethread_server.settings import SettingsError
from tests.tokens import given_out


def a_record(name: str) -> TokenRecord:
    return TokenRecord(id=f"k_{name}", name=name, digest=digest_of(name), created=1.0)


def test_tokens_are_unlike_one_another_and_safe_in_a_header() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        assert token.startswith(BEGINNING)
        assert len(token) == len(BEGINNING) + 43
        assert token.replace("-", "").replace("_", "").isalnum()


def test_a_file_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    assert (file.read(), file.stamp()) == ((), None)


def test_what_is_kept_is_no_token_and_for_its_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "tokens.json"
    token = given_out(path, "alice")
    assert token.removeprefix(BEGINNING) not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["tokens.json"]
    path.chmod(0o644)
    given_out(path, "bob")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [record.name for record in TokenFile(path).read()] == ["alice", "bob"]


def test_every_change_has_a_stamp_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    stamps = set()
    for name in "abc":
        given_out(path, name)
        stamps.add(TokenFile(path).stamp())
    assert len(stamps) == 3


def test_changes_at_the_same_time_are_all_made(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.json")
    with ThreadPoolExecutor(8) as workers:
        for done in [
            workers.submit(file.change, lambda old, n=n: [*old, a_record(f"n{n}")])  # type: ignore[misc]
            for n in range(24)
        ]:
            done.result()
    assert sorted(record.name for record in file.read()) == sorted(f"n{n}" for n in range(24))


def test_a_change_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    given_out(path, "alice")

    def broken(_: object) -> list[TokenRecord]:
        raise SettingsError("No.")

    with pytest.raises(SettingsError):
        TokenFile(path).change(broken)
    assert [record.name for record in TokenFile(path).read()] == ["alice"]
    assert [each.name for each in tmp_path.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize("content", ["secret", "[]", '{"tokens": [{"name": "a"}]}', '{"other": 1}', "[" * 5000, "\xff"])
def test_a_file_that_holds_something_else_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match=r"tokens\.json cannot be used: it is not a file of tokens") as caught:
        TokenFile(path).read()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tokens.json"
    given_out(path, "alice")
    path.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        TokenFile(path).read()


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"):
        given_out(tmp_path / "file" / "tokens.json", "alice")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SettingsError, match="cannot be used"):
        TokenFile(tmp_path / "folder").read()
