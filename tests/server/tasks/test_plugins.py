from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from livethread.model import Principal
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.tasks.kind_list import Kinds, KindsCollide
from livethread_server.tasks.kinds.builtin import builtin_kinds
from livethread_server.tasks.kinds.tokens import Tokenize
from livethread_server.tasks.plugins import GROUP, PluginBroken, installed_kinds
from livethread_server.vocabulary import Vocabulary
from tests.answering import answering
from tests.house import House, closing
from tests.plugin import EXAMPLE, installed

NOTHING = 1
HERE = "tests.server.tasks.test_plugins"


@pytest.fixture
def example(tmp_path: Path) -> Iterator[None]:
    """The example of the documents, installed."""
    folder = installed(EXAMPLE, tmp_path)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop("livethread_keywords", None)


class Loose(Struct, frozen=True):
    """Takes whatever is sent."""


class Kind:
    """A kind with nothing wrong."""

    name = "good"
    summary: Any = "Be good."
    Input: Any = Tokenize.Input
    Result: Any = Tokenize.Result
    refusal: Any = Tokenize.refusal
    run: Any = Tokenize.run


class Misnamed(Kind):
    name = "Not Good"


class Silent(Kind):
    summary = None


class Untyped(Kind):
    Input = dict


class TakesAll(Kind):
    Input = Loose


class Idle(Kind):
    run = None


class Dying(Kind):
    def __init__(self) -> None:
        raise ValueError("no licence")


def point(name: str) -> EntryPoint:
    return EntryPoint("some", f"{HERE}:{name}", GROUP)


def test_a_kind_may_be_a_class_or_an_object() -> None:
    (kind,) = installed_kinds([point("Kind")])
    assert isinstance(kind, Kind)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Misnamed", "its name 'Not Good'"),
        ("Silent", "no summary"),
        ("Untyped", "its Input is not a msgspec.Struct"),
        ("TakesAll", "unknown fields"),
        ("Idle", "no method 'run'"),
        ("Dying", "ValueError: no licence"),
        ("NOTHING", "its name None"),
        ("Missing", "cannot be loaded"),
    ],
)
def test_a_broken_one_keeps_the_server_from_starting_and_says_whose_it_is(name: str, why: str) -> None:
    with pytest.raises(PluginBroken) as caught:
        installed_kinds([point(name)])
    sentence = str(caught.value)
    assert f"{HERE}:{name}" in sentence
    assert why in sentence
    assert sentence.endswith("Mend or uninstall the package.")


def test_the_sentence_names_the_package(example: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "livethread_keywords", None)
    with pytest.raises(PluginBroken, match="package 'livethread-keywords'"):
        installed_kinds()


def test_names_may_not_collide() -> None:
    with pytest.raises(KindsCollide, match="two kinds of task called 'tokenize'"):
        Kinds((*builtin_kinds(), Tokenize()))


def test_the_example_is_installed_as_its_project_says(example: None) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    found: list[Distribution] = [one for one in distributions() if one.name == project["name"]]
    (entry,) = found[0].entry_points
    assert {entry.name: entry.value} == project["entry-points"][GROUP]


async def test_the_example_is_a_kind_like_any_other(example: None, vocabulary: Vocabulary, model_path: Path) -> None:
    async for house in closing(House(MemoryStore(), vocabulary, GrammarCheck(model_path), kinds=installed_kinds())):
        async with answering(house.engine):
            asked = {"content": "The harbour was quiet, and the harbour master slept.", "top_n": 3}
            live = await house.tasks.create(Principal("alice", "Alice"), "keywords", asked)
            task = await live.ended()
        assert task.state == "done"
        assert len(task.result.keywords) == 3
        scores = [one.score for one in task.result.keywords]
        assert scores == sorted(scores, reverse=True)
        assert {submit.side for submit in house.engine.submitted.values()} == {True}
