"""Installs a project of one module without a package index: its module, and its metadata as an installer writes it."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "keywords"


def installed(project: Path, into: Path) -> Path:
    """The folder to put on ``sys.path``; dist-info by PyPA's "Recording installed projects"."""
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    folder = into / "site"
    info = folder / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir(parents=True)
    for module in project.glob("*.py"):
        shutil.copy(module, folder)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    groups = about["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in entries.items()) for group, entries in groups.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder
