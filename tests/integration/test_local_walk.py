"""What the arguments of `scanledger detect` name: everything below a folder, nothing outside of it, and all is said."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from application.detecting import LocalAccount, LocalFile
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.detection.local.opening import NoFile, opened
from infrastructure.detection.local.walk import Walk

NOBODY = 65534


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


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def put(*names: str) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def walked(*targets: str, excluded: tuple[str, ...] = ()) -> list[str]:
    """Every candidate: its object, and why it is not read if it is not."""
    return [
        one.object if isinstance(one, LocalFile) else f"{one.object} {one.disposition} {one.reason}"
        for one in Walk(targets, excluded=excluded)
    ]


def test_a_folder_is_walked_in_byte_order_of_its_paths() -> None:
    put("f/b", "f/a/z", "f/a.txt", "f/a/b/c", "f/Z", "f/é")
    assert walked("f") == ["f/Z", "f/a.txt", "f/a/b/c", "f/a/z", "f/b", "f/é"]


@pytest.mark.parametrize("given", ["f", "./f", "f/", "../root/f"])
def test_paths_are_told_as_they_were_given_and_joined(given: str) -> None:
    put("f/a/b")
    assert walked(given) == [f"{given.rstrip('/')}/a/b"]


def test_targets_come_in_their_order() -> None:
    put("b", "a", "f/x")
    assert walked("b", "-", "f", "a") == ["b", "-", "f/x", "a"]


def test_links_below_a_folder_are_not_followed_and_are_told(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("x")
    put("f/file")
    Path("f/to-file").symlink_to("file")
    Path("f/to-folder").symlink_to(tmp_path / "outside")
    Path("f/loop").symlink_to(".")
    Path("f/dangling").symlink_to("nowhere")
    links = [f"f/{name} skipped link" for name in ("dangling", "loop", "to-file", "to-folder")]
    assert sorted(walked("f")) == ["f/dangling skipped link", "f/file", *links[1:]]


def test_a_link_that_was_named_is_followed() -> None:
    put("f/a/x", "g")
    Path("l").symlink_to("f/a")
    Path("m").symlink_to("g")
    assert walked("l", "m") == ["l/x", "m"]


def test_pipes_and_sockets_are_not_opened_and_are_told() -> None:
    put("f/file")
    os.mkfifo("f/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("f/socket")
        assert walked("f", "f/pipe", "/dev/null") == [
            *("f/file", "f/pipe skipped not_a_file", "f/socket skipped not_a_file"),
            *("f/pipe skipped not_a_file", "/dev/null skipped not_a_file"),
        ]


def test_what_is_gone_failed() -> None:
    Path("dangling").symlink_to("nowhere")
    assert walked("missing", "dangling") == ["missing failed not_found", "dangling failed not_found"]


def test_a_name_that_is_not_utf8_is_told_as_utf8_and_can_be_opened() -> None:
    Path("f").mkdir()
    Path(os.fsdecode(b"f/\xff.txt")).write_text("x")
    [file] = Walk(["f"])
    assert isinstance(file, LocalFile)
    assert file.object == "f/\N{REPLACEMENT CHARACTER}ff.txt"
    assert Path(file.path or "").read_text() == "x"


@pytest.mark.parametrize(
    ("glob", "left"),
    [
        ("*.log", ["f/a/b.txt", "f/c.txt"]),
        ("a", ["f/c.txt", "f/d.log"]),
        ("a/", ["f/c.txt", "f/d.log"]),
        ("a/*", ["f/c.txt", "f/d.log"]),
        ("f/a", ["f/c.txt", "f/d.log"]),
        ("f", []),
        ("*", []),
        ("*.TXT", ["f/a/b.txt", "f/c.txt", "f/d.log"]),
    ],
)
def test_a_glob_leaves_out_names_paths_and_folders_with_all_below(glob: str, left: list[str]) -> None:
    put("f/a/b.txt", "f/c.txt", "f/d.log")
    found = list(Walk(["f"], excluded=[glob]))
    assert [one.object for one in found if isinstance(one, LocalFile)] == left
    skipped = [one for one in found if isinstance(one, LocalAccount)]
    assert {one.reason for one in skipped} == ({"excluded"} if len(left) < 3 else set())


def test_a_deep_tree_is_walked_to_its_end() -> None:
    path = "f"
    Path(path).mkdir()
    for _ in range(400):
        path += "/d"
        Path(path).mkdir()
    (Path(path) / "file").write_text("x")
    assert walked("f") == [f"{path}/file"]


def test_a_path_too_long_for_the_system_is_told() -> None:
    folder = os.open(".", os.O_RDONLY)
    for _ in range(30):
        os.mkdir("n" * 200, dir_fd=folder)
        inner = os.open("n" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    [told] = walked(".")
    assert told.endswith(" failed io_error")


def test_what_may_not_be_read_failed_and_the_rest_is_walked() -> None:
    with TemporaryDirectory(prefix="scanledger-test-") as folder:
        os.chdir(folder)
        Path(folder).chmod(0o755)
        put("f/open.txt", "f/shut/inner.txt", "f/shut.txt")
        Path("f/shut.txt").chmod(0)
        Path("f/shut").chmod(0)
        with unprivileged():
            assert walked("f") == ["f/open.txt", "f/shut.txt", "f/shut/ failed access_denied"]
            with pytest.raises(ObjectUnreadable) as caught, opened("f/shut.txt", lambda: None):
                pass
        assert caught.value.reason is FailReason.ACCESS_DENIED
        Path("f/shut").chmod(0o700)


def test_a_pipe_that_takes_a_files_place_does_not_hold_its_reader() -> None:
    os.mkfifo("pipe")
    with pytest.raises(NoFile), opened("pipe", lambda: None):
        pass


def test_a_pipe_that_has_no_path_is_a_failure_that_says_what_to_give_instead() -> None:
    theirs, ours = os.pipe()
    [account] = Walk([f"/dev/fd/{theirs}"])
    os.close(theirs)
    os.close(ours)
    assert isinstance(account, LocalAccount)
    assert (account.disposition, account.reason) == ("failed", "io_error")
    assert account.detail == "is no file in a folder; give - for standard input"


def test_a_link_that_takes_a_files_place_is_not_followed() -> None:
    put("secret")
    Path("link").symlink_to("secret")
    with pytest.raises(NoFile), opened("link", lambda: None):
        pass
