"""The model that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from livethread_server.worker.llama import Model, quiet


@pytest.fixture(scope="module")
def model(model_path: Path) -> Iterator[Model]:
    quiet()
    model = Model(str(model_path), extra_bufts=False)
    yield model
    model.close()
