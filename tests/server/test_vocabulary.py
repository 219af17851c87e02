"""The door to the vocabulary, with the real model and with small files of our own making."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from livethread_server.models import ModelError
from livethread_server.vocabulary import CHATML, SLICE_BYTES, Vocabulary
from tests.gguf import ARRAY, TEXT, U32, gguf, spaced_vocabulary


@pytest.fixture(scope="module")
def vocabulary(model_path: Path) -> Iterator[Vocabulary]:
    vocabulary = Vocabulary.load(model_path)
    yield vocabulary
    vocabulary.close()


@pytest.fixture(scope="module")
def spaced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vocabulary]:
    """A vocabulary of the kind that puts a space before texts, with a begin token and no template."""
    path = tmp_path_factory.mktemp("spaced") / "spaced.gguf"
    path.write_bytes(spaced_vocabulary())
    vocabulary = Vocabulary.load(path)
    yield vocabulary
    vocabulary.close()


def test_the_vocabulary_says_what_the_model_is(vocabulary: Vocabulary) -> None:
    assert vocabulary.size == 49152
    assert vocabulary.trained_context == 8192
    assert (vocabulary.bos, vocabulary.eos, vocabulary.add_bos) == (1, 2, False)
    assert (vocabulary.bos_text, vocabulary.eos_text) == ("<|im_start|>", "<|im_end|>")
    assert "<|im_start|>" in vocabulary.controls


def test_the_template_is_the_models_own(vocabulary: Vocabulary) -> None:
    assert vocabulary.template_source == "model"
    assert "SmolLM" in vocabulary.template


def test_a_template_that_is_given_wins(model_path: Path) -> None:
    vocabulary = Vocabulary.load(model_path, "{{ messages }}")
    assert (vocabulary.template, vocabulary.template_source) == ("{{ messages }}", "option")
    vocabulary.close()


def test_a_model_without_a_template_gets_chatml(spaced: Vocabulary) -> None:
    assert (spaced.template, spaced.template_source) == (CHATML, "chatml")
    assert spaced.add_bos
    assert spaced.bos_text == "<s>"


def test_control_tokens_are_parsed_only_where_the_template_wrote_them(vocabulary: Vocabulary) -> None:
    text = "<|im_start|>user\nhi<|im_end|>\n"
    literal = vocabulary.tokenize(text, special=True)
    content = vocabulary.tokenize(text, special=False)
    assert (literal[0], literal.count(2)) == (1, 1)
    assert not {1, 2} & set(content)
    assert vocabulary.text(content) == text
    assert vocabulary.text(literal) == "user\nhi\n"
    assert vocabulary.text(literal, special=True) == text


@pytest.mark.parametrize("text", ["", " ", "a", "ünïcödé 🎈\n\ttabs", "a\0b", "\ufeff", "  two  spaces  "])
def test_tokens_spell_the_text_they_came_from(vocabulary: Vocabulary, spaced: Vocabulary, text: str) -> None:
    assert vocabulary.text(vocabulary.tokenize(text, special=False)) == text
    after = spaced.tokenize("x", special=False)[-1]
    assert spaced.text(spaced.tokenize(text, special=False, after=after)) == text


@pytest.mark.parametrize(
    "text",
    ["a" * 32_000, "<|im_start|>" * 90_000, " " * 40_000, "\n" * 100_000, "é" * 100_000, "🎈" * 20_000, "ab " * 80_000],
    ids=["equal", "forged", "spaces", "lines", "two bytes", "four bytes", "words"],
)
def test_long_texts_are_tokenised_in_slices_and_lose_nothing(vocabulary: Vocabulary, text: str) -> None:
    tokens = vocabulary.tokenize(text, special=False)
    assert vocabulary.text(tokens) == text
    assert 1 not in tokens


def test_slices_are_cut_before_white_space(vocabulary: Vocabulary) -> None:
    words = "word " * (SLICE_BYTES // 2)
    once = vocabulary.tokenize(words[:50], special=False)
    assert set(vocabulary.tokenize(words, special=False)) == set(once)


def test_a_text_that_goes_on_gets_no_space_before_it(spaced: Vocabulary) -> None:
    begun = spaced.tokenize("ab", special=False)
    assert spaced.text(begun) == " ab"
    assert spaced.text(spaced.tokenize("ab", special=False, after=begun[-1])) == "ab"
    assert spaced.text(spaced.tokenize("ab", special=False, after=spaced.bos)) == " ab"


def test_slices_of_a_vocabulary_with_spaces_before_texts_get_none_between_them(spaced: Vocabulary) -> None:
    text = "ab ba " * SLICE_BYTES
    assert spaced.text(spaced.tokenize(text, special=False)) == " " + text


def test_it_can_be_asked_from_many_os_threads_at_once(vocabulary: Vocabulary) -> None:
    texts = [f"text {number} " * 200 for number in range(32)]
    with ThreadPoolExecutor(8) as pool:
        tokens = list(pool.map(lambda text: vocabulary.tokenize(text, special=False), texts))
    assert [vocabulary.text(each) for each in tokens] == texts


@pytest.mark.parametrize("kept", [0, 3, 4, 23, 24, 1000, 200_000, 1_800_000])
def test_a_header_that_is_cut_off_is_one_clear_sentence(model_path: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.gguf"
    with model_path.open("rb") as file:
        path.write_bytes(file.read(kept))
    with pytest.raises(ModelError, match=r"cut\.gguf is (not a whole GGUF file|cut off)") as caught:
        Vocabulary.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_shorter_than_its_header_promises_is_told_with_the_numbers(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    with model_path.open("rb") as file:
        path.write_bytes(file.read(3_000_000))
    size = model_path.stat().st_size
    with pytest.raises(ModelError, match=f"promises {size} bytes, it has 3000000"):
        Vocabulary.load(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no model at all",
        struct.pack("<4sIQQ", b"GGUF", 3, 1 << 62, 1 << 62),
        struct.pack("<4sIQQ", b"GGUF", 3, 1 << 40, 1 << 40),
        struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 1 << 60) + bytes(64),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"a", ARRAY, ARRAY, 1 << 50) + bytes(64),
        struct.pack("<4sIQQQ1sIIQ", b"GGUF", 3, 0, 1, 1, b"a", ARRAY, U32, 1 << 62) + bytes(64),
        struct.pack("<4sIQQ", b"GGUF", 99, 0, 0),
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 0),
    ],
    ids=["empty", "text", "counts", "fewer", "string", "arrays", "array", "version", "nothing"],
)
def test_a_hostile_header_is_one_clear_sentence(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=r"^[^\n]*hostile\.gguf[^\n]*\.$"):
        Vocabulary.load(path)


def test_an_unknown_kind_of_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "unknown.gguf"
    path.write_bytes(gguf([("general.architecture", TEXT, "perceptron")]))
    with pytest.raises(ModelError, match="unknown model architecture: 'perceptron'"):
        Vocabulary.load(path)


def test_a_model_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mute.gguf"
    path.write_bytes(gguf([("general.architecture", TEXT, "llama"), ("tokenizer.ggml.model", TEXT, "no_vocab")]))
    with pytest.raises(ModelError, match="has no vocabulary"):
        Vocabulary.load(path)


def test_a_text_to_be_embedded_has_around_it_what_the_model_wants(encoder_path: Path, vocabulary: Vocabulary) -> None:
    encoder = Vocabulary.load(encoder_path)
    assert (encoder.bos, encoder.sep, encoder.trained_context) == (101, 102, 512)
    assert encoder.embed_tokens("Hello, unaffable World") == [101, 7592, 1010, 14477, 20961, 3468, 2088, 102]
    assert encoder.embed_tokens("") == [101, 102]
    assert vocabulary.embed_tokens("Hello") == vocabulary.tokenize("Hello", special=False)
    encoder.close()
