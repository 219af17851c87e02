from __future__ import annotations

from typing import Any

import pytest

from livethread.model import FRAME_BYTES
from livethread_server.bounds import Bounds
from tests.fakes import settings

NAMES = [name for name in Bounds.__struct_fields__ if name != "frame_bytes"]


@pytest.mark.parametrize("name", NAMES)
def test_every_bound_is_a_setting_with_the_same_default(name: str) -> None:
    assert getattr(settings().bounds, name) == getattr(Bounds(), name)
    changed: dict[str, Any] = {name: 1234567}
    assert getattr(settings(**changed).bounds, name) == 1234567


def test_a_frames_bound_is_the_wires() -> None:
    assert settings().bounds.frame_bytes == FRAME_BYTES
