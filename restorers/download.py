"""Files from the Hub: from one commit, hash-checked, cached, and with errors that say what to do."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from errors import UsageError, WeightsError, first_line
from hashing import sha256_of

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Repository:
    """A model repository at one commit.

    The first answer of the Hub (or of the cache, offline) fixes the commit; every file comes from it.

    Args:
        name: ``ORG/NAME``.
        revision: Commit, tag or branch; None: the default branch.
        largest: Bytes that one file may have; None: any number. Files that are in the cache already count as paid for
            when the Hub cannot be reached.
        anonymous: Ask without the token of whoever runs this, for people who may not see that person's private models.
    """

    def __init__(
        self, name: str, revision: str | None = None, *, largest: int | None = None, anonymous: bool = False
    ) -> None:
        self.name, self.revision, self.largest = name, revision, largest
        self._token = False if anonymous else None
        self._asked = revision
        self._names: list[str] | None = None
        self._sizes: dict[str, int] = {}
        self._offline = False

    def files(self) -> list[str]:
        """Names of all files; those in the cache when the Hub cannot be reached.

        Raises:
            WeightsError: The repository cannot be reached or read.
            UsageError: That cannot be the name of a repository.
        """
        if self._names is None:
            with explained(self.name, self.revision):
                self._names = self._ask()
        return self._names

    def _ask(self) -> list[str]:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError

        try:
            api = HfApi(token=self._token)
            info = api.model_info(self.name, revision=self.revision, files_metadata=self.largest is not None)
        except (OSError, *connection_errors()) as error:
            if isinstance(error, HfHubHTTPError):  # the Hub has answered
                raise
            self._offline = True
            folder = Path(snapshot_download(self.name, revision=self.revision, local_files_only=True))
            self.revision = folder.name
            return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        self.revision = info.sha
        self._sizes = {sibling.rfilename: sibling.size or 0 for sibling in info.siblings or ()}
        return list(self._sizes)

    def check_size(self, filename: str) -> None:
        """Refuse a file that is larger than ``largest``.

        Raises:
            WeightsError: It is, or the repository cannot be reached or read.
            UsageError: That cannot be the name of a repository.
        """
        self.files()
        size = self._sizes.get(filename, 0)
        if self.largest is not None and size > self.largest:
            raise WeightsError(
                f"{filename} of {self.name} has {size / 1e9:.3g} GB, more than the {self.largest / 1e9:.3g} GB that "
                "are loaded here; choose a smaller model."
            )

    def fetch(self, filename: str) -> Path:
        """Path of a file in the cache, downloaded if needed; large files are checked against the Hub's hash.

        Raises:
            WeightsError: No such file, or it is too large or cannot be reached, or what arrived is not what the Hub
                has.
            UsageError: That cannot be the name of a repository.
        """
        from huggingface_hub import hf_hub_download

        if filename not in self.files():
            held = f"it holds {', '.join(self.files()[:8])}"
            raise WeightsError(f"{self.name} has no file {filename!r}; {held}.")
        self.check_size(filename)
        with explained(self.name, self.revision, filename):
            # Asked by the name that the caller used, so that the cache remembers which commit that name means ...
            fetch = partial(hf_hub_download, self.name, filename, token=self._token)
            path = Path(fetch(revision=self._asked, local_files_only=self._offline))
            # ... but a branch can move between two files.
            if path != _in_snapshot(path, str(self.revision)):
                path = Path(fetch(revision=self.revision))
        _check_blob(path, self.name)
        return path


def _in_snapshot(path: Path, commit: str) -> Path:
    """The same file in the cached snapshot of a commit."""
    parts = list(path.parts)
    parts[parts.index("snapshots") + 1] = commit
    return Path(*parts)


def _check_blob(path: Path, repository: str) -> None:
    """The cache names large files by their sha256, which makes every later reading of them checkable, offline too."""
    blob = path.resolve()
    if _SHA256.fullmatch(blob.name) and sha256_of(blob) != blob.name:
        raise WeightsError(
            f"{path.name} of {repository} is damaged in the local cache (its hash is not the Hub's); "
            f"delete {blob} and try again."
        )


@contextlib.contextmanager
def explained(
    name: str, revision: str | None = None, filename: str | None = None, *, uploading: bool = False
) -> Iterator[None]:
    """Turn the client's many errors into one readable sentence each.

    Args:
        name: Of the repository.
        revision: That was asked for.
        filename: That was asked for.
        uploading: Whether something goes to the Hub rather than comes from it.

    Raises:
        WeightsError: The Hub refuses or cannot be reached.
        UsageError: That cannot be the name of a repository.
    """
    from huggingface_hub import constants, errors

    what = f"{name}{f'@{revision}' if revision else ''}"
    try:
        with _quiet():
            yield
    except errors.HFValidationError as error:
        raise UsageError(
            f"{name!r} is no Hub repository; use ORG/NAME, a file, a folder, or a name from 'list'."
        ) from error
    except errors.GatedRepoError as error:
        raise WeightsError(
            f"{name} is gated: ask for access on its page, then log in with 'hf auth login' or set HF_TOKEN."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise WeightsError(f"{name} has no revision {revision!r}; check the commit, tag or branch.") from error
    except errors.RepositoryNotFoundError as error:
        raise WeightsError(
            f"The Hub has no model {name}, or it is private; check the name, or log in with 'hf auth login'."
        ) from error
    except errors.LocalEntryNotFoundError as error:
        reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the Hub cannot be reached"
        raise WeightsError(
            f"{what} is not in the local cache and {reason}; run 'hf download {name}' once with a network."
        ) from error
    except errors.EntryNotFoundError as error:
        raise WeightsError(f"{what} has no file {filename!r}; check the name on the repository's page.") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        hint = "log in with 'hf auth login' or set HF_TOKEN" if status in (401, 403) else "try again later"
        raise WeightsError(f"The Hub refused {what} with status {status}; {hint}.") from error
    except (OSError, *connection_errors()) as error:
        detail = first_line(error)
        if uploading:
            reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"the Hub cannot be reached: {detail}"
            raise WeightsError(f"{name} could not be uploaded ({reason}); try again with a network.") from error
        raise WeightsError(f"{filename or what} could not be downloaded whole ({detail}); try again.") from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines from the client, whose errors we put into words, and progress bars only on a terminal."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    level, silent = logging.get_verbosity(), are_progress_bars_disabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if not silent and are_progress_bars_disabled():
            enable_progress_bars()


def connection_errors() -> tuple[type[Exception], ...]:
    """Errors of the client's HTTP library, whichever of its versions is installed."""
    from huggingface_hub.errors import HfHubHTTPError

    return tuple(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
