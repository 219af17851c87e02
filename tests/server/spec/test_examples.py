from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from livethread_server.http.api import api_operations
from livethread_server.http.openai.door import OpenAiDoor
from livethread_server.http.operation import Operation
from livethread_server.spec.examples import EXAMPLES
from livethread_server.spec_cli import Undone


@pytest.fixture(scope="module")
def operations() -> dict[str, Operation]:
    undone = cast(Any, Undone())
    return {one.id: one for one in [*api_operations(undone), *OpenAiDoor(undone, undone, undone, "1").operations()]}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_example_is_what_its_operation_takes(name: str, operations: dict[str, Operation]) -> None:
    assert msgspec.convert(EXAMPLES[name], operations[name].body) is not None
