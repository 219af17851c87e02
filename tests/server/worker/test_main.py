from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from livethread_server.engine.packing import pack, unpack_up
from livethread_server.engine.wire import Configure, Failed, Ready
from livethread_server.worker.llama import Model, loaded, quiet
from livethread_server.worker.main import _context, _vectors
from tests.tiny_gemma import tiny_gemma

COMMAND = [sys.executable, "-m", "livethread_server.worker.main"]


def configure(model_path: Path, **fields: Any) -> bytes:
    return pack(Configure(model_path=str(model_path), context=64, sequences=2, extra_bufts=False, **fields))


def test_it_ends_when_its_input_does() -> None:
    ended = subprocess.run(COMMAND, input=b"", capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_it_says_what_it_has_loaded_quietly_and_ends_with_its_input(model_path: Path) -> None:
    ended = subprocess.run(COMMAND, input=configure(model_path, task_sequences=3), capture_output=True, check=True)
    (ready,) = unpack_up().feed(ended.stdout)
    assert isinstance(ready, Ready)
    assert (ready.context, ready.sequences, ready.cells, ready.cuttable) == (64, 2, 128, True)
    assert ready.task_sequences == 3
    assert b"llama_model_loader: loaded" not in ended.stderr


def test_it_has_looked_at_its_caches_before_it_says_that_it_is_ready(model_path: Path, tmp_path: Path) -> None:
    chunks = tmp_path / "chunks"
    chunks.mkdir()
    for number in range(500):
        (chunks / f"{number:032x}").write_bytes(b"no chunk")
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as worker:
        assert worker.stdin
        assert worker.stdout
        worker.stdin.write(configure(model_path, cache_dir=str(tmp_path), disk_bytes=1 << 20))
        worker.stdin.flush()
        worker.stdout.read(1)
        left = list(chunks.iterdir())
        worker.communicate()
    assert left == []


def test_it_says_why_it_cannot_load(tmp_path: Path) -> None:
    ended = subprocess.run(COMMAND, input=configure(tmp_path / "no"), capture_output=True, check=False)
    assert ended.returncode == 1
    (failed,) = unpack_up().feed(ended.stdout)
    assert failed == Failed(f"There is no model file at {tmp_path / 'no'}. Check the path.")


def test_a_model_without_kv_reads_whole_texts_for_vectors_whatever_its_file_says(tmp_path: Path) -> None:
    (tmp_path / "gemma.gguf").write_bytes(tiny_gemma())
    asked = Configure(model_path=str(tmp_path / "gemma.gguf"), context=400, sequences=1, threads=1)
    quiet()
    model = Model(asked.model_path, extra_bufts=False)
    with loaded(model, _context(model, asked)) as context:
        vectors = _vectors(context, asked)
        assert (model.causal, context.remembers, vectors.whole, vectors.most) == (True, False, True, 400)
        vectors.close()
