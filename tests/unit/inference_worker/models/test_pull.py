"""Pulling from a hub on loopback: progress, interruptions, checksums, refusals, no network."""

from __future__ import annotations

import fcntl
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from io import BufferedReader
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from services.common.errors import Reason, SwarmError
from services.inference_worker.models import pull as pull_module
from services.inference_worker.models.pull import pull
from services.inference_worker.models.reference import HubFile
from tests.fakes.hub import Hub

CONTENT = Random(1).randbytes(300_000)
FILE = HubFile("owner/repo", "model.gguf")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pull_module, "_CHUNK", 16_384)
    # Nothing of the user's own cache or credentials.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "no-token"))


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub({"owner/repo": {"model.gguf": CONTENT, "q4/part-00001-of-00002.gguf": CONTENT[:1000],
                             "q4/part-00002-of-00002.gguf": CONTENT[1000:2000]}}) as hub:  # fmt: skip
        yield hub


class Progress:
    def __init__(self) -> None:
        self.lines: list[tuple[str, int, int]] = []

    def __call__(self, file: str, done: int, total: int) -> None:
        self.lines.append((file, done, total))


def run(hub: Hub, folder: Path, reference: HubFile = FILE, report: Progress | None = None) -> Path:
    return pull(reference, folder, report or Progress(), endpoint=hub.endpoint, pause=0.0)


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.part"))


def test_the_file_arrives_with_progress(hub: Hub, tmp_path: Path) -> None:
    progress = Progress()
    path = run(hub, tmp_path, report=progress)
    assert path == tmp_path / "owner/repo/model.gguf"
    assert path.read_bytes() == CONTENT
    done = [each for _, each, _ in progress.lines]
    assert done[0] == 0
    assert done[-1] == len(CONTENT)
    assert done == sorted(done)
    assert len(done) > 10
    assert {(file, total) for file, _, total in progress.lines} == {("model.gguf", len(CONTENT))}
    assert parts(tmp_path) == []


def test_a_file_that_is_here_is_not_asked_for(hub: Hub, tmp_path: Path) -> None:
    run(hub, tmp_path)
    hub.seen.clear()
    run(hub, tmp_path)
    assert hub.seen == []


def test_the_hubs_own_cache_is_used(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "cached.gguf"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, file: str(cached))
    assert run(hub, tmp_path) == cached
    assert hub.seen == []


def test_a_broken_connection_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.break_after = [100_000, 50_000]
    assert run(hub, tmp_path).read_bytes() == CONTENT
    ranges = [each.range for each in hub.downloads if each.path.startswith("/data/")]
    assert ranges[0] == ""
    begun = [int(each.removeprefix("bytes=").rstrip("-")) for each in ranges[1:]]
    assert len(begun) == 2
    assert 0 < begun[0] <= 100_000 < begun[1] <= 150_000


def test_a_pull_that_was_stopped_goes_on_in_the_next_process(hub: Hub, tmp_path: Path) -> None:
    stop = threading.Event()

    def stop_at_half(file: str, done: int, total: int) -> None:
        if done > total // 2:
            stop.set()

    with pytest.raises(SwarmError) as caught:
        pull(FILE, tmp_path, stop_at_half, endpoint=hub.endpoint, stop=stop)
    assert caught.value.reason is Reason.UNAVAILABLE
    (partial,) = parts(tmp_path)
    size = partial.stat().st_size
    assert len(CONTENT) // 2 < size < len(CONTENT)
    hub.seen.clear()
    assert run(hub, tmp_path).read_bytes() == CONTENT
    assert hub.downloads[-1].range == f"bytes={size}-"


def test_a_server_without_ranges_starts_over(hub: Hub, tmp_path: Path) -> None:
    hub.break_after = [100_000]
    hub.ignores_ranges = True
    assert run(hub, tmp_path).read_bytes() == CONTENT


def test_a_connection_that_brings_nothing_is_given_up(hub: Hub, tmp_path: Path) -> None:
    hub.break_after = [0] * 20
    with pytest.raises(SwarmError) as caught:
        run(hub, tmp_path)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert len(hub.break_after) == 15


def test_a_partial_file_of_other_content_is_thrown_away(hub: Hub, tmp_path: Path) -> None:
    stale = tmp_path / "owner/repo/model.gguf.0000000000000000.part"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"other content")
    assert run(hub, tmp_path).read_bytes() == CONTENT
    assert parts(tmp_path) == []


def test_a_partial_file_that_is_too_long_starts_over(hub: Hub, tmp_path: Path) -> None:
    partial = tmp_path / f"owner/repo/model.gguf.{hashlib.sha256(CONTENT).hexdigest()[:16]}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(bytes(len(CONTENT) + 1))
    assert run(hub, tmp_path).read_bytes() == CONTENT


def test_damaged_content_is_refused_and_removed(hub: Hub, tmp_path: Path) -> None:
    hub.wrong["model.gguf"] = bytes(len(CONTENT))
    with pytest.raises(SwarmError) as caught:
        run(hub, tmp_path)
    assert caught.value.reason is Reason.MODEL_FILE_INVALID
    assert "SHA-256" in caught.value.message
    assert parts(tmp_path) == []
    assert not (tmp_path / "owner/repo/model.gguf").exists()


