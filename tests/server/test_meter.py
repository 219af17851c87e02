from __future__ import annotations

import pytest

from livethread_server.meter import meter, say


def test_lines_come_at_the_beginning_and_at_every_quarter(capfd: pytest.CaptureFixture[str]) -> None:
    with meter("Fetching [tiny] 1.0") as shown:
        for done in range(0, 4_000_001, 100_000):
            shown(done, 4_000_000)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Fetching [tiny] 1.0 …",
        *(f"Fetching [tiny] 1.0: {percent} % of 4 MB" for percent in (25, 50, 75, 100)),
    ]


def test_a_total_that_nobody_knows_is_no_line(capfd: pytest.CaptureFixture[str]) -> None:
    with meter("Fetching") as shown:
        shown(1000, 0)
    assert capfd.readouterr().err == "Fetching …\n"


def test_people_who_watch_see_a_bar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the stream for a terminal then
    with meter("Fetching") as shown:
        shown(500_000, 1_000_000)
        shown(1_000_000, 1_000_000)
    err = capfd.readouterr().err
    assert "━" in err
    assert "1.0/1.0 MB" in err


def test_a_line_is_not_cut_and_not_marked_up(capfd: pytest.CaptureFixture[str]) -> None:
    say(f"[bold]{300 * 'x'}")
    assert capfd.readouterr().err == f"[bold]{300 * 'x'}\n"
