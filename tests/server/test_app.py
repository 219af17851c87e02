from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from livethread_server.app import App, open_store, webclient_folder
from livethread_server.models import ModelFile
from livethread_server.store.base import Unusable
from livethread_server.store.memory import MemoryStore
from livethread_server.store.sql import SqlStore
from livethread_server.tiers import Tiers
from livethread_server.vocabulary import Vocabulary
from tests.fakes import settings


@pytest.fixture
async def app(model_path: Path, tmp_path: Path) -> AsyncIterator[App]:
    """An app that was built, not started."""
    vocabulary = Vocabulary.load(model_path)
    yield App(settings(state_dir=tmp_path), ModelFile("smol", model_path), vocabulary, Tiers())
    vocabulary.close()


def test_the_store_is_the_one_the_settings_name(tmp_path: Path) -> None:
    assert isinstance(open_store(settings(store="memory")), MemoryStore)
    assert isinstance(open_store(settings(store="sqlite", state_dir=tmp_path)), SqlStore)
    with pytest.raises(Unusable):
        open_store(settings(store="mysql://somewhere"))


def test_the_web_clients_folder_has_an_index_or_is_none() -> None:
    folder = webclient_folder()
    assert folder is None or (folder / "index.html").is_file()


async def test_every_answer_passes_access_control_and_health_says_that_the_model_is_loading(app: App) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app.asgi), base_url="http://localhost:8000") as web:
        health = await web.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "model_loading")
        assert "default-src 'none'" in health.headers["content-security-policy"]
        assert (await web.get("/health", headers={"host": "evil.example"})).status_code == 403
        assert (await web.get("/health", headers={"origin": "http://evil.example"})).status_code == 403


async def test_an_app_that_never_started_can_be_stopped(model_path: Path, tmp_path: Path) -> None:
    app = App(settings(state_dir=tmp_path), ModelFile("smol", model_path), Vocabulary.load(model_path), Tiers())
    await app.stop()
