from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from livethread.model import Sampling
from livethread_server.engine.wire import Configure, Submit
from livethread_server.worker.archive import Archive
from livethread_server.worker.chunk import Namer, scope_of
from livethread_server.worker.entrance import Entrance
from livethread_server.worker.files import Files
from livethread_server.worker.llama import Context, Model, loaded, quiet
from livethread_server.worker.residency import Residencies, packed
from livethread_server.worker.restore import Fetch, Restores
from livethread_server.worker.sequence import run_of
from livethread_server.worker.slots import Slots
from livethread_server.worker.tiers import Tiers
from tests.cells import SHAPE, Cells

LENGTH, SEQUENCES = 64, 2


@pytest.fixture(scope="module")
def context(model_path: Path) -> Iterator[Context]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    with loaded(model, Context(model, length=LENGTH, sequences=SEQUENCES)) as context:
        yield context


@pytest.fixture
def tiers(context: Context) -> Iterator[Tiers]:
    tiers = Tiers(context, Configure(model_path=__file__, context=LENGTH, sequences=SEQUENCES))
    yield tiers
    for slot in tiers.residencies.slots.running():
        run_of(slot).sampler.close()
    tiers.files.close()


@pytest.fixture
def slots(tiers: Tiers) -> Slots:
    return tiers.residencies.slots


@pytest.fixture
def entrance(context: Context, tiers: Tiers) -> Entrance:
    return Entrance(context, tiers)


def submit(run: str, tokens: tuple[int, ...] = (300, 301, 302), **fields: Any) -> Submit:
    return Submit(run=run, thread=run, tenant="x", tokens=tokens, sampling=Sampling(), **fields)


def inside(slots: Slots) -> list[str]:
    return [run_of(slot).submit.run for slot in slots.running()]


def test_runs_get_sequences_in_order_as_long_as_there_are_any(entrance: Entrance, slots: Slots) -> None:
    assert entrance.empty
    for run in "abc":
        entrance.ask(0.0, submit(run), None)
    assert entrance.ready
    entrance.admit()
    assert sorted(inside(slots)) == ["a", "b"]
    assert not entrance.empty


def test_a_run_begins_with_its_prompt_and_not_with_what_it_generated(entrance: Entrance, slots: Slots) -> None:
    entrance.ask(0.0, submit("a", generated=(303, 304)), None)
    entrance.admit()
    (slot,) = slots.running()
    assert slot.tokens == [300, 301, 302]
    assert run_of(slot).known == 303


@pytest.mark.parametrize(("cuttable", "same", "waits"), [(True, 30, True), (False, 40, True), (False, 30, False)])
def test_where_memory_cannot_be_cut_only_a_prompt_that_is_the_same_is_waited_for(
    context: Context, monkeypatch: pytest.MonkeyPatch, cuttable: bool, same: int, waits: bool
) -> None:
    monkeypatch.setattr(Model, "cuttable", cuttable)
    tiers = Tiers(context, Configure(model_path=__file__, context=LENGTH, sequences=0, task_sequences=SEQUENCES))
    entrance, slots = Entrance(context, tiers), tiers.residencies.slots
    prompts = {"a": tuple(range(300, 340)), "b": (*range(300, 300 + same), *range(400, 440 - same))}
    for run, tokens in prompts.items():
        asked = Submit(run=run, thread="~1", tenant="x", tokens=tokens, sampling=Sampling(), side=True)
        entrance.ask(0.0, asked, None)
    entrance.admit()
    assert inside(slots) == (["a"] if waits else ["a", "b"])
    for slot in slots.running():
        run_of(slot).sampler.close()
    tiers.files.close()


def test_a_run_that_waits_can_be_withdrawn(entrance: Entrance, slots: Slots) -> None:
    entrance.ask(0.0, submit("a"), None)
    entrance.withdraw("a")
    entrance.withdraw("nobody")
    (output,) = entrance.refused()
    assert output.finished is not None
    assert (output.run, output.finished.reason) == ("a", "cancelled")
    assert entrance.refused() == []
    entrance.admit()
    assert inside(slots) == []


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"tokens": ()}, "has 0 tokens"),
        ({"generated": tuple(range(300, 300 + LENGTH))}, f"has {LENGTH + 3} tokens"),
        ({"generated": (1 << 30,)}, "outside the vocabulary"),
    ],
)
def test_what_cannot_be_put_into_kv_is_refused_with_a_sentence(
    entrance: Entrance, slots: Slots, fields: dict[str, Any], sentence: str
) -> None:
    entrance.ask(0.0, submit("a", **fields), None)
    entrance.admit()
    (output,) = entrance.refused()
    assert output.finished is not None
    assert output.finished.reason == "error"
    assert sentence in (output.finished.error or "")
    assert inside(slots) == []
    assert entrance.empty


@pytest.fixture
def bare() -> Iterator[Entrance]:
    """An entrance without a model, through which no run comes."""
    cells, files, namer = Cells(), Files(lambda: None), Namer(b"f" * 32, SHAPE.width)
    cells.model.vocabulary = 1000
    archive = Archive([], files, namer.fingerprint)
    residencies = Residencies(cells.context, archive, namer, SHAPE, idle_after=100.0)
    restores = Restores(archive, SHAPE, cells.streams)
    yield Entrance(cells.context, cast(Tiers, SimpleNamespace(residencies=residencies, restores=restores)))
    files.close()


def fetched(tokens: tuple[int, ...]) -> Fetch:
    """The first token's state, which was read."""
    fetch = Fetch(packed(tokens), scope_of("x"), 1)
    fetch.state = np.empty(100, np.uint8)
    return fetch


def test_what_was_read_for_a_run_that_does_not_come_in_is_given_back(bare: Entrance) -> None:
    withdrawn, refused, useless = fetched((300, 301, 302)), fetched((300, 301, 1 << 30)), fetched((400,))
    bare.ask(0.0, submit("a"), withdrawn)
    assert withdrawn.state is not None
    bare.withdraw("a")
    bare.ask(0.0, submit("b", (300, 301, 1 << 30)), refused)
    assert refused.state is not None
    bare.admit()
    bare.ask(0.0, submit("c"), useless)
    assert all(fetch.state is None for fetch in (withdrawn, refused, useless))
    assert [output.run for output in bare.refused()] == ["a", "b"]
