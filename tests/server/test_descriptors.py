from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from livethread_server.descriptors import SPARE, room_for

TRIAL = """
import resource, sys
from livethread_server.descriptors import room_for
soft, hard, sockets = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for(sockets), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "sockets", "fitting", "after"),
    [
        (256, 4096, 1000, 1000, 1000 + SPARE),
        (3000, 4096, 1000, 1000, 3000),
        (256, 1024, 1000, 1024 - SPARE, 1024),
    ],
    ids=["raised", "enough", "too few"],
)
def test_the_soft_limit_is_raised_as_far_as_need_be_and_may_be(
    soft: int, hard: int, sockets: int, fitting: int, after: int
) -> None:
    command = [sys.executable, "-c", TRIAL, str(soft), str(hard), str(sockets)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(fitting), str(after)]


def test_what_fits_already_changes_nothing() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert room_for(1) == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
