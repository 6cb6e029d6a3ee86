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
def scripts(script):
    """Put tiny scripts in the places of all that is built."""
    for name in ("widget", "served"):
        script.with_name(f"{name}.js").write_text("globalThis.headscape.widget = () => ({ render() {} });")
    return script


@pytest.fixture
def no_script(script, tmp_path, monkeypatch):
    """Take the built viewer away."""
    monkeypatch.setattr(bundle, "PATH", tmp_path / "absent.js")
