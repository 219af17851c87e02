from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from livethread_server.logs import LogFormat, bound, configure


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(form: LogFormat, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure(level, form, stream)
    return stream


def test_a_line_of_json_holds_what_is_bound_around_it() -> None:
    stream = lines("json")
    with bound(session="s_1", thread="t"):
        logging.getLogger("livethread_server.runs").info("run %s ended", "r_1")
    logging.getLogger("livethread_server.runs").info("nothing around")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["event"] == "run r_1 ended"
    assert (first["session"], first["thread"], first["level"]) == ("s_1", "t", "info")
    assert first["logger"] == "livethread_server.runs"
    assert first["timestamp"].endswith("Z")
    assert "session" not in second


def test_a_line_of_text_can_be_read_by_people() -> None:
    stream = lines("text")
    with bound(run="r_1"):
        logging.getLogger("livethread_server").warning("it went wrong")
    line = stream.getvalue()
    assert "warning" in line
    assert "it went wrong" in line
    assert "run=r_1" in line
    assert "\x1b" not in line


def test_an_exception_is_written_in_one_line_of_json() -> None:
    stream = lines("json")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("livethread_server").exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: broken" in json.loads(line)["exception"]


def test_what_is_below_the_level_is_left_out() -> None:
    stream = lines("json", "warning")
    logging.getLogger("livethread_server").info("detail")
    assert stream.getvalue() == ""


async def test_a_task_takes_over_what_was_bound_where_it_began() -> None:
    stream = lines("json")

    async def work() -> None:
        await asyncio.sleep(0)
        logging.getLogger("livethread_server").info("working")

    with bound(session="s_1"):
        task = asyncio.create_task(work())
    await task
    assert json.loads(stream.getvalue())["session"] == "s_1"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_shows_no_value_of_a_local_name(form: LogFormat) -> None:
    def failing(token: str) -> None:
        raise ValueError(f"{len(token)} characters are too many")

    stream = lines(form)
    secret = "-".join(["lt", "secret"])
    try:
        failing(secret)
    except ValueError:
        logging.getLogger("livethread_server").exception("it failed")
    assert "ValueError: 9 characters" in stream.getvalue()
    assert secret not in stream.getvalue()
