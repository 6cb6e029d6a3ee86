"""Files, functions and signatures stay small, and folders are called what they hold."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MOST_ARGUMENTS = 8
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "base"}


def project_files(*suffixes: str) -> list[str]:
    """Return the project's own files, committed or not yet, that git does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted({name for name in listed if name.endswith(suffixes) and (ROOT / name).is_file()})


def find_size_faults(name: str, source: str) -> list[str]:
    """Return what is too long in one Python or TypeScript file."""
    faults = []
    lines = source.count("\n") + 1
    if lines >= LONGEST_FILE:
        faults.append(f"{name} has {lines} lines; a file stays under {LONGEST_FILE}")
    if not name.endswith(".py"):
        return faults
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        start = node.body[1].lineno if ast.get_docstring(node) and len(node.body) > 1 else node.body[0].lineno
        length = (node.end_lineno or 0) - start + 1
        if length >= LONGEST_FUNCTION:
            faults.append(
                f"{name}: {node.name} has {length} lines; a function stays under {LONGEST_FUNCTION}"
            )
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([a for a in arguments if a.arg not in ("self", "cls")])
        # A command's options are the command line's, not a signature that people call.
        if count >= MOST_ARGUMENTS and not name.startswith("src/headscape/cli/"):
            faults.append(
                f"{name}: {node.name} takes {count} arguments; a signature stays under {MOST_ARGUMENTS}"
            )
    return faults


def find_name_faults(name: str) -> list[str]:
    """Return the parts of a path that say nothing."""
    said = [Path(part).stem for part in Path(name).parts]
    return [f"{name}: call {part} by what it holds" for part in said if part.lower() in BANNED]


def test_files_functions_and_signatures_are_short():
    names = project_files(".py", ".ts", ".tsx", ".mjs")
    assert len(names) > 10
    faults = [
        fault for name in names for fault in find_size_faults(name, (ROOT / name).read_text(encoding="utf-8"))
    ]
    assert faults == []


def test_no_file_or_folder_has_a_name_that_says_nothing():
    assert [fault for name in project_files("") for fault in find_name_faults(name)] == []


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("a.py", "x = 1\n" * 400, "401 lines"),
        ("a.ts", "let x = 1;\n" * 400, "401 lines"),
        ("a.py", "def f():\n" + "    x = 1\n" * 60, "f has 60 lines"),
        ("a.py", 'def f():\n    """Docs."""\n' + "    x = 1\n" * 60, "f has 60 lines"),
        ("a.py", "def f(a, b, c, d, *, e, f, g, h): pass", "takes 8 arguments"),
    ],
)
def test_what_is_too_long_is_named(name, source, says):
    (fault,) = find_size_faults(name, source)
    assert says in fault


def test_what_is_short_enough_passes():
    method = "class A:\n    def f(self, a, b, c, d, e, f, g):\n        pass\n"
    assert find_size_faults("a.py", method + "x = 1\n" * 395) == []


@pytest.mark.parametrize("name", ["src/headscape/utils/x.py", "viewer/src/common.ts", "tests/helpers.py"])
def test_a_name_that_says_nothing_is_named(name):
    (fault,) = find_name_faults(name)
    assert "by what it holds" in fault
