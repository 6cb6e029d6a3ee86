"""An executed notebook as a page: a picture is there, although nothing runs."""

import base64
import os
import re
import subprocess
import sys

import pytest
from tests.hosts.conftest import save_notebook

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("built_viewer")]

SHOW = "from headscape.trace.synthetic import example_trace\nexample_trace().show()"
WIDGET = "from headscape.trace.synthetic import example_trace\nexample_trace().widget()"


def pictures(tmp_path, cell: str, *options: str) -> list[bytes]:
    """Execute a notebook of one cell, convert it to HTML, and return the pictures in it."""
    save_notebook(tmp_path / "a.ipynb", [cell])
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--execute", "a.ipynb", *options]
    variables = os.environ | {"PYTHONWARNINGS": "ignore", "JUPYTER_PLATFORM_DIRS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', text)]


def test_show_leaves_a_picture_in_the_converted_page(tmp_path):
    (picture,) = pictures(tmp_path, SHOW)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000


def test_a_widget_leaves_one_where_its_state_is_not_stored(tmp_path):
    (picture,) = pictures(tmp_path, WIDGET, "--ExecutePreprocessor.store_widget_state=False")
    assert picture.startswith(b"\x89PNG")
