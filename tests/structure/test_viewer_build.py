"""The viewer is built when its sources changed, with whichever Node.js there is, and packed."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUNDLE_NAME = "headscape/view/static/viewer.js"


def load_viewer_build():
    """Import scripts/viewer_build.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("viewer_build", ROOT / "scripts" / "viewer_build.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["viewer_build"] = module
    spec.loader.exec_module(module)
    return module


viewer_build = load_viewer_build()

FAKE_NPM = """#!/bin/sh
echo "$@" >> "{log}"
mkdir -p node_modules
mkdir -p ../src/headscape/view/static
if [ "$1" = run ]; then for name in viewer widget served; do
  echo "built" > ../src/headscape/view/static/$name.js; done; fi
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Make a checkout with a small viewer, and a machine whose only node and npm are stand-ins."""
    root, tools = tmp_path / "project", tmp_path / "bin"
    (root / "viewer" / "src").mkdir(parents=True)
    tools.mkdir()
    for name in ("package.json", "package-lock.json", "src/entry.ts", "src/entry.test.ts"):
        (root / "viewer" / name).write_text(name)
    write_program(tools / "node", "#!/bin/sh\necho v22.1.0\n")
    write_program(tools / "npm", FAKE_NPM.format(log=tmp_path / "npm.log"))
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}/bin{os.pathsep}/usr/bin")
    return root


def write_program(path: Path, text: str) -> None:
    """Write a script that can be run."""
    path.write_text(text)
    path.chmod(0o755)


def npm_runs(project: Path) -> list[str]:
    """Return the arguments of each run of the stand-in npm."""
    log = project.parent / "npm.log"
    return log.read_text().splitlines() if log.exists() else []


def test_it_is_built_once_and_then_fresh_whatever_the_dates(project):
    assert viewer_build.build(project)
    for file in project.rglob("*.ts"):
        os.utime(file, (0, 2_000_000_000))
    assert not viewer_build.build(project)
    assert npm_runs(project) == ["ci --ignore-scripts --no-audit --no-fund", "run build"]


@pytest.mark.parametrize("file", ["src/entry.ts", "package.json", "package-lock.json", "src/new.ts"])
def test_a_changed_source_is_built_again(project, file):
    viewer_build.build(project)
    (project / "viewer" / file).write_text("changed")
    assert not viewer_build.is_fresh(project)
    assert viewer_build.build(project)


@pytest.mark.parametrize("file", ["src/entry.test.ts", "node_modules/x.js", "tests/a.ts"])
def test_what_does_not_end_up_in_the_bundle_builds_nothing(project, file):
    viewer_build.build(project)
    path = project / "viewer" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("changed")
    assert viewer_build.is_fresh(project)


def test_line_ends_of_another_system_build_nothing(project):
    (project / "viewer/src/entry.ts").write_bytes(b"a\nb\n")
    viewer_build.build(project)
    (project / "viewer/src/entry.ts").write_bytes(b"a\r\nb\r\n")
    assert viewer_build.is_fresh(project)


def test_a_bundle_that_somebody_built_by_hand_is_not_taken_for_fresh(project):
    viewer_build.build(project)
    (project / viewer_build.BUNDLE).write_text("by hand")
    assert not viewer_build.is_fresh(project)


def test_packages_are_installed_again_only_when_the_lock_changed(project):
    viewer_build.build(project)
    (project / "viewer/src/entry.ts").write_text("changed")
    viewer_build.build(project)
    assert [run.split()[0] for run in npm_runs(project)] == ["ci", "run", "run"]
    (project / "viewer/package-lock.json").write_text("changed")
    viewer_build.build(project)
    assert [run.split()[0] for run in npm_runs(project)] == ["ci", "run", "run", "ci", "run"]


def test_a_failing_npm_is_named(project):
    write_program(project.parent / "bin" / "npm", "#!/bin/sh\nexit 7\n")
    with pytest.raises(viewer_build.ViewerBuildError, match=r"npm ci .*exit code 7"):
        viewer_build.build(project)


def test_an_old_node_is_not_taken(project):
    write_program(project.parent / "bin" / "node", "#!/bin/sh\necho v18.20.0\n")
    assert viewer_build.find_system_node() is None


def test_the_packaged_npm_also_starts_from_within_a_script(project, tmp_path):
    write_program(tmp_path / "bin" / "npm", "#!/bin/sh\nexit 9\n")
    cli = tmp_path / "npm-cli.sh"
    write_program(cli, "#!/bin/sh\nif [ $1 = outer ]; then npm inner; else echo $1 > told; fi\n")
    viewer_build.Node(tmp_path / "bin", ("/bin/sh", str(cli))).run(project, "outer")
    assert (project / "viewer" / "told").read_text() == "inner\n"


def test_without_any_node_the_message_says_what_to_do(project, monkeypatch):
    monkeypatch.setattr(viewer_build, "find_system_node", lambda: None)
    monkeypatch.setattr(viewer_build, "find_packaged_node", lambda: None)
    with pytest.raises(viewer_build.ViewerBuildError, match=r"Node.js >= 20.*HEADSCAPE_SKIP_VIEWER=1"):
        viewer_build.build(project)


def copy_checkout(target: Path) -> Path:
    """Copy the project's files, without anything that was built."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def hatch_build(root: Path, kind: str, **variables: str) -> Path:
    """Build one distribution with the hook; return its file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(root.parent / "dist")]
    done = subprocess.run(command, cwd=root, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = (root.parent / "dist").glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.mark.slow
def test_the_sdist_holds_the_bundle_and_a_wheel_comes_from_it_without_node(tmp_path):
    sdist = hatch_build(copy_checkout(tmp_path / "checkout"), "sdist")
    with tarfile.open(sdist) as archive:
        # Python before 3.11.4 knows no filter, later ones warn without
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path / "unpacked", **safely)
    (tree,) = (tmp_path / "unpacked").iterdir()
    assert (tree / "src" / BUNDLE_NAME).is_file()
    assert not (tree / "viewer" / "node_modules").exists()
    wheel = hatch_build(tree, "wheel", PATH="/nowhere")
    with zipfile.ZipFile(wheel) as archive:
        assert b"headscape viewer, sources sha256:" in archive.read(BUNDLE_NAME)[:100]
        assert "headscape/py.typed" in archive.namelist()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


@pytest.mark.slow
def test_skipped_on_purpose_the_wheel_has_no_bundle(tmp_path):
    root = copy_checkout(tmp_path / "checkout")
    wheel = hatch_build(root, "wheel", PATH="/nowhere", HEADSCAPE_SKIP_VIEWER="1")
    with zipfile.ZipFile(wheel) as archive:
        assert BUNDLE_NAME not in archive.namelist()
        assert "headscape/view/page.py" in archive.namelist()
