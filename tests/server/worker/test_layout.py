from __future__ import annotations

from livethread_server.engine.wire import Configure
from livethread_server.worker.layout import Layout, choose

PLAIN = Configure(model_path="m", context=64, sequences=2)


def test_a_cpu_gets_cells_for_each_sequence_and_no_flash_attention() -> None:
    assert choose(PLAIN, gpu=False) == Layout(split=True, flash_attention=False)


def test_a_gpu_gets_one_pool_of_cells_with_flash_attention() -> None:
    assert choose(PLAIN, gpu=True) == Layout(split=False, flash_attention=True)


def test_what_was_said_holds_everywhere() -> None:
    said = Configure(model_path="m", context=64, sequences=2, layout="unified", flash_attention=False)
    assert choose(said, gpu=False) == choose(said, gpu=True) == Layout(split=False, flash_attention=False)
    said = Configure(model_path="m", context=64, sequences=2, layout="split", flash_attention=True)
    assert choose(said, gpu=True) == Layout(split=True, flash_attention=True)
