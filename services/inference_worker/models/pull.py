"""Pulls a model file from the Hugging Face hub: with progress, going on where it was interrupted, verified.

The hub's library knows addresses, credentials and its own cache. The transfer is done here, because the
library throws partial files away when its process ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import httpx2
import huggingface_hub
import structlog
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session  # type: ignore[attr-defined]

from services.common.errors import Reason, SwarmError
from services.inference_worker.models.gguf_file import part_names
from services.inference_worker.models.reference import HubFile

# Called with the file's name, the bytes that are here and the bytes in all.
Report = Callable[[str, int, int], None]

_CHUNK = 1 << 20
# Attempts in a row that bring no new byte before the pull is given up, and the pauses between them.
_ATTEMPTS = 5
_PAUSE = 1.0
_TIMEOUT = 30.0
_SHA256 = re.compile(r"[0-9a-f]{64}")

log = structlog.get_logger()


def pull(
    reference: HubFile,
    folder: Path,
    report: Report,
    endpoint: str | None = None,
    stop: threading.Event | None = None,
    pause: float = _PAUSE,
) -> Path:
    """The local path of the file (of the first part, if it is split), pulled into `folder` if need be.

    A file that is here already is used without asking the hub. `endpoint` defaults to HF_ENDPOINT. `stop`
    ends the pull between two chunks; what has come stays and is not pulled again.

    Raises SwarmError MODEL_NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE (no network, or stopped),
    MODEL_TOO_LARGE (disk), or MODEL_FILE_INVALID (checksum).
    """
    stop = stop or threading.Event()
    directory, _, name = reference.file.rpartition("/")
    paths = [
        _Pull(HubFile(reference.repo, f"{directory}/{part}" if directory else part), folder, endpoint).run(
            report, stop, pause
        )
        for part in part_names(name)
    ]
    return paths[0]


class _Pull:
    """One file."""

    def __init__(self, reference: HubFile, folder: Path, endpoint: str | None) -> None:
        self._reference = reference
        self._endpoint = endpoint or constants.ENDPOINT
        self._url = huggingface_hub.hf_hub_url(reference.repo, reference.file, endpoint=endpoint)
        self._target = folder / reference.repo / reference.file

    def run(self, report: Report, stop: threading.Event, pause: float) -> Path:
        if self._target.is_file():
            return self._target
        cached = huggingface_hub.try_to_load_from_cache(self._reference.repo, self._reference.file)
        if isinstance(cached, str):
            return Path(cached)
        size, etag = self._ask()
        self._target.parent.mkdir(parents=True, exist_ok=True)
        # The etag names the content: a part of other content cannot be gone on with.
        partial = self._target.with_name(f"{self._target.name}.{etag[:16]}.part")
        for stale in self._target.parent.glob(f"{self._target.name}.*.part"):
            if stale != partial:
                stale.unlink()
        while not self._pull_into(partial, size, etag, report, stop, pause):
            pass
        return self._target

    def _pull_into(
        self, partial: Path, size: int, etag: str, report: Report, stop: threading.Event, pause: float
    ) -> bool:
        """False: it must be begun anew, because another worker has thrown this partial file away."""
        with partial.open("ab") as file:
            # Another worker may be pulling the same file. It holds the lock until the file has its name.
            fcntl.flock(file, fcntl.LOCK_EX)
            if self._target.is_file():
                return True
            if not os.fstat(file.fileno()).st_nlink:
                return False
            # To where the other has come, if it was stopped.
            if file.seek(0, os.SEEK_END) > size:
                _empty(file)
            self._check_disk(size - file.tell())
            self._transfer(file, size, report, stop, pause)
            self._verify(partial, etag)
            partial.replace(self._target)
        return True

    def _ask(self) -> tuple[int, str]:
        """Size and etag. Nothing else is learned here, so no request for content is made for nothing."""
        try:
            metadata = huggingface_hub.get_hf_file_metadata(
                self._url, timeout=_TIMEOUT, endpoint=self._endpoint
            )
        except GatedRepoError as error:
            raise SwarmError(
                Reason.PERMISSION_DENIED,
                f"{self._reference} is gated: accept its terms on the hub and set HF_TOKEN",
            ) from error
        except (RepositoryNotFoundError, EntryNotFoundError) as error:
            missing = "file" if isinstance(error, EntryNotFoundError) else "repository"
            raise SwarmError(
                Reason.MODEL_NOT_FOUND,
                f"{self._reference}: {self._endpoint} has no such {missing} (private ones need HF_TOKEN)",
                param="model",
            ) from error
        except (HfHubHTTPError, httpx2.HTTPError, OfflineModeIsEnabled, OSError) as error:
            raise self._unreachable(error) from error
        if metadata.size is None or not metadata.etag:
            raise self._unreachable("it tells neither size nor etag of the file")
        return metadata.size, metadata.etag

    def _transfer(
        self, file: BinaryIO, size: int, report: Report, stop: threading.Event, pause: float
    ) -> None:
        failures = 0
        while (done := file.tell()) < size:
            report(self._reference.file, done, size)
            try:
                self._stream(file, size, report, stop)
            except (httpx2.HTTPError, HfHubHTTPError) as error:
                failures = 0 if file.tell() > done else failures + 1
                if failures >= _ATTEMPTS:
                    raise self._unreachable(error) from error
                log.warning("model.pull interrupted", file=self._reference.file, detail=str(error))
                if stop.wait(pause):
                    raise self._stopped() from error
        file.flush()
        report(self._reference.file, size, size)

    def _stream(self, file: BinaryIO, size: int, report: Report, stop: threading.Event) -> None:
        """Appends what the hub sends. Raises httpx2.HTTPError when the connection breaks."""
        done = file.tell()
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
        with get_session().stream(
            "GET", self._url, headers=headers, timeout=_TIMEOUT, follow_redirects=True
        ) as response:
            response.raise_for_status()
            if done and response.status_code != httpx2.codes.PARTIAL_CONTENT:
                # The server sends the whole file.
                _empty(file)
            for chunk in response.iter_bytes(_CHUNK):
                if stop.is_set():
                    raise self._stopped()
                file.write(chunk)
                report(self._reference.file, file.tell(), size)
        if file.tell() > size:
            raise SwarmError(Reason.MODEL_FILE_INVALID, f"{self._reference}: the hub sent more than it said")

    def _verify(self, partial: Path, etag: str) -> None:
        """Large files carry their SHA-256 as etag; small ones another mark, which says nothing here."""
        if not _SHA256.fullmatch(etag):
            return
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != etag:
            partial.unlink()
            raise SwarmError(
                Reason.MODEL_FILE_INVALID,
                f"{self._reference}: the pulled file is damaged (SHA-256 {found}, expected {etag}); "
                "it was removed, try again",
            )

    def _check_disk(self, wanted: int) -> None:
        free = shutil.disk_usage(self._target.parent).free
        if wanted > free:
            raise SwarmError(
                Reason.MODEL_TOO_LARGE,
                f"{self._reference} needs {wanted} more bytes on disk, {free} are free in "
                f"{self._target.parent}",
            )

    def _unreachable(self, why: object) -> SwarmError:
        return SwarmError(
            Reason.UNAVAILABLE,
            f"{self._reference} cannot be pulled from {self._endpoint} and is not here yet: {why}",
        )

    def _stopped(self) -> SwarmError:
        return SwarmError(Reason.UNAVAILABLE, f"pulling {self._reference} was stopped; it can go on later")


def _empty(file: BinaryIO) -> None:
    file.truncate(0)
    file.seek(0)
