"""No file names a package registry or a machine's own folder; the lock file holds no address."""

import json
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Registries differ per machine: names of hosts in the repository would tie the project to one of them.
REGISTRY = re.compile(
    r"\b(?:registry|pypi|npm|index|mirror|proxy|files|deb|download)\.[a-z0-9-]+(?:\.[a-z0-9-]+)*\.?(?:org|com|io|net|dev)\b"
    r"|\bpypi\.(?:org|io)\b|--(?:extra-)?index-url|\bregistry\s*=",
    re.IGNORECASE,
)
MACHINE_FOLDER = re.compile(r"(?<![\w.}$/-])/(?:work|root|home/\w+|Users/\w+)/\w")
BINARY = {".png", ".block", ".headscape", ".gz", ".ico", ".woff2"}


def find_address_faults(name: str, text: str) -> list[str]:
    """Return the registry hosts and machine folders that a text names."""
    found = [m.group() for pattern in (REGISTRY, MACHINE_FOLDER) for m in pattern.finditer(text)]
    return [f"{name} names {what}" for what in found]


def find_lock_faults(lock: dict) -> list[str]:
    """Return the packages of a package-lock.json that carry an address or no checksum."""
    faults = []
    for path, package in lock["packages"].items():
        if "resolved" in package:
            faults.append(f"{path} is resolved to an address")
        if path and "integrity" not in package and not package.get("link"):
            faults.append(f"{path} has no integrity checksum")
    return faults


def _texts():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in listed:
        path = ROOT / name
        if path.suffix not in BINARY and path.is_file() and path.name != Path(__file__).name:
            yield name, path.read_text(encoding="utf-8")


def test_no_file_names_a_registry_or_a_folder_of_one_machine():
    texts = list(_texts())
    assert len(texts) > 10
    assert [fault for name, text in texts for fault in find_address_faults(name, text)] == []


def test_the_lock_file_holds_checksums_and_no_addresses():
    lock = json.loads((ROOT / "viewer" / "package-lock.json").read_text(encoding="utf-8"))
    assert len(lock["packages"]) > 3
    assert find_lock_faults(lock) == []


@pytest.mark.parametrize(
    "text",
    [
        '"resolved": "https://registry.example.org/esbuild.tgz"',
        "pip install --index-url x",
        "see pypi.example.com/simple",
        "registry=https://mirror",
        "open /home/somebody/x.py",
    ],
)
def test_an_address_is_named(text):
    assert find_address_faults("a.md", text) != []


@pytest.mark.parametrize(
    "text",
    ["from PyPI", "np.zeros(3)", "a/work/b", "~/home", "keepachangelog.com", "$HOME/work/x", "proxy.target"],
)
def test_plain_text_passes(text):
    assert find_address_faults("a.md", text) == []


def test_a_lock_file_with_an_address_or_without_a_checksum_is_refused():
    bad = {"packages": {"": {}, "node_modules/a": {"resolved": "x", "integrity": "y"}, "node_modules/b": {}}}
    assert len(find_lock_faults(bad)) == 2
