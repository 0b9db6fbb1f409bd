"""Which calls began and how they ended, on disk: what makes a key run once, whatever dies in between.

The intent is on disk before a tool starts, the result before anybody is told of it. A key that is found
without a result therefore began, and nobody knows how far it came.

SQLite with a rollback journal, not a write-ahead log: SQLite drops the damaged end of a log in silence, and
here that would turn "it ran" into "it never ran". Each record carries a checksum beside, and the file is
checked as a whole when it is opened; one that does not hold is refused, never repaired or begun anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from services.common.errors import Reason, SwarmError
from services.tool_server.outcome import Outcome

# Seconds for which a call is remembered; a caller's retries end long before.
KEPT = 86_400.0
# Bytes of results that are kept; beyond, the oldest are forgotten but not that they ran.
LARGEST = 16 << 20
# Characters of one result that are kept.
LONGEST = 1 << 20
# Calls from one tidying to the next.
_TIDY_EVERY = 256
_VERSION = 1
_PAGE = 4096
_FORGOTTEN = "[it ran to its end, but what it returned is no longer kept]"

_SCHEMA = f"""
CREATE TABLE calls (
  key TEXT PRIMARY KEY,
  digest TEXT NOT NULL,
  began REAL NOT NULL,
  outcome TEXT,
  checksum TEXT NOT NULL
);
CREATE INDEX by_age ON calls (began);
PRAGMA user_version = {_VERSION};
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """A key that began before: the `digest` of its call, and its outcome if it is known."""

    digest: str
    outcome: Outcome | None


class Journal:
    """One file, held by one process. Not for use by two threads at once.

    Each method raises SwarmError JOURNAL_UNAVAILABLE when the file is damaged, held by another process, or
    cannot be written; then nothing may run. The next call looks at the file anew.
    """

    def __init__(self, path: Path, clock: Callable[[], float], largest: int = LARGEST) -> None:
        """`clock` gives seconds since 1970. Nothing is opened yet."""
        self._path = path
        self._clock = clock
        self._largest = largest
        self._database: sqlite3.Connection | None = None
        self._begun = 0

    def open(self) -> None:
        with self._transaction():
            pass

    def begin(self, key: str, digest: str) -> Known | None:
        """What is known of `key`. None: nothing was, and now its intent is on disk, so it may run."""
        with self._transaction() as database:
            row = database.execute("SELECT digest, outcome FROM calls WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return Known(row[0], None if row[1] is None else _read(row[1]))
            if self._begun % _TIDY_EVERY == 0:
                self._tidy(database)
            self._begun += 1
            began = self._clock()
            database.execute(
                "INSERT INTO calls VALUES (?, ?, ?, NULL, ?)",
                (key, digest, began, _checksum(key, digest, began, None)),
            )
        return None

    def finish(self, key: str, outcome: Outcome) -> None:
        """Remembers how `key` ended. Raises KeyError when no such key is unfinished."""
        text = _written(outcome)
        with self._transaction() as database:
            query = "SELECT 1 FROM calls WHERE key = ? AND outcome IS NULL"
            if database.execute(query, (key,)).fetchone() is None:
                raise KeyError(key)
            _set_outcome(database, key, text)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the body on disk, or nothing of it."""
        try:
            database = self._database = self._database or _open(self._path)
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            with contextlib.suppress(sqlite3.Error):
                self.close()
            self._database = None
            raise _unavailable(self._path, error) from error

    def _tidy(self, database: sqlite3.Connection) -> None:
        """Forgets calls older than a day, and the oldest results beyond the bound."""
        database.execute("DELETE FROM calls WHERE began < ?", (self._clock() - KEPT,))
        total = 0
        ended = "SELECT key, length(outcome) FROM calls WHERE outcome IS NOT NULL ORDER BY began DESC"
        for key, size in database.execute(ended).fetchall():
            total += size
            if total > self._largest:
                _forget(database, key)


def _open(path: Path) -> sqlite3.Connection:
    """Raises sqlite3.Error or OSError; a damaged file is a sqlite3.DatabaseError that says so."""
    if not path.exists():
        _make(path)
    elif (size := path.stat().st_size) < _PAGE:
        # SQLite takes an empty file, or one with less than its header, for a new one.
        raise sqlite3.DatabaseError(f"it is damaged: the file has {size} bytes")
    database = _connect(path)
    try:
        _check(database)
    except BaseException:
        database.close()
        raise
    return database


def _connect(path: Path) -> sqlite3.Connection:
    # Used from one thread at a time, though not always from the same one.
    database = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    try:
        # Held until it is closed or the process dies: two tool servers would not know of each other's runs.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Cut to nothing, and synced, when a transaction ends: no file comes or goes in between.
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = EXTRA")
        database.execute("BEGIN EXCLUSIVE")
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _make(path: Path) -> None:
    """Under another name first, so that the journal is never there half made."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    # Results may be private.
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    database = _connect(new)
    try:
        database.execute(f"PRAGMA page_size = {_PAGE}")
        database.executescript(_SCHEMA)
    finally:
        database.close()
    new.with_name(new.name + "-journal").unlink(missing_ok=True)
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        raise sqlite3.DatabaseError(f"it has version {version}, expected {_VERSION}")
    (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {found}")
    for *fields, checksum in database.execute("SELECT key, digest, began, outcome, checksum FROM calls"):
        if checksum != _checksum(*fields):
            raise sqlite3.DatabaseError("it is damaged: a record differs from its checksum")


def _set_outcome(database: sqlite3.Connection, key: str, text: str) -> None:
    digest, began = database.execute("SELECT digest, began FROM calls WHERE key = ?", (key,)).fetchone()
    database.execute(
        "UPDATE calls SET outcome = ?, checksum = ? WHERE key = ?",
        (text, _checksum(key, digest, began, text), key),
    )


def _forget(database: sqlite3.Connection, key: str) -> None:
    (text,) = database.execute("SELECT outcome FROM calls WHERE key = ?", (key,)).fetchone()
    outcome = _read(text)
    if outcome.content != _FORGOTTEN:
        _set_outcome(database, key, _written(replace(outcome, content=_FORGOTTEN, truncated=True)))


def _checksum(key: str, digest: str, began: float, outcome: str | None) -> str:
    return hashlib.sha256(ascii([key, digest, began, outcome]).encode()).hexdigest()


def _written(outcome: Outcome) -> str:
    content, truncated = outcome.content, outcome.truncated
    if len(content) > LONGEST:
        content, truncated = content[:LONGEST] + "\n[the rest of this result was not kept]", True
    return json.dumps([content, outcome.reason, outcome.exit_code, truncated])


def _read(text: str) -> Outcome:
    content, reason, exit_code, truncated = json.loads(text)
    return Outcome(content, reason, exit_code, truncated, replayed=True)


def _unavailable(path: Path, error: sqlite3.Error | OSError) -> SwarmError:
    log.error("the journal of calls is unavailable", path=str(path), detail=str(error))
    return SwarmError(
        Reason.JOURNAL_UNAVAILABLE,
        f"The tool server's journal {path} cannot be used: {error}. Nothing was run, because it could be for "
        "the second time. If the file is damaged, move it away; calls that are being repeated just then may "
        "run twice.",
    )
