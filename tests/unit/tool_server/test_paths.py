from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import Reason, SwarmError
from services.tool_server import paths
from services.tool_server.paths import (
    Opener,
    make_folder,
    open_beneath,
    open_by_kernel,
    open_by_walk,
    relative_parts,
)

ROOTS = ("/workspace", "/home/u/sessions/s1")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a.txt", ("a.txt",)),
        ("./a//b/./c", ("a", "b", "c")),
        ("a/../b", ("b",)),
        ("a/..", ()),
        (".", ()),
        ("/workspace", ()),
        ("/workspace/a/b", ("a", "b")),
        ("//workspace//a", ("a",)),
        ("/../workspace/a", ("a",)),
        ("/etc/../workspace/a", ("a",)),
        ("/home/u/sessions/s1/x", ("x",)),
        ("..a/...", ("..a", "...")),
        ("~/x", ("~", "x")),
        ("a\nb ö", ("a\nb ö",)),
    ],
)
def test_a_path_beneath_the_root(path: str, parts: tuple[str, ...]) -> None:
    assert relative_parts(path, ROOTS) == parts


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../x",
        "a/../../x",
        "a/../../workspace/x",
        "/",
        "/etc/passwd",
        "/workspace/..",
        "/workspace/../etc/passwd",
        "/workspace2/x",
        "/work",
        "/home/u/sessions/s2/x",
        "/home/u/sessions/s1/../s2/x",
        "/proc/self/root/etc/passwd",
        "/proc/self/cwd/../../etc/passwd",
    ],
)
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(SwarmError) as caught:
        relative_parts(path, ROOTS)
    assert caught.value.reason is Reason.PATH_OUTSIDE_ROOT
    assert caught.value.param == "path"
    assert path in caught.value.message


@pytest.mark.parametrize("path", ["", "a\0b", "a\ud800"])
def test_what_is_no_path_at_all_is_invalid(path: str) -> None:
    with pytest.raises(SwarmError) as caught:
        relative_parts(path, ROOTS)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_FIELD, "path")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Iterator[int]:
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("inside")
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(params=[open_by_kernel, open_by_walk])
def opener(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Both ways of opening; the kernel's is there wherever these tests are to run on Linux."""
    chosen: Opener = request.param
    if chosen is open_by_kernel and not paths._kernel_can():
        pytest.skip("NOT TESTED: this kernel has no openat2, or this container forbids it")
    monkeypatch.setattr(paths, "_opener", chosen)
    return chosen


def _content(root: int, *parts: str) -> str:
    with os.fdopen(open_beneath(root, parts, os.O_RDONLY)) as file:
        return file.read()


# Turns a folder into a symbolic link to elsewhere and back, for ever.
SWAP = """
import os, sys
flip, outside = sys.argv[1:]
while True:
    os.rename(flip, flip + ".aside")
    os.symlink(outside, flip)
    os.unlink(flip)
    os.rename(flip + ".aside", flip)
"""


@pytest.mark.usefixtures("opener")
class TestOpening:
    def test_a_file_beneath(self, root: int) -> None:
        assert _content(root, "sub", "file") == "inside"

    def test_the_descriptor_is_not_inherited(self, root: int) -> None:
        descriptor = open_beneath(root, ("sub", "file"), os.O_RDONLY)
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)

    @pytest.mark.parametrize("parts", [("nothing",), ("nothing", "file"), ("sub", "nothing")])
    def test_what_is_missing(self, root: int, parts: tuple[str, ...]) -> None:
        with pytest.raises(FileNotFoundError):
            open_beneath(root, parts, os.O_RDONLY)

    def test_a_file_is_no_folder(self, root: int) -> None:
        with pytest.raises(NotADirectoryError):
            open_beneath(root, ("sub", "file", "x"), os.O_RDONLY)

    @pytest.mark.parametrize(
        ("target", "parts"),
        [
            ("{outside}/secret", ("link",)),
            ("{outside}", ("link", "secret")),
            ("../outside/secret", ("link",)),
            ("../outside", ("link", "secret")),
            ("sub/../../outside", ("link", "secret")),
            ("..", ("link", "outside", "secret")),
            ("/", ("link", "etc", "passwd")),
            ("/proc/self/root/etc/passwd", ("link",)),
            ("/proc/self/cwd", ("link",)),
            ("link2", ("link",)),
        ],
    )
    def test_a_link_that_leads_out_is_refused(
        self, root: int, outside: Path, target: str, parts: tuple[str, ...]
    ) -> None:
        os.symlink(target.format(outside=outside), "link", dir_fd=root)
        os.symlink(str(outside / "secret"), "link2", dir_fd=root)
        with pytest.raises(SwarmError) as caught:
            open_beneath(root, parts, os.O_RDONLY)
        assert caught.value.reason is Reason.PATH_OUTSIDE_ROOT

    def test_folders_are_made_and_links_on_the_way_refused(
        self, root: int, outside: Path, tmp_path: Path
    ) -> None:
        descriptor = make_folder(root, ("a", "b", "c"))
        os.close(descriptor)
        assert (tmp_path / "root" / "a" / "b" / "c").is_dir()
        os.close(make_folder(root, ("a", "b")))
        os.symlink(outside, "link", dir_fd=root)
        with pytest.raises(SwarmError) as caught:
            make_folder(root, ("link", "made"))
        assert caught.value.reason is Reason.PATH_OUTSIDE_ROOT
        assert [each.name for each in outside.iterdir()] == ["secret"]

    def test_a_folder_that_turns_into_a_link_meanwhile_never_leads_out(
        self, root: int, outside: Path, tmp_path: Path
    ) -> None:
        flip = tmp_path / "root" / "flip"
        flip.mkdir()
        (flip / "secret").write_text("inside")
        seen = dict.fromkeys(("inside", "refused", "missing", "secret"), 0)
        with subprocess.Popen([sys.executable, "-c", SWAP, str(flip), str(outside)]) as swapping:
            until = time.monotonic() + 20
            # Until both sides of the race were met often enough.
            while min(seen["inside"], seen["refused"]) < 20 and time.monotonic() < until:
                try:
                    seen[_content(root, "flip", "secret")] += 1
                except SwarmError:
                    seen["refused"] += 1
                except OSError:
                    seen["missing"] += 1
            swapping.kill()
        assert seen["secret"] == 0
        assert min(seen["inside"], seen["refused"]) >= 20, seen


def test_a_link_within_the_root_is_followed_by_the_kernel_and_refused_by_the_walk(root: int) -> None:
    os.symlink("sub/file", "link", dir_fd=root)
    with pytest.raises(SwarmError):
        open_by_walk(root, ("link",), os.O_RDONLY)
    if paths._kernel_can():
        os.close(open_by_kernel(root, ("link",), os.O_RDONLY))
