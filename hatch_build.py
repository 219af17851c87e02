"""Puts the built web client into the wheel. A source tree needs none: the server finds `webclient/dist`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WebClientHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds `webclient/dist` to wheels that are not editable."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is built. FileNotFoundError where the web client was not built."""
        if version != "standard":
            return
        built = Path(self.root) / "webclient" / "dist"
        if not (built / "index.html").is_file():
            raise FileNotFoundError(f"{built} has no index.html. Run 'make webclient' before you build a wheel.")
        build_data["force_include"][str(built)] = "livethread_server/webclient"
