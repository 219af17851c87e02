"""A real model's engine with runs of tasks beside threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from livethread_server.engine.wire import CancelRun, Configure, Output
from livethread_server.worker import canary, entrance
from livethread_server.worker.cache import RESERVED, SIDE_WORTH
from livethread_server.worker.llama import Context, Model, loaded, quiet
from livethread_server.worker.scheduler import Costs
from tests.driven import Driven, reused, sources, tokens_of, words

LENGTH, THREADS, TASKS = 256, 2, 3
END = 2

Start = Callable[[Costs], Driven]


@pytest.fixture(scope="module")
def shared(model_path: Path) -> Iterator[tuple[Context, Costs]]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    with loaded(model, Context(model, length=LENGTH, sequences=THREADS + TASKS, threads=2)) as context:
        yield context, canary.prove(context)


class Cheap(Costs):
    """Each prompt token costs two milliseconds, whatever it took."""

    def of_token(self, depth: int) -> float:
        return 2.0


class Between(Cheap):
    """Has something come behind a prompt's chunk, after it ``waits`` for so many others."""

    def __init__(self, come: Callable[[], None], waits: int = 0) -> None:
        super().__init__()
        self._come = come
        self._waits = waits

    def saw_chunk(self, count: int, depth: int, ms: float) -> None:
        if self._waits == 0:
            self._come()
        self._waits -= 1


@pytest.fixture
def start(shared: tuple[Context, Costs], tmp_path: Path) -> Iterator[Start]:
    for sequence in range(THREADS + TASKS):
        shared[0].drop(sequence)
    started: list[Driven] = []
    configure = Configure(
        model_path=__file__,
        context=LENGTH,
        sequences=THREADS,
        task_sequences=TASKS,
        ram_dir=str(tmp_path / "ram"),
        ram_bytes=1 << 30,
    )

    def start(costs: Costs) -> Driven:
        started.append(Driven(shared[0], costs, configure))
        return started[-1]

    yield start
    for driven in started:
        driven.tiers.files.close()


@pytest.fixture
def driven(shared: tuple[Context, Costs], start: Start) -> Driven:
    return start(shared[1])


def computed(output: Output) -> int:
    assert output.started is not None
    return output.started.prompt - output.started.reused


def test_a_flood_of_tasks_takes_nothing_from_a_thread_nor_makes_it_wait(driven: Driven) -> None:
    first = driven.ask("r1", words(1), "t", max_tokens=3)
    for number in range(4):
        driven.submit(f"task{number}", words(10 + number, 100), f"~{number}", max_tokens=2)
    driven.step()
    driven.submit("r2", words(1) + tokens_of(first) + words(2, 5), "t", max_tokens=3)
    most = 0
    while not (driven.said.get("r2") and driven.said["r2"].finished):
        driven.step()
        most = max(most, driven.tiers.residencies.stats()["tasks"]["running"])
    assert most == TASKS
    assert sum(bool(said.finished) for run, said in driven.said.items() if run.startswith("task")) < 4
    driven.finish(*(f"task{number}" for number in range(4)))
    assert reused(driven.said["r2"]) == 52
    assert {moved.residency for moved in driven.moved} == {"live"}
    assert {moved.thread for moved in driven.moved} == {"t"}


def test_stateless_chats_that_take_turns_are_served_from_the_cache(driven: Driven) -> None:
    histories = {number: words(20 + number, 40) for number in range(3 * TASKS)}
    for turn in range(2):
        for number, history in histories.items():
            output = driven.ask(f"r{turn}.{number}", history, f"~{turn}.{number}", max_tokens=3)
            if turn > 0:
                assert computed(output) <= 10 + SIDE_WORTH
            histories[number] = history + tokens_of(output) + words(100 + number, 10)
    stats = driven.stats()
    assert stats["tasks"]["sequences"] == TASKS
    assert stats["tasks"]["kept"] <= 3 * TASKS
    assert stats["tasks"]["prompts"]["ram"] > 0
    assert stats["threads"] == {"live": 0, "ram": 0, "disk": 0}


def test_a_chat_that_resends_its_history_goes_on_where_it_is(driven: Driven) -> None:
    first = driven.ask("r1", words(1), "~1", max_tokens=3)
    second = driven.ask("r2", words(1) + tokens_of(first) + words(2, 5), "~2", max_tokens=3)
    assert sources(second) == (52, 0, 0)
    assert driven.stats()["tasks"]["sequences"] == 1


def test_threads_and_tasks_of_a_tenant_copy_from_each_other(driven: Driven) -> None:
    driven.ask("r1", words(1), "t", max_tokens=1)
    assert reused(driven.ask("r2", words(1) + words(2, 5), "~1", max_tokens=1)) == 50
    driven.ask("r3", words(3), "~2", max_tokens=1)
    assert reused(driven.ask("r4", words(3) + words(4, 5), "u", max_tokens=1)) == 50
    assert reused(driven.ask("r5", words(3) + words(4, 5), "~3", max_tokens=1, tenant="y")) == 0


