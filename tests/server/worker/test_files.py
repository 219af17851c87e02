from __future__ import annotations

import threading

from livethread_server.worker.files import Files


def test_what_comes_of_jobs_is_told_where_it_is_collected() -> None:
    woken = threading.Event()
    files = Files(woken.set)
    told: list[object] = []
    files.read(threading.get_ident, told.append)
    files.write(lambda: 1 / 0, told.append)
    assert files.busy
    assert files.settle(10)
    assert woken.wait(10)
    assert not files.busy
    numbers = [each for each in told if isinstance(each, int)]
    assert numbers != [threading.get_ident()]
    assert any(isinstance(each, ZeroDivisionError) for each in told)
    files.close()


def test_writing_keeps_its_order() -> None:
    files = Files(lambda: None)
    done: list[int] = []
    for number in range(100):
        files.write(lambda number=number: done.append(number), lambda _: None)  # type: ignore[misc]
    assert files.settle(10)
    assert done == list(range(100))
    files.close()


def test_settling_gives_up_when_the_time_is_over() -> None:
    files = Files(lambda: None)
    go = threading.Event()
    files.write(go.wait, lambda _: None)
    assert not files.settle(0.01)
    go.set()
    assert files.settle(10)
    files.collect()
    files.close()
