"""The scripts that the other libraries load from the network, from npm once and from a folder after that.

A page under test reaches no network: what it asks a content network for is answered from this folder.
"""

import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".rivals"  # git ignores it


@dataclass(frozen=True)
class Script:
    """A file of an npm package, and the address by which pages ask for it; "" if it is written into them."""

    package: str
    member: str
    address: str = ""

    @property
    def file(self) -> str:
        """Name in the folder."""
        return f"{self.package.replace('@', '-')}-{Path(self.member).name}"


CDN = "https://cdnjs.cloudflare.com/ajax/libs"
FORCE_GRAPH = Script("3d-force-graph@1.80.0", "dist/3d-force-graph.min.js")
SCRIPTS = (
    Script("requirejs@2.3.6", "require.js", f"{CDN}/require.js/2.3.6/require.min.js"),
    Script("d3@5.7.0", "dist/d3.min.js", f"{CDN}/d3/5.7.0/d3.min.js"),
    # BertViz asks for 2.0.0, which npm never had.
    Script("jquery@2.1.0", "dist/jquery.min.js", f"{CDN}/jquery/2.0.0/jquery.min.js"),
    FORCE_GRAPH,
)


class MissingScriptsError(RuntimeError):
    """Scripts of other libraries are neither in the folder nor to be had from npm."""


def ensure_scripts(folder: Path) -> None:
    """Put into the folder what is missing there."""
    folder.mkdir(parents=True, exist_ok=True)
    for script in SCRIPTS:
        if not (folder / script.file).exists():
            _fetch(script, folder)


def _fetch(script: Script, folder: Path) -> None:
    """Take one file out of a package; nothing of the package is run or installed."""
    try:
        command = ["npm", "pack", "--silent", "--ignore-scripts", script.package]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        raise MissingScriptsError(f"{folder} lacks {script.file}, and there is no npm to get it.") from None
    if done.returncode:
        raise MissingScriptsError(
            f"{folder} lacks {script.file}, and `npm pack {script.package}` failed: "
            f"{done.stderr.strip()[-300:]}"
        )
    archive = folder / done.stdout.split()[-1]
    with tarfile.open(archive) as packed:
        member = packed.extractfile(f"package/{script.member}")
        if member is None:
            raise MissingScriptsError(f"{script.package} has no file {script.member}.")
        (folder / script.file).write_bytes(member.read())
    archive.unlink()


def addresses(folder: Path) -> dict[str, str]:
    """Return the file that answers each address."""
    return {script.address: str(folder / script.file) for script in SCRIPTS if script.address}
