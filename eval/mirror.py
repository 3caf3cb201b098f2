"""Rows on the Hub: a data set repository that a Space writes to, so that its board outlives its disk.

The Hub's commit scheduler wants files that only grow in number. So every process writes its own files, each once: a
batch of rows becomes a new Parquet file with a name nobody else can have, and the store is rebuilt from all of them
at the next start. Needs a token that may write; without one there is no mirror, and the caller says so.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from errors import StoreError
from eval.rowfiles import read_rows, write_rows
from eval.rows import ScoreRow
from eval.store import Store

FOLDER = "rows"


class Mirror:
    """Copies rows to a data set repository every few minutes.

    Args:
        repo: ``ORG/NAME`` of the data set; made if it is not there, private unless it exists.
        folder: Local folder for the files on their way.
        token: Token that may write; None takes the one the machine is logged in with.
        every_minutes: How often the Hub is written to.

    Raises:
        StoreError: There is no token, or the Hub refuses.
    """

    def __init__(self, repo: str, folder: str | Path, *, token: str | None = None, every_minutes: float = 5) -> None:
        from huggingface_hub import CommitScheduler, get_token
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError

        token = token or get_token()
        if not token:
            raise StoreError(f"Rows cannot be mirrored to {repo} without a token; log in, or set HF_TOKEN.")
        self.repo = repo
        self.folder = Path(folder)
        self._token = token
        self._batch = 0
        self._process = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex}"
        self._guard = threading.Lock()
        try:
            self._scheduler: Any = CommitScheduler(
                repo_id=repo,
                repo_type="dataset",
                folder_path=self.folder,
                path_in_repo=FOLDER,
                every=every_minutes,
                private=True,
                token=token,
                allow_patterns="*.parquet",
            )
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise StoreError(f"Rows cannot be mirrored to {repo} ({reason}); check the name and the token.") from error

    def add(self, rows: Iterable[ScoreRow]) -> None:
        """Queue rows for the next commit; where two say different things, the later one holds when they are loaded."""
        rows = list(rows)
        if not rows:
            return
        with self._guard:
            name = f"{self._process}-{self._batch:06d}.parquet"
            self._batch += 1
        with self._scheduler.lock:  # a commit lists the folder under this lock: it sees a whole file or none
            write_rows(self.folder / name, rows)

    def load(self, store: Store) -> int:
        """Bring everything the repository holds into a store; returns how many rows were read.

        Raises:
            StoreError: The Hub cannot be read.
        """
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            root = snapshot_download(
                self.repo, repo_type="dataset", allow_patterns=f"{FOLDER}/*.parquet", token=self._token
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise StoreError(f"The rows in {self.repo} could not be read ({reason}); try again later.") from error
        files = sorted((Path(root) / FOLDER).glob("*.parquet"), key=lambda path: path.name)
        return sum(store.import_rows(read_rows(path)) for path in files)

    def push(self) -> None:
        """Commit now and wait for it.

        Raises:
            StoreError: The Hub refuses; the files stay and are tried again.
        """
        from huggingface_hub.errors import HfHubHTTPError

        try:
            self._scheduler.trigger().result()
        except (HfHubHTTPError, OSError) as error:
            raise StoreError(f"Rows could not be written to {self.repo} now; they are kept and tried again.") from error

    def close(self) -> None:
        """Commit what is left and stop."""
        self.push()
        self._scheduler.stop()
