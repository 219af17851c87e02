"""Fixtures of the server's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from livethread_server.auth.token_file import TokenFile
from livethread_server.auth.tokens import TokenAuth
from livethread_server.engine.grammar import GrammarCheck
from livethread_server.store.memory import MemoryStore
from livethread_server.vocabulary import Vocabulary
from tests.fakes import UnsteadyStore
from tests.house import House, closing


@pytest.fixture(scope="session")
def vocabulary(model_path: Path) -> Iterator[Vocabulary]:
    """The real model's vocabulary."""
    vocabulary = Vocabulary.load(model_path)
    yield vocabulary
    vocabulary.close()


@pytest.fixture
def unsteady() -> UnsteadyStore:
    """The store of `unsteady_house`."""
    return UnsteadyStore()


@pytest.fixture
async def unsteady_house(vocabulary: Vocabulary, model_path: Path, unsteady: UnsteadyStore) -> AsyncIterator[House]:
    """A house over a store that fails when the test says so."""
    async for house in closing(House(unsteady, vocabulary, GrammarCheck(model_path))):
        yield house


@pytest.fixture
async def house(vocabulary: Vocabulary, model_path: Path) -> AsyncIterator[House]:
    """A service over memory, with an engine whose words the test gives."""
    grammars = GrammarCheck(model_path)
    async for house in closing(House(MemoryStore(), vocabulary, grammars)):
        yield house
    await grammars.stop()


@pytest.fixture
async def guarded(vocabulary: Vocabulary, model_path: Path, tmp_path: Path) -> AsyncIterator[House]:
    """A house that only those come into who bring a token of ``tokens.json``."""
    grammars = GrammarCheck(model_path)
    auth = TokenAuth(TokenFile(tmp_path / "tokens.json"))
    async for house in closing(House(MemoryStore(), vocabulary, grammars, auth=auth)):
        yield house
    await grammars.stop()
