"""Hatch build hook: puts the browser viewer's bundle into wheel, sdist and editable install.

The bundle is built from viewer/ and never committed. A source distribution carries it, so building from one
needs no Node.js. ``HEADSCAPE_SKIP_VIEWER=1`` leaves the bundle out on purpose.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent / "scripts"))
import viewer_build


class ViewerHook(BuildHookInterface):
    """Builds the viewer when its sources changed."""

    PLUGIN_NAME = "custom"

    def _skips(self) -> bool:
        return os.environ.get("HEADSCAPE_SKIP_VIEWER", "") not in ("", "0")

    def _is_sdist_tree(self) -> bool:
        root = Path(self.root)
        return (root / "PKG-INFO").is_file() and (root / viewer_build.BUNDLE).is_file()

    def _needs_build(self) -> bool:
        return not (self._skips() or self._is_sdist_tree() or viewer_build.is_fresh(Path(self.root)))

    def dependencies(self) -> list[str]:
        """Ask for a packaged Node.js only where one is needed and the machine has none."""
        if self._needs_build() and viewer_build.find_system_node() is None:
            return [viewer_build.NODE_REQUIREMENT]
        return []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and name the bundle as a file to pack although git ignores it."""
        if self._skips():
            self.app.display_warning(
                "headscape is built without its viewer (HEADSCAPE_SKIP_VIEWER is set): capture, graphs and "
                "Matplotlib figures work; pages and the notebook view will say that the bundle is missing."
            )
            return
        if self._needs_build():
            viewer_build.build(Path(self.root))
        build_data["artifacts"] += [output.as_posix() for output in viewer_build.OUTPUTS]
