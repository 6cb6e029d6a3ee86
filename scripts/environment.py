"""Make .venv what `make demo` or `make test` needs; do nothing when it already is.

    python scripts/environment.py demo    the package, editable, with what the demo needs
    python scripts/environment.py test    the same, plus test tools and a Chromium

Only the standard library is used: this runs before anything is installed. What was installed is remembered
by a hash of everything that decides it, in .venv/.headscape-{demo,test}.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import viewer_build

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
DECIDING = (
    "pyproject.toml",
    "constraints.txt",
    "hatch_build.py",
    "scripts/viewer_build.py",
    "scripts/environment.py",
)
EXTRAS = {"demo": "demo", "test": "demo,dev"}
# In the order of tests/conftest.py, which looks the same names up again.
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class SetupError(RuntimeError):
    """The environment could not be made; the message says what to do."""


def run(*command: str | Path, **more: str) -> None:
    """Run a command with ``more`` environment variables; stop with its exit code if it fails."""
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=os.environ | more)
    if done.returncode:
        said = " ".join(map(str, command))
        raise SetupError(f"This command ended with exit code {done.returncode}: {said}")


def make_venv() -> None:
    """Create .venv unless there is one whose Python runs."""
    if PYTHON.exists() and subprocess.run([PYTHON, "-c", ""], capture_output=True).returncode == 0:
        return
    print(f"Making .venv with {sys.executable} ({sys.version.split()[0]})", flush=True)
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV])
    if made.returncode:
        raise SetupError(
            "python -m venv failed. On Debian and Ubuntu the venv module is a package of its own: "
            "apt-get install python3-venv."
        )


def installation_key() -> str:
    """Hash everything that decides what is installed."""
    digest = hashlib.sha256()
    for name in DECIDING:
        digest.update((ROOT / name).read_bytes())
    has_node = viewer_build.find_system_node() is not None
    digest.update(f"{ROOT} {has_node} {viewer_build.hash_sources(ROOT)}".encode())
    return digest.hexdigest()


def install(level: str) -> None:
    """Install the package, editable (the checkout stays the truth), with the extras of ``level``."""
    key = installation_key()
    mark = VENV / f".headscape-{level}"
    # The test tools stand beside everything the demo needs.
    marks = [mark, VENV / ".headscape-test"]
    if viewer_build.is_fresh(ROOT) and any(m.is_file() and m.read_text() == key for m in marks):
        return
    pins = ROOT / "constraints.txt"
    pip = (PYTHON, "-m", "pip", "--disable-pip-version-check")
    # First pip itself: an older one knows no --build-constraint.
    run(*pip, "install", "--quiet", "--constraint", pins, "pip")
    wanted = ["--editable", f".[{EXTRAS[level]}]"]
    if level == "test" and viewer_build.find_system_node() is None:
        wanted.append(viewer_build.NODE_REQUIREMENT)
    print(
        f"Installing headscape[{EXTRAS[level]}] and building its viewer; the first time is slow", flush=True
    )
    run(*pip, "install", "--quiet", "--constraint", pins, "--build-constraint", pins, *wanted)
    mark.write_text(key)


def find_chromium() -> str | None:
    """Return a Chromium that starts, or None."""
    for name in (os.environ.get("HEADSCAPE_CHROMIUM", ""), *CHROMIUM_NAMES):
        path = shutil.which(name) if name else None
        if path and subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    script = (
        "import playwright.sync_api as s\nwith s.sync_playwright() as p: print(p.chromium.executable_path)"
    )
    said = subprocess.run([PYTHON, "-c", script], capture_output=True, text=True).stdout.strip()
    return said if said and Path(said).exists() else None


def _is_debian() -> bool:
    release = Path("/etc/os-release")
    # Ubuntu's chromium package only starts a snap, which containers cannot run.
    return release.is_file() and "\nID=debian" in "\n" + release.read_text()


def ensure_chromium() -> None:
    """See to it that the browser tests find a Chromium."""
    if find_chromium():
        return
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and _is_debian() and shutil.which("apt-get"):
        print("Installing Chromium with apt-get for the browser tests", flush=True)
        run("apt-get", "update", "-qq")
        quiet = ("-qq", "-y", "--no-install-recommends")
        run("apt-get", "install", *quiet, "chromium", DEBIAN_FRONTEND="noninteractive")
    else:
        print("Installing Chromium with Playwright for the browser tests", flush=True)
        with_libraries = ["--with-deps"] if is_root else []
        run(PYTHON, "-m", "playwright", "install", *with_libraries, "chromium")
    if not find_chromium():
        raise SetupError(
            "The browser tests need a Chromium and none could be installed. Install chromium or "
            "google-chrome, or set HEADSCAPE_CHROMIUM to the program."
        )


def main(arguments: list[str]) -> int:
    """Do what the command line says; return the exit code."""
    if len(arguments) != 1 or arguments[0] not in EXTRAS:
        print(__doc__)
        return 2
    level = arguments[0]
    try:
        make_venv()
        install(level)
        if level == "test":
            ensure_chromium()
    except (SetupError, viewer_build.ViewerBuildError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
