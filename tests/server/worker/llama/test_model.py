from __future__ import annotations

from pathlib import Path

import pytest

from livethread_server.worker.llama import LoadFailed, Model, quiet


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"no model file at .*nothing\.gguf"):
        Model(str(tmp_path / "nothing.gguf"))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    quiet()
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(LoadFailed, match="cannot load"):
        Model(str(path))


def test_the_model_describes_itself(model: Model) -> None:
    assert model.description
    assert model.vocabulary > 1000
    assert model.trained_context > 256
    assert model.cuttable


def test_end_tokens_have_no_text_and_others_have_their_bytes(model: Model) -> None:
    ends = [token for token in range(100) if model.is_end(token)]
    assert ends
    assert all(model.piece(token) == b"" for token in ends)
    assert any(model.piece(token) for token in range(300, 310))
    assert model.piece(300) == model.piece(300)
