"""What is true of folders alone: links, special files, odd names, rights, races."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable, SourceDenied, SourceMisconfigured, SourceMissing
from domain.manifest import ObjectInfo
from infrastructure.connectors.filesystem import FilesystemSource, within_roots
from infrastructure.connectors.filesystem_names import key_of, name_of
from infrastructure.connectors.registry import open_source

NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def source(root: Path) -> FilesystemSource:
    return FilesystemSource(root, allowed=[root])


def put(root: Path, key: str, body: bytes = b"x") -> Path:
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def listed(source: FilesystemSource, prefix: str = "", after: str = "") -> list[ObjectInfo]:
    return [entry for page in source.list_pages(prefix, after) for entry in page]


def keys(source: FilesystemSource) -> list[str]:
    return [entry.key for entry in listed(source)]


def read(source: FilesystemSource, entry: ObjectInfo) -> bytes:
    with source.open_object(entry) as stream:
        return b"".join(iter(lambda: stream.read(1000), b""))


def failure(source: FilesystemSource, entry: ObjectInfo) -> FailReason:
    with pytest.raises(ObjectUnreadable) as caught:
        read(source, entry)
    return caught.value.reason


@contextmanager
def unprivileged() -> Iterator[None]:
    """Rights are checked even where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared_root() -> Iterator[Path]:
    """A folder that any user may read, in folders that any user may pass."""
    with TemporaryDirectory(prefix="scanledger-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_links_pipes_and_sockets_are_not_listed(root, source, tmp_path):
    put(tmp_path, "outside/secret")
    put(root, "file")
    (root / "file-link").symlink_to(root / "file")
    (root / "folder-link").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(root / "socket"))
        assert keys(source) == ["file"]


def test_a_hard_link_is_an_object_of_its_own(root, source):
    (root / "second").hardlink_to(put(root, "first"))
    assert keys(source) == ["first", "second"]


@pytest.mark.parametrize("key", ["../secret", "a/../../secret", "/etc/passwd", "a//b", "./file", "", "a/", "nul\0"])
def test_a_key_that_is_no_path_below_the_root_is_not_found(root, source, key):
    put(root, "file")
    put(root, "a/b")
    put(root.parent, "secret")
    assert failure(source, ObjectInfo(key, 1)) is FailReason.NOT_FOUND


def test_a_file_swapped_for_a_link_or_pipe_is_not_read(root, source, tmp_path):
    secret = put(tmp_path, "secret")
    put(root, "linked")
    put(root, "piped")
    linked, piped = listed(source)
    (root / "linked").unlink()
    (root / "linked").symlink_to(secret)
    (root / "piped").unlink()
    os.mkfifo(root / "piped")
    assert failure(source, linked) is FailReason.CHANGED_DURING_READ
    assert failure(source, piped) is FailReason.CHANGED_DURING_READ


def test_a_folder_swapped_for_a_link_leads_nowhere(root, source, tmp_path):
    put(tmp_path, "outside/file", b"secret")
    put(root, "folder/file", b"public")
    (entry,) = listed(source)
    (root / "folder").rename(root / "moved")
    (root / "folder").symlink_to(tmp_path / "outside")
    assert failure(source, entry) is FailReason.NOT_FOUND
    assert keys(source) == ["moved/file"]


def test_a_folder_swapped_for_a_link_during_the_walk_counts_as_gone(root, source, tmp_path):
    put(tmp_path, "outside/secret")
    for number in range(1000):
        put(root, f"a/{number:04}")
    put(root, "b/file")
    pages = source.list_pages("")
    assert len(next(pages)) == 1000
    (root / "b").rename(tmp_path / "b")
    (root / "b").symlink_to(tmp_path / "outside")
    assert list(pages) == []


def test_a_root_that_vanishes_during_the_walk_is_missing_not_empty(root, source):
    for number in range(1000):
        put(root, f"a/{number:04}")
    put(root, "b/file")
    pages = source.list_pages("")
    next(pages)
    root.rename(root.with_name("elsewhere"))
    with pytest.raises(SourceMissing):
        list(pages)


def test_a_file_that_grows_or_is_rewritten_while_read_has_changed(root, source):
    path = put(root, "file", bytes(2000))
    (entry,) = listed(source)
    with source.open_object(entry) as stream:
        stream.read(1000)
        path.write_bytes(bytes(3000))
        with pytest.raises(ObjectUnreadable) as caught:
            stream.read(1000)
    assert caught.value.reason is FailReason.CHANGED_DURING_READ


def test_a_file_cut_short_while_read_has_changed(root, source):
    path = put(root, "file", bytes(2000))
    (entry,) = listed(source)
    with source.open_object(entry) as stream:
        stream.read(1000)
        os.truncate(path, 500)
        with pytest.raises(ObjectUnreadable) as caught:
            stream.read(1000)
    assert caught.value.reason is FailReason.CHANGED_DURING_READ