def test_choices_of_one_task_read_their_prompt_once(driven: Driven) -> None:
    for number in range(TASKS):
        driven.submit(f"c{number}", words(5, 30), "~1", temperature=1.0, seed=number, max_tokens=4)
    first, *others = driven.finish(*(f"c{number}" for number in range(TASKS)))
    assert computed(first) == 30
    assert all(computed(other) <= RESERVED for other in others)


def test_forced_tokens_are_taken_and_told_whatever_is_likely(driven: Driven) -> None:
    forced = (500, END, 501, 502)
    fields = {"forced": forced, "logprobs": 1, "stop": ("a", "e"), "max_tokens": 1}
    output = driven.ask("r1", words(1), "~1", **fields)
    assert output.delta is not None
    assert output.delta.tokens == forced
    assert len(output.delta.logprobs) == 4
    assert output.finished is not None
    assert (output.finished.reason, output.finished.completion) == ("length", 4)
    rest = driven.ask("r2", words(1), "~2", generated=forced[:2], said=len(output.delta.text), **fields)
    assert rest.delta is not None
    assert rest.delta.tokens == forced[2:]
    assert rest.delta.logprobs == pytest.approx(output.delta.logprobs[2:])


def test_forced_tokens_outside_the_vocabulary_or_the_context_are_refused(driven: Driven) -> None:
    for forced in ((1 << 20,), words(2, LENGTH - 49)):
        output = driven.ask("r" + str(len(forced)), words(1), "~1", forced=forced)
        assert output.finished is not None
        assert output.finished.reason == "error"
        assert output.delta is None


def test_a_cancelled_task_frees_its_sequence_within_one_step(driven: Driven) -> None:
    for number in range(TASKS + 1):
        driven.submit(f"r{number}", words(1 + number, 60), f"~{number}", max_tokens=1000)
    driven.step()
    assert driven.stats()["tasks"]["running"] == TASKS
    driven.step(*(CancelRun(f"r{number}") for number in range(TASKS)))
    assert all(driven.said[f"r{number}"].finished for number in range(TASKS))
    assert driven.tiers.residencies.stats()["tasks"]["running"] == 0
    driven.step(CancelRun(f"r{TASKS}"))
    assert driven.tiers.residencies.stats()["tasks"]["running"] == 0


def test_a_threads_first_token_is_told_before_tasks_prompts_are_read_on(start: Start) -> None:
    driven = start(Cheap())
    driven.submit("r1", words(1, 250), "~1", max_tokens=1)
    driven.step()
    driven.submit("r2", words(2, 4), "t", max_tokens=1)
    driven.step()
    assert driven.said["r2"].finished
    assert driven.progress["r1"] == 2
    assert driven.steps == 1 + 2


def test_a_threads_run_that_comes_between_tasks_prompts_waits_for_none_of_the_rest(start: Start) -> None:
    beside = start(Between(lambda: beside.submit("r", words(9, 20), "t", max_tokens=1)))
    for number in range(TASKS):
        beside.submit(f"r{number}", words(1 + number, 100), f"~{number}", max_tokens=1)
    beside.step()
    assert beside.said["r0"].finished
    assert "r1" not in beside.said or beside.said["r1"].finished is None
    beside.step()
    assert beside.said["r"].finished
    beside.finish("r1")


def test_tasks_cancelled_between_prompts_are_neither_read_nor_decoded_any_more(start: Start) -> None:
    beside = start(Between(lambda: beside.inbox.commands.extend((CancelRun("r0"), CancelRun("r2"))), waits=1))
    for number in range(TASKS):
        beside.submit(f"r{number}", words(1 + number, 60), f"~{number}", max_tokens=50)
        if number == 0:
            beside.step()
    beside.step()
    for run, drawn in (("r0", 1), ("r2", 0)):
        finished = beside.said[run].finished
        assert finished is not None
        assert (finished.reason, finished.completion) == ("cancelled", drawn)
    beside.finish("r1")


@pytest.mark.parametrize(("moved", "begun"), [(entrance.MOVED, TASKS), (50, 1)])
def test_new_runs_wait_where_enough_kv_was_moved_for_one_step(
    driven: Driven, monkeypatch: pytest.MonkeyPatch, moved: int, begun: int
) -> None:
    monkeypatch.setattr(entrance, "MOVED", moved)
    driven.ask("r", words(1), "t", max_tokens=1)
    for number in range(TASKS):
        driven.submit(f"r{number}", words(1) + words(2 + number, 5), f"~{number}", max_tokens=2)
    driven.step()
    runs = [f"r{number}" for number in range(TASKS)]
    assert sum(run in driven.said for run in runs) == begun
    driven.finish(*runs)
