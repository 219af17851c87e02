"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from livethread_server.models import DEFAULT_MODEL, default_models_dir, locate
from tests.minilm import minilm_in
from tests.postgres import PostgresServer, postgres_server
from tests.serving import ServerProcess

# OpenMP's waiting OS threads spin; with several engines on few cores they would eat each other's time.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


@pytest.fixture(scope="session")
def model_path() -> Path:
    """The real model's file, fetched into the user's models folder where it is missing."""
    return locate(DEFAULT_MODEL, default_models_dir()).path


@pytest.fixture(scope="session")
def gemma_path() -> Path:
    """A real model whose memory cannot be cut, fetched into the user's models folder where it is missing."""
    return locate("gemma-3-270m", default_models_dir()).path


@pytest.fixture(scope="session")
def encoder_path() -> Path:
    """A real model that turns texts into vectors, made in the user's models folder where it is missing."""
    return minilm_in(default_models_dir())


@pytest.fixture(scope="session")
def reranker_path() -> Path:
    """The same with a head that ranks."""
    return minilm_in(default_models_dir(), ranks=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL server. It fails, with what to install, where there is none."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The URL of an empty database."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="module")
def live_server(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A running server with the real model, shared by the tests of one file."""
    server = ServerProcess(tmp_path_factory.mktemp("server"), model_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server(live_server: ServerProcess) -> ServerProcess:
    """The same server under the name that browser tests use."""
    return live_server