def test_an_etag_that_is_no_hash_is_not_compared(hub: Hub, tmp_path: Path) -> None:
    hub.etags_are_hashes = False
    assert run(hub, tmp_path).read_bytes() == CONTENT


def test_all_parts_of_a_split_model_are_pulled(hub: Hub, tmp_path: Path) -> None:
    path = run(hub, tmp_path, HubFile("owner/repo", "q4/part-00001-of-00002.gguf"))
    assert path.name == "part-00001-of-00002.gguf"
    assert path.with_name("part-00002-of-00002.gguf").read_bytes() == CONTENT[1000:2000]


class TestTwoWorkersPullTheSame:
    """The second begins while the first has come to the middle, and waits for its lock."""

    @pytest.fixture
    def second_waits(self, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
        waits = threading.Event()
        calls: list[int] = []

        def flock(file: BinaryIO, operation: int) -> None:
            calls.append(operation)
            if len(calls) == 2:
                waits.set()
            fcntl.flock(file, operation)

        monkeypatch.setattr(pull_module, "fcntl", SimpleNamespace(flock=flock, LOCK_EX=fcntl.LOCK_EX))
        return waits

    def pull_twice(
        self,
        hub: Hub,
        folder: Path,
        second_waits: threading.Event,
        meanwhile: Callable[[threading.Event], None],
    ) -> tuple[Future[Path], Future[Path]]:
        """`meanwhile` is called in the middle of the first pull, with what stops it."""
        stop = threading.Event()
        with ThreadPoolExecutor(2) as threads:
            second: list[Future[Path]] = []

            def report(file: str, done: int, total: int) -> None:
                if done > total // 2 and not second:
                    second.append(threads.submit(run, hub, folder))
                    assert second_waits.wait(10)
                    meanwhile(stop)

            first = threads.submit(pull, FILE, folder, report, endpoint=hub.endpoint, stop=stop, pause=0.0)
            wait([first])
        return first, second[0]

    def test_one_pull_serves_both(self, hub: Hub, tmp_path: Path, second_waits: threading.Event) -> None:
        first, second = self.pull_twice(hub, tmp_path, second_waits, lambda stop: None)
        assert first.result() == second.result()
        assert first.result().read_bytes() == CONTENT
        assert len([each for each in hub.downloads if each.path.startswith("/data/")]) == 1

    def test_nobody_else_writes_before_the_file_has_its_name(
        self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        digest = hashlib.file_digest

        def checked(file: BufferedReader, name: str) -> Any:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return digest(file, name)

        monkeypatch.setattr("hashlib.file_digest", checked)
        assert run(hub, tmp_path).read_bytes() == CONTENT

    def test_the_second_goes_on_where_the_first_was_stopped(
        self, hub: Hub, tmp_path: Path, second_waits: threading.Event
    ) -> None:
        first, second = self.pull_twice(hub, tmp_path, second_waits, threading.Event.set)
        assert isinstance(first.exception(), SwarmError)
        assert second.result().read_bytes() == CONTENT

    def test_the_second_begins_anew_when_the_first_had_to_throw_all_away(
        self, hub: Hub, tmp_path: Path, second_waits: threading.Event
    ) -> None:
        hub.wrong["model.gguf"] = bytes(len(CONTENT))
        first, second = self.pull_twice(hub, tmp_path, second_waits, lambda stop: hub.wrong.clear())
        assert isinstance(first.exception(), SwarmError)
        assert second.result().read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (HubFile("owner/other", "model.gguf"), "no such repository"),
        (HubFile("owner/repo", "other.gguf"), "no such file"),
    ],
)
def test_what_is_not_there_is_named(hub: Hub, tmp_path: Path, reference: HubFile, words: str) -> None:
    with pytest.raises(SwarmError) as caught:
        run(hub, tmp_path, reference)
    assert (caught.value.reason, caught.value.param) == (Reason.MODEL_NOT_FOUND, "model")
    assert words in caught.value.message
    assert str(reference) in caught.value.message


def test_a_gated_repository_wants_a_token_and_the_data_host_never_sees_it(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated.add("owner/repo")
    with pytest.raises(SwarmError) as caught:
        run(hub, tmp_path)
    assert caught.value.reason is Reason.PERMISSION_DENIED
    assert "HF_TOKEN" in caught.value.message
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert run(hub, tmp_path).read_bytes() == CONTENT
    assert [each.authorized for each in hub.downloads] == [True, False]


def test_without_a_network_it_says_so(tmp_path: Path) -> None:
    with Hub({}) as hub:
        endpoint = hub.endpoint
    with pytest.raises(SwarmError) as caught:
        pull(FILE, tmp_path, Progress(), endpoint=endpoint, pause=0.0)
    assert caught.value.reason is Reason.UNAVAILABLE
    assert endpoint in caught.value.message
    assert "hf:owner/repo:model.gguf" in caught.value.message


def test_a_disk_too_small_is_told_before_anything_is_pulled(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage)
    with pytest.raises(SwarmError) as caught:
        run(hub, tmp_path)
    assert caught.value.reason is Reason.MODEL_TOO_LARGE
    assert "300000" in caught.value.message
    assert hub.downloads == []
