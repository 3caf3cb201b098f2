"""Rows on disk: a SQLite file that several processes may write at once.

One table of rows, keyed by :data:`eval.rows.KEY_COLUMNS`. Writing the same key again replaces the row. The write-ahead
log lets readers go on while somebody writes, a batch is one transaction, and a process that is killed at any moment
leaves whole batches behind.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import StoreError
from eval.rowfiles import SUFFIXES, read_rows
from eval.rows import COLUMNS, KEY_COLUMNS, ScoreRow, to_frame

if TYPE_CHECKING:
    import pandas

WAIT_SECONDS = 60.0
"""How long a writer waits for another one; a batch takes milliseconds."""

_TYPES = {
    "value": "REAL",
    "error": "TEXT",
    "height": "INTEGER",
    "width": "INTEGER",
    "seconds": "REAL",
    "score_seconds": "REAL",
    "peak_mib": "REAL",
    "input_pixels": "INTEGER",
}


_INSERT = f"INSERT OR REPLACE INTO rows ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
_FORGET = """DELETE FROM rows WHERE dataset = ? AND image = ? AND method = ? AND protocol_hash = ? AND NOT (
    error IS NULL AND input_sha256 = ? AND reference_sha256 = ? AND weights_sha256 = ? AND code_version = ?
    AND (output_sha256 = ? OR device <> ''))"""


def is_store(path: str | Path) -> bool:
    """Whether an existing file is a SQLite file; unlike :class:`Store`, asking changes nothing."""
    with Path(path).open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def _create_rows(connection: sqlite3.Connection) -> None:
    names = (name for name in COLUMNS if name != "input_pixels")
    columns = ", ".join(f"{name} {_TYPES.get(name, 'TEXT NOT NULL')}" for name in names)
    connection.execute(f"CREATE TABLE rows ({columns}, PRIMARY KEY ({', '.join(KEY_COLUMNS)})) WITHOUT ROWID")


def _index_content(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE INDEX by_content ON rows (input_sha256, protocol_hash, method)")


def _add_input_pixels(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE rows ADD COLUMN input_pixels INTEGER")


STEPS: tuple[Callable[[sqlite3.Connection], None], ...] = (_create_rows, _index_content, _add_input_pixels)
"""The schema as a history: a store at version v gets the steps from v on, a new one gets them all. Steps that have
been released are never edited, only followed by new ones."""

SCHEMA_VERSION = len(STEPS)


class Store:
    """Score rows in a SQLite file.

    Safe for threads (one connection each) and for processes (write-ahead log, immediate transactions).

    Args:
        path: The file; made with its folders if it is not there.

    Raises:
        StoreError: The file is no store, is newer than this program, or cannot be written.

    Example:
        >>> import tempfile
        >>> from eval.rows import ScoreRow
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = Store(folder.name + "/rows.sqlite")
        >>> store.add([ScoreRow("0001", "input", "psnr", value=17.5)])
        >>> len(store)
        1
        >>> store.close(); folder.cleanup()
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._prepare()
        except (sqlite3.DatabaseError, OSError) as error:
            raise StoreError(
                f"{self.path} cannot be used as a store of rows ({error}); choose another file."
            ) from error

    def add(self, rows: Iterable[ScoreRow]) -> None:
        """Write rows in one transaction; a row with the key of an older one replaces it."""
        values = [_values(row) for row in rows]
        if values:
            with self._writing() as connection:
                connection.executemany(_INSERT, values)

    def replace(self, rows: Iterable[ScoreRow]) -> None:
        """Write what is now known of some pictures: :meth:`add`, and forget what no longer holds.

        For every picture, method and protocol among ``rows``, older rows that are errors or that belong to another
        input, reference, output, weight file or version of the code are removed in the same transaction. Rows of
        other metrics of the same content stay.
        """
        rows = list(rows)
        scopes = {(row.dataset, row.image, row.method, row.protocol_hash): row for row in rows}
        forget = [
            (*scope, row.input_sha256, row.reference_sha256, row.weights_sha256, row.code_version, row.output_sha256)
            for scope, row in scopes.items()
        ]
        if rows:
            with self._writing() as connection:
                connection.executemany(_FORGET, forget)
                connection.executemany(_INSERT, map(_values, rows))

    def __len__(self) -> int:
        return self._connection().execute("SELECT count(*) FROM rows").fetchone()[0]

    def rows(self, **filters: str | Iterable[str]) -> Iterator[ScoreRow]:
        """Rows in the order of their keys, one after the other.

        Args:
            filters: Column name to the value, or the values, it shall have.
        """
        where, values = _where(filters)
        order = ", ".join(KEY_COLUMNS)
        cursor = self._connection().execute(f"SELECT {', '.join(COLUMNS)} FROM rows{where} ORDER BY {order}", values)
        for record in cursor:
            yield ScoreRow(**dict(zip(COLUMNS, record, strict=True)))

    def frame(self, **filters: str | Iterable[str]) -> pandas.DataFrame:
        """The same as a table with the columns of :data:`eval.rows.COLUMNS`."""
        return to_frame(self.rows(**filters))

    def find(self, **content: str) -> list[ScoreRow]:
        """Rows with exactly this content, whatever the picture and the set were called: the cache look-up.

        Args:
            content: Column name to value; ``input_sha256`` and ``protocol_hash`` at least, which are indexed.
        """
        where, values = _where(content)
        cursor = self._connection().execute(f"SELECT {', '.join(COLUMNS)} FROM rows{where}", values)
        return [ScoreRow(**dict(zip(COLUMNS, record, strict=True))) for record in cursor.fetchall()]

    def datasets(self) -> list[str]:
        """Names of the sets that have rows."""
        return [name for (name,) in self._connection().execute("SELECT DISTINCT dataset FROM rows ORDER BY 1")]

    def delete(self, **filters: str | Iterable[str]) -> int:
        """Remove the rows that match all filters; returns how many. At least one filter is needed."""
        if not filters:
            raise ValueError("delete() without a filter would empty the store")
        where, values = _where(filters)
        with self._writing() as connection:
            return connection.execute(f"DELETE FROM rows{where}", values).rowcount

    def import_rows(self, rows: Iterable[ScoreRow]) -> int:
        """Add rows from elsewhere, all of them or none, one after the other; returns how many."""
        with self._writing() as connection:
            return connection.executemany(_INSERT, map(_values, rows)).rowcount

    def close(self) -> None:
        """Close every thread's connection; the file then stands alone, without a log beside it."""
        with self._guard:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = threading.local()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _connection(self) -> sqlite3.Connection:
        if getattr(self._local, "connection", None) is None:
            connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA synchronous = NORMAL")
            with self._guard:
                self._connections.append(connection)
            self._local.connection = connection
        return self._local.connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """An immediate transaction: the lock is taken before anything is read, so it never has to be upgraded."""
        connection = self._connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.path} cannot be written ({error}); check the disk and other writers.") from error

    def _prepare(self) -> None:
        connection = self._connection()
        _retried(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone())
        with self._writing():
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StoreError(f"{self.path} is a database of something else; choose another file.")
            if version > SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path} was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION}); "
                    "update the program."
                )
            for step in STEPS[version:]:
                step(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _retried(action: Callable[[], Any]) -> Any:
    """Switching a new file to the write-ahead log does not honour the busy timeout; two processes may try at once."""
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def read_any(path: str | Path) -> Iterator[ScoreRow]:
    """Rows of a row file or of a store, in the order in which they stand there.

    Raises:
        StoreError: It is not there, or neither of the two.
    """
    path = Path(path)
    if path.suffix.lower() in SUFFIXES:
        yield from read_rows(path)
        return
    if not path.is_file():
        raise StoreError(f"There is no file {str(path)!r}; give row files or a store.")
    if not is_store(path):
        raise StoreError(f"{path.name} is neither a row file (.csv, .parquet, .jsonl) nor a store; check it.")
    with Store(path) as store:
        yield from store.rows()


def _values(row: ScoreRow) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in COLUMNS)


def _where(filters: dict[str, str | Iterable[str]]) -> tuple[str, list[str]]:
    clauses, values = [], []
    for name, wanted in filters.items():
        if name not in COLUMNS:
            raise ValueError(f"rows have no column {name!r}")
        several = [wanted] if isinstance(wanted, str) else list(wanted)
        clauses.append(f"{name} IN ({', '.join('?' * len(several))})")
        values += several
    return (f" WHERE {' AND '.join(clauses)}" if clauses else ""), values
