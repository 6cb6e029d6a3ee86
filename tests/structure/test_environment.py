"""`make` installs what is missing, and nothing when everything is there."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Import scripts/environment.py with a scratch .venv, and note its commands instead of running them."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.delitem(sys.modules, "viewer_build", raising=False)
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path)
    monkeypatch.setattr(module.viewer_build, "is_fresh", lambda root: True)
    monkeypatch.delenv("HEADSCAPE_CHROMIUM", raising=False)
    module.commands = []
    monkeypatch.setattr(
        module, "run", lambda *command, **more: module.commands.append(list(map(str, command)))
    )
    return module


def test_what_is_installed_is_not_installed_again(environment):
    environment.install("demo")
    assert len(environment.commands) == 2
    assert environment.commands[1][-2:] == ["--editable", ".[demo]"]
    environment.install("demo")
    assert len(environment.commands) == 2


def test_test_tools_are_installed_beside_the_demo(environment):
    environment.install("demo")
    environment.install("test")
    assert ".[demo,dev]" in environment.commands[-1]


def test_after_the_tests_the_demo_needs_nothing(environment):
    environment.install("test")
    installed = len(environment.commands)
    environment.install("demo")
    assert len(environment.commands) == installed


def test_every_install_is_pinned(environment):
    environment.install("test")
    for command in environment.commands:
        assert command[command.index("--constraint") + 1].endswith("constraints.txt")
    assert "--build-constraint" in environment.commands[-1]


@pytest.mark.parametrize("changed", ["hash_sources", "find_system_node"])
def test_a_change_is_installed(environment, monkeypatch, changed):
    monkeypatch.setattr(environment.viewer_build, changed, lambda *_: "before")
    environment.install("demo")
    monkeypatch.setattr(environment.viewer_build, changed, lambda *_: None)
    environment.install("demo")
    assert len(environment.commands) == 4


def test_without_node_the_test_tools_include_one(environment, monkeypatch):
    monkeypatch.setattr(environment.viewer_build, "find_system_node", lambda: None)
    environment.install("test")
    assert environment.commands[-1][-1] == environment.viewer_build.NODE_REQUIREMENT


def test_a_missing_bundle_is_built_whatever_was_installed(environment, monkeypatch):
    environment.install("demo")
    monkeypatch.setattr(environment.viewer_build, "is_fresh", lambda root: False)
    environment.install("demo")
    assert len(environment.commands) == 4


def test_a_chromium_that_does_not_start_is_not_taken(environment, monkeypatch, tmp_path):
    for name, code in (("chromium", 1), ("google-chrome", 0)):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\nexit {code}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.find_chromium() == str(tmp_path / "google-chrome")


@pytest.mark.parametrize(
    ("is_root", "is_debian", "first"),
    [(True, True, "apt-get"), (True, False, "playwright"), (False, True, "playwright")],
)
def test_a_missing_chromium_is_installed_by_the_means_of_the_machine(
    environment, monkeypatch, is_root, is_debian, first
):
    answers = iter([None, "/usr/bin/chromium"])
    monkeypatch.setattr(environment, "find_chromium", lambda: next(answers))
    monkeypatch.setattr(environment.os, "geteuid", lambda: 0 if is_root else 1000, raising=False)
    monkeypatch.setattr(environment, "_is_debian", lambda: is_debian)
    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/usr/bin/{name}")
    environment.ensure_chromium()
    assert first in environment.commands[0]
    assert ("--with-deps" in environment.commands[-1]) == (is_root and not is_debian)


def test_no_chromium_at_all_is_said(environment, monkeypatch):
    monkeypatch.setattr(environment, "find_chromium", lambda: None)
    with pytest.raises(environment.SetupError, match="set HEADSCAPE_CHROMIUM"):
        environment.ensure_chromium()
