from __future__ import annotations

import msgspec
import pytest

from livethread.errors import CommandError, ErrorCode
from tests.house import READY, House


def test_what_the_model_can_do_is_what_the_engine_said_of_it(house: House) -> None:
    able = house.shop.abilities()
    assert (able.model, able.generates, able.infills, able.ranks) == ("smol", True, False, False)
    assert (able.dimensions, able.context, able.embed_tokens) == (4, 2048, 2048)
    house.engine.ready = msgspec.structs.replace(READY, task_sequences=0)
    assert not house.shop.abilities().generates


def test_it_is_remembered_while_the_engine_is_away(house: House) -> None:
    house.engine.ready = None
    with pytest.raises(CommandError) as caught:
        house.shop.abilities()
    assert caught.value.code is ErrorCode.MODEL_LOADING
    house.engine.ready = READY
    house.shop.abilities()
    house.engine.ready = None
    assert house.shop.abilities().generates


@pytest.mark.parametrize(("trained", "used"), [("none", "mean"), ("mean", "mean"), ("cls", "cls"), ("rank", "mean")])
def test_vectors_are_pooled_as_trained_else_by_mean(house: House, trained: str, used: str) -> None:
    house.engine.ready = msgspec.structs.replace(READY, pooling=trained)
    house.shop.abilities()
    assert house.shop.pooling == used
