from __future__ import annotations

import pytest

from livethread_server.settings import SettingsError, is_loopback
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
