"""Fetching public files: https only, checked before they are kept, once."""

import hashlib

import pytest

from headscape.demo import fetch
from headscape.demo.fetch import PublicFile, fetch_file
from headscape.demo.stories import FILES
from headscape.demo.tweets import TWEETS
from headscape.errors import FileError, OptionError

DATA = b"the file"
WANTED = PublicFile(
    "kept.bin", "The file", hashlib.sha256(DATA).hexdigest(), len(DATA), ("https://example.org/a",)
)


class Answer:
    def __init__(self, data):
        self.data = data

    def read(self, size):
        return self.data[:size]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Opener:
    def __init__(self, data):
        self.data = data

    def open(self, request, timeout):
        assert timeout > 0
        assert request.full_url.startswith("https://")
        return Answer(self.data)


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"not the file", "another file came"), (b"x" * 17, "more than 16 bytes came; the file has 8")],
)
def test_a_file_other_than_the_known_one_is_not_kept(tmp_path, monkeypatch, data, says):
    monkeypatch.setattr(fetch.urllib.request, "build_opener", lambda *_: Opener(data))
    with pytest.raises(FileError, match=rf"The file could not be downloaded .*{says}.*Do that\."):
        fetch_file(WANTED, folder=tmp_path, otherwise="Do that.")
    assert list(tmp_path.iterdir()) == []


def test_the_known_file_is_kept_and_fetched_once(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.urllib.request, "build_opener", lambda *_: Opener(DATA))
    path = fetch_file(WANTED, folder=tmp_path / "new", otherwise="")
    assert path.read_bytes() == DATA
    assert [p.name for p in path.parent.iterdir()] == ["kept.bin"]
    monkeypatch.setattr(fetch, "_fetch", lambda *_: pytest.fail("fetched again"))
    assert fetch_file(WANTED, folder=tmp_path / "new", otherwise="") == path


def test_a_damaged_copy_is_fetched_again(tmp_path, monkeypatch):
    (tmp_path / "kept.bin").write_bytes(b"damaged")
    monkeypatch.setattr(fetch.urllib.request, "build_opener", lambda *_: Opener(DATA))
    assert fetch_file(WANTED, folder=tmp_path, otherwise="").read_bytes() == DATA


def test_an_address_or_redirect_without_https_is_refused(tmp_path):
    plain = PublicFile("kept.bin", "The file", "", 8, ("http://example.org/a",))
    with pytest.raises(FileError, match="is not an https address"):
        fetch_file(plain, folder=tmp_path, otherwise="")
    request = fetch.urllib.request.Request("https://example.org/a")
    with pytest.raises(OptionError, match="is not an https address"):
        fetch._HttpsOnly().redirect_request(request, None, 302, "Found", {}, "http://example.org/a")


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(fetch, "_fetch", lambda *_: b"")
    with pytest.raises(FileError, match="The file came, but could not be kept in"):
        fetch_file(WANTED, folder=tmp_path / "file" / "sub", otherwise="")


def test_every_public_file_is_pinned():
    for known in (TWEETS, *FILES):
        assert len(known.sha256) == 64
        assert known.size > 0
        assert all(address.startswith("https://") for address in known.addresses)
