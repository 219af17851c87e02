from __future__ import annotations

import pytest

from livethread.model import MESSAGE_BYTES
from livethread_server.settings import SettingsError, byte_size, is_loopback
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
