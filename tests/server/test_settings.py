from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from livethread.model import MESSAGE_BYTES
from livethread_server.settings import AuthMode, SettingsError, byte_size, is_loopback, names_of
from tests.fakes import settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_loopback_addresses_may_be_listened_on(host: str) -> None:
    assert is_loopback(host)
    settings(host=host).check()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org", "", "localhost.evil"])
def test_any_other_host_is_refused_with_its_name_and_a_remedy(host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(host=host).check()
    assert f"--host {host} " in str(caught.value)
    assert "Use 127.0.0.1" in str(caught.value)


@pytest.mark.parametrize("auth", ["token", "jwt"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_with_authentication_any_address_may_be_listened_on(auth: AuthMode, host: str) -> None:
    settings(host=host, auth=auth, jwt_key=Path("key")).check()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", ""])
def test_listening_everywhere_is_no_name_to_be_called_by(host: str) -> None:
    everywhere = settings(host=host, auth="token", allow_hosts=("chat.lan",))
    assert everywhere.hosts == ("127.0.0.1", "localhost", "[::1]", "chat.lan")
    assert [settings(host=host, auth="token").is_nameless, everywhere.is_nameless] == [True, False]
    assert everywhere.address in ("127.0.0.1:8000", "[::1]:8000")
    assert not [origin for origin in everywhere.origins if "0.0.0.0" in origin or "[::]" in origin]
    assert settings(host="10.0.0.5", auth="token").hosts[-1] == "10.0.0.5"
    assert not settings(host="10.0.0.5", auth="token").is_nameless


@pytest.mark.parametrize("keys", [{}, {"jwt_key": Path("key"), "jwt_jwks": "keys.json"}])
def test_jwts_need_one_place_that_keys_come_from(keys: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="either --jwt-key FILE or --jwt-jwks"):
        settings(auth="jwt", **keys).check()


def test_pages_that_hide_where_they_are_from_are_not_let_in() -> None:
    with pytest.raises(SettingsError, match="--allow-origin null"):
        settings(allow_origins=("null",)).check()


def test_names_with_commas_are_known_ones() -> None:
    assert names_of("--flag", "a, b", ("a", "b", "c")) == ("a", "b")
    for text in ("", "a,", "a;b", "none"):
        with pytest.raises(SettingsError, match="--flag does not know"):
            names_of("--flag", text, ("a", "b"))


def test_hosts_and_origins_are_ours_and_those_allowed() -> None:
    ours = settings(host="::1", allow_hosts=("chat.lan",), allow_origins=("https://chat.lan",))
    assert ours.hosts == ("127.0.0.1", "localhost", "[::1]", "[::1]", "chat.lan")
    assert ours.origins == (
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "http://localhost:8000",
        "https://chat.lan",
    )


def test_browsers_leave_out_the_port_of_an_origin_on_port_80() -> None:
    assert "http://localhost" in settings(port=80).origins


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000000", 1_000_000),
        ("512MiB", 512 << 20),
        ("4 GiB", 4 << 30),
        ("4gb", 4 * 10**9),
        ("1.5KiB", 1536),
        ("2TiB", 2 << 40),
        (" 7 b ", 7),
    ],
)
def test_sizes_are_bytes_with_a_unit(text: str, size: int) -> None:
    assert byte_size("--ram-cache", text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 XB", "1e9", "1GiB2", "nan", "١MiB"])
def test_what_is_no_size_is_refused_with_its_flag_and_a_remedy(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        byte_size("--disk-cache", text)
    assert str(caught.value).startswith(f"--disk-cache {text!r} is not a size.")
    assert "such as 512MiB" in str(caught.value)


def test_cells_that_hold_no_context_are_refused() -> None:
    settings(kv_cells=512).check()
    with pytest.raises(SettingsError, match="--kv-cells 511 cannot hold one context of 512"):
        settings(kv_cells=511).check()


def test_a_system_prompt_that_is_no_message_is_refused() -> None:
    with pytest.raises(SettingsError, match="--system-prompt"):
        settings(system_prompt="x" * (MESSAGE_BYTES + 1)).check()


def test_a_watchdog_that_would_bite_a_healthy_engine_is_refused() -> None:
    settings(watchdog=2, step_ms=200).check()
    with pytest.raises(SettingsError, match="--watchdog 2 s is shorter than 10 steps of --step-ms 201"):
        settings(watchdog=2, step_ms=201).check()


def test_threads_and_tasks_have_as_many_sequences_as_llama_cpp_has() -> None:
    settings(sequences=248, task_sequences=8).check()
    with pytest.raises(SettingsError, match="--sequences 249 and --task-sequences 8 are more than 256 together"):
        settings(sequences=249, task_sequences=8).check()
