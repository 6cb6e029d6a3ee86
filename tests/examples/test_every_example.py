"""Every file in examples/ has a test file of its own, which runs it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def find_unrun(examples: list[str], tests: dict[str, str]) -> list[str]:
    """Return the examples that no test file is named after, or whose test never runs ``main``."""
    return [name for name in examples if "example.main(" not in tests.get(f"test_{name}", "")]


def test_every_example_is_run():
    examples = [path.name for path in (ROOT / "examples").iterdir() if path.suffix == ".py"]
    tests = {path.name: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")}
    assert len(examples) >= 2
    assert find_unrun(examples, tests) == []


def test_an_example_without_a_test_is_named():
    assert find_unrun(["a.py", "b.py"], {"test_a.py": "example.main([])", "test_b.py": ""}) == ["b.py"]
