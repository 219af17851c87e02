from __future__ import annotations

from pathlib import Path

import pytest

from livethread_server.settings import SettingsError
from livethread_server.state_folder import InUse, state_folder


def test_who_comes_second_hears_where_the_first_listens(tmp_path: Path) -> None:
    with state_folder(tmp_path / "state", "127.0.0.1:8000"):
        for _ in range(2):  # asking does not wipe out the answer
            with pytest.raises(InUse) as caught, state_folder(tmp_path / "state", "127.0.0.1:1"):
                pass
            assert caught.value.address == "127.0.0.1:8000"
            assert "Stop it" in str(caught.value)
    with state_folder(tmp_path / "state"), pytest.raises(InUse) as caught, state_folder(tmp_path / "state"):
        pass
    assert caught.value.address == ""


def test_the_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    with state_folder(tmp_path / "a" / "state"):
        assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="cannot be used"), state_folder(tmp_path / "file" / "state"):
        pass