def test_names_that_are_not_utf8_are_listed_as_utf8_and_read(root, source):
    names = [b"\xff\xfe.txt", b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}e9".encode(), "é".encode()]
    for name in names:
        Path(root, os.fsdecode(name)).write_bytes(name)
    entries = listed(source)
    assert len({entry.key.encode() for entry in entries}) == 4
    assert sorted(read(source, entry) for entry in entries) == sorted(names)
    assert [entry.key for entry in entries] == sorted(entry.key for entry in entries)


@given(name=st.binary(min_size=1, max_size=30))
def test_every_name_has_a_key_of_its_own(name):
    assert name_of(key_of(name)) == name
    assert key_of(name).encode()


@given(text=st.text(max_size=30).filter(lambda text: "\N{REPLACEMENT CHARACTER}" not in text))
def test_a_utf8_name_is_its_own_key(text):
    try:
        name = text.encode()
    except UnicodeEncodeError:
        return
    assert key_of(name) == text


def test_resuming_does_not_walk_what_lies_before(root, source, monkeypatch):
    for folder in "abcdef":
        put(root, f"{folder}/file")
    walked: list[str] = []
    real = FilesystemSource._names
    monkeypatch.setattr(FilesystemSource, "_names", lambda self, folder: walked.append(folder) or real(self, folder))
    assert [entry.key for entry in listed(source, after="d/file")] == ["e/file", "f/file"]
    assert walked == ["", "d/", "e/", "f/"]
    walked.clear()
    assert [entry.key for entry in listed(source, prefix="c/f")] == ["c/file"]
    assert walked == ["c/"]


def test_folders_outside_the_range_are_never_opened(root, source, monkeypatch):
    for folder in "abcdef":
        put(root, f"{folder}/x/file")
        put(root, f"{folder}/y/file")
    walked: list[str] = []
    real = FilesystemSource._names
    monkeypatch.setattr(FilesystemSource, "_names", lambda self, folder: walked.append(folder) or real(self, folder))
    assert [e.key for page in source.list_pages("", "c/x/file", "d/x/file") for e in page] == ["c/y/file", "d/x/file"]
    assert walked == ["", "c/", "c/x/", "c/y/", "d/", "d/x/"]
    walked.clear()
    assert list(source.list_pages("e/", until="d/x")) == list(source.list_pages("a/", after="b")) == []
    assert source.prefixes("e/", until="d/x") == source.prefixes("a/", after="b") == []
    assert walked == []


def test_an_empty_folder_may_be_given_as_a_prefix_and_a_link_may_not(root, source):
    (root / "empty").mkdir()
    (root / "link").symlink_to(root / "empty")
    put(root, "file")
    assert source.prefixes("") == ["empty/"]


def test_a_folder_that_may_not_be_read_ends_the_listing_by_name(shared_root):
    put(shared_root, "open/file")
    put(shared_root, "shut/file")
    (shared_root / "shut").chmod(0o000)
    source = FilesystemSource(shared_root, allowed=[shared_root])
    try:
        with unprivileged(), pytest.raises(SourceDenied, match="shut/"):
            listed(source)
        with unprivileged():
            assert [entry.key for entry in listed(source, prefix="open/")] == ["open/file"]
    finally:
        (shared_root / "shut").chmod(0o755)


def test_a_file_that_may_not_be_read_is_access_denied(shared_root):
    put(shared_root, "file").chmod(0o000)
    source = FilesystemSource(shared_root, allowed=[shared_root])
    with unprivileged():
        (entry,) = listed(source)
        assert failure(source, entry) is FailReason.ACCESS_DENIED


def test_a_deep_tree_is_walked_to_its_end_without_running_out_of_descriptors(root, source):
    folder = os.open(root, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("deep-folder-name", dir_fd=folder)
        inner = os.open("deep-folder-name", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112, PTH208
    (entry,) = listed(source)
    assert entry.key == "deep-folder-name/" * 400 + "file"
    assert read(source, entry) == b""
    if before:
        assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 — counting, not walking


def test_a_root_outside_the_allowed_folders_is_refused(tmp_path, root):
    (root / "way-out").symlink_to(tmp_path)
    assert within_roots(root / "below", [root])
    assert not within_roots(root / "way-out" / "x", [root])
    assert not within_roots(root / ".." / "other", [root])
    assert not within_roots(tmp_path / "root-and-more", [root])
    assert not within_roots(root, [])
    for folder in (root / "way-out", tmp_path):
        with pytest.raises(SourceMisconfigured, match="operator"):
            FilesystemSource(folder, allowed=[root])
    with pytest.raises(SourceMisconfigured, match="operator"):
        open_source("filesystem", {"root": str(root)})


def test_a_root_swapped_for_a_link_after_opening_leads_nowhere(root, source, tmp_path):
    put(tmp_path, "outside/secret")
    root.rename(tmp_path / "moved")
    root.symlink_to(tmp_path / "outside")
    with pytest.raises(SourceMisconfigured):
        listed(source)


def test_a_file_as_root_is_no_folder(root):
    file = put(root, "file")
    with pytest.raises(SourceMisconfigured, match="not a folder"):
        FilesystemSource(file, allowed=[root]).check()
