"""Imports go up the table of parts only, and each foreign library has one home."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "headscape"

LOW = {"errors", "trace"}
MIDDLE = LOW | {"intercept", "graph", "analysis", "record", "probe", "diagnose"}
MAY_IMPORT = {
    "errors": set(),
    "trace": {"errors"},
    "intercept": LOW,
    "graph": LOW,
    "analysis": LOW | {"graph"},
    "record": LOW | {"graph", "analysis"},
    "probe": LOW | {"intercept", "graph", "analysis"},
    "diagnose": MIDDLE,
    "draw": LOW | {"graph", "analysis", "record"},
    "view": LOW | {"graph", "analysis", "record"},
    "wrapper": MIDDLE | {"draw", "view"},
    "demo": MIDDLE | {"draw", "view", "wrapper"},
    "cli": MIDDLE | {"draw", "view", "wrapper", "demo"},
    "__init__": MIDDLE | {"draw", "view", "wrapper"},
}
HOMES = {
    "torch": {"intercept", "wrapper", "probe", "demo"},
    "networkx": {"graph"},
    "numba": {"intercept"},
    "llvmlite": {"intercept"},
    "matplotlib": {"draw"},
    "mpl_toolkits": {"draw"},
    "ripser": {"analysis"},
    "scipy": {"analysis"},
    "pyarrow": {"record"},
    "IPython": {"view"},
    "anywidget": {"view"},
    "traitlets": {"view"},
    "marimo": {"view"},
    "starlette": {"view"},
    "uvicorn": {"view"},
    "typer": {"cli"},
    "rich": {"cli"},
    "sklearn": {"demo"},
    "tokenizers": {"demo"},
    "transformers": {"demo"},
}
EVERYWHERE = {"numpy", *sys.stdlib_module_names}
# The files that may look a module up by its name: the trace's verbs, and lazy names of packages.
SEAMS = {"trace/joins.py", "__init__.py", "analysis/__init__.py", "probe/__init__.py"}
# What `import headscape` must not load.
HEAVY = ("torch", "numba", "matplotlib", "IPython", "anywidget", "networkx", "sklearn", "typer", "rich")


def find_import_faults(file: str, source: str, modules: set[str]) -> list[str]:
    """Return what is wrong with the imports of one file.

    ``file`` is relative to the package ("graph/build.py"); ``modules`` holds the dotted names of all modules
    of the package that are single files.
    """
    part = Path(file).parts[0].removesuffix(".py")
    if part not in MAY_IMPORT:
        return [f"{file}: {part} is not in the table of parts"]
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [("." * node.level + (node.module or ""), tuple(alias.name for alias in node.names))]
        else:
            if file not in SEAMS and _looks_modules_up(node):
                faults.append(f"{file}:{node.lineno}: only {sorted(SEAMS)} look modules up by name")
            continue
        for name, members in names:
            fault = _fault_of(part, file, name, members, modules)
            if fault:
                faults.append(f"{file}:{node.lineno}: {fault}")
    return faults


def _looks_modules_up(node):
    named = getattr(node, "attr", None) if isinstance(node, ast.Attribute) else getattr(node, "id", None)
    return named in {"import_module", "__import__"}


def _fault_of(part, file, name, members, modules):
    top, _, rest = name.partition(".")
    if top != "headscape":
        if top in EVERYWHERE or part in HOMES.get(top, ()):
            return None
        homes = sorted(HOMES.get(top, ()))
        return f"{name} belongs in {homes}" if homes else f"{name} has no home in the table"
    if not rest and members == ("__version__",):
        return None
    if not rest:
        return "import the module that defines the name, not headscape"
    other = rest.split(".")[0]
    if other != part and other not in MAY_IMPORT[part]:
        return f"{part} may not import {other}"
    is_package = name not in modules
    if (
        is_package
        and file.split("/")[-1] != "__init__.py"
        and any(f"{name}.{m}" not in modules for m in members)
    ):
        return f"{name} is a package; import the module that defines the name"
    return None


def _modules():
    return {
        "headscape." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }


def test_every_import_goes_up_the_table():
    faults = []
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 5
    for path in files:
        file = path.relative_to(PACKAGE).as_posix()
        faults += find_import_faults(file, path.read_text(encoding="utf-8"), _modules())
    assert faults == []


@pytest.mark.parametrize(
    ("file", "source", "says"),
    [
        ("trace/call.py", "from headscape.graph.build import build_graph", "trace may not import graph"),
        ("trace/call.py", "def f():\n    import torch", "torch belongs in"),
        ("graph/build.py", "import matplotlib.pyplot as plt", "matplotlib.pyplot belongs in ['draw']"),
        ("graph/build.py", "from headscape.view.page import write_page", "graph may not import view"),
        ("view/page.py", "import rich", "rich belongs in ['cli']"),
        ("draw/figure.py", "import seaborn", "seaborn has no home"),
        ("draw/figure.py", "from headscape.trace import Trace", "is a package"),
        ("draw/figure.py", "import headscape", "the module that defines the name"),
        ("draw/figure.py", "from importlib import import_module\nimport_module('torch')", "look modules up"),
        ("draw/figure.py", "__import__('torch')", "look modules up"),
        ("view/show.py", "from ..trace import Trace", "has no home"),
        ("utils/text.py", "", "not in the table"),
    ],
)
def test_a_wrong_import_is_named(file, source, says):
    (fault,) = find_import_faults(file, source, {"headscape.graph.build", "headscape.view.page"})
    assert says in fault


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("trace/joins.py", "import importlib\nimportlib.import_module('headscape.view.page')"),
        ("trace/__init__.py", "from headscape.trace.call import AttentionCall"),
        ("intercept/mode.py", "import torch\nfrom headscape.trace.call import AttentionCall"),
        ("view/show.py", "from headscape.view import page\nimport importlib.metadata"),
        ("cli/main.py", "import typer\nfrom headscape.demo.train import train"),
    ],
)
def test_a_right_import_passes(file, source):
    modules = {"headscape.trace.call", "headscape.view.page", "headscape.demo.train"}
    assert find_import_faults(file, source, modules) == []


def loaded_by(statement: str) -> set[str]:
    """Run a statement in a fresh Python; return which of HEAVY it loaded."""
    script = f"import sys\n{statement}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_no_heavy_library():
    assert loaded_by("import headscape") == set()


def test_a_loaded_heavy_library_is_noticed():
    assert loaded_by("import networkx") == {"networkx"}


def test_opening_a_saved_trace_and_writing_its_page_needs_no_torch():
    statement = (
        "import headscape.trace.file, headscape.view.page, headscape.view.scene, headscape.view.show, "
        "headscape.trace.synthetic"
    )
    assert loaded_by(statement) == set()
