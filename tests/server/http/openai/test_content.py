"""What was said, of whatever shape it comes in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from livethread.errors import CommandError
from livethread_server.http.openai.content import prompts_of
from livethread_server.http.openai.requests import Prompt

ONCE = {"content": [{"type": "text", "text": "O"}, {"type": "text", "text": "nce"}]}


def prompts(given: Any) -> list[Any]:
    return list(prompts_of(msgspec.convert(given, Prompt), "prompt"))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("Once", ["Once"]),
        ([1, 2], [(1, 2)]),
        ([1, "Once"], [(1, "Once")]),
        (["Once", "Twice"], ["Once", "Twice"]),
        ([[1, 2], [3, "Once"]], [(1, 2), (3, "Once")]),
        ([[1, 2], "Once"], [(1, 2), "Once"]),
        ({"prompt_string": "Once"}, ["Once"]),
        ([[1], ONCE], [(1,), "Once"]),
    ],
)
def test_there_is_one_prompt_or_several(given: Any, found: list[Any]) -> None:
    assert prompts(given) == found


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ([], "prompt"),
        ([1, [2]], "prompt"),
        ([1, ONCE], "prompt"),
        ([{}], "prompt[0]"),
        ({"prompt_string": "a", "multimodal_data": ["b"]}, "prompt.multimodal_data"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}, "prompt.content[1].type"),
        (["a", {"content": [{"type": "text"}]}], "prompt[1].content[0].text"),
    ],
)
def test_what_is_no_prompt_is_refused_by_its_place(given: Any, name: str) -> None:
    with pytest.raises(CommandError) as caught:
        prompts(given)
    assert caught.value.details["field"] == name
