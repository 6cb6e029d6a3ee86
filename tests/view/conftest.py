import pytest

from headscape.view import bundle

SCRIPT = "globalThis.headscape = { mount() {} }; // é </script> <!-- \r\n"


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Put a tiny script in the place of the built viewer."""
    path = tmp_path / "viewer.js"
    path.write_text(SCRIPT, encoding="utf-8", newline="")
    monkeypatch.setattr(bundle, "PATH", path)
    return path


@pytest.fixture
def no_script(script, tmp_path, monkeypatch):
    """Take the built viewer away."""
    monkeypatch.setattr(bundle, "PATH", tmp_path / "absent.js")
