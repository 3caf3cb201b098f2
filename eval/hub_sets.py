"""Sets that lie on the Hugging Face Hub: ``hf://datasets/ORG/NAME[@REVISION][/FOLDER]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from errors import SetError, UsageError, first_line
from eval.layouts import METADATA_NAMES, TAR_SUFFIXES
from images import SUFFIXES

_FORM = re.compile(r"hf://datasets/(?P<repo>[\w.\-]+/[\w.\-]+)(@(?P<revision>[^/]+))?(/(?P<folder>.+?))?/?")
_WANTED = (*(f"*{end}" for end in (*SUFFIXES, *TAR_SUFFIXES, ".zip", ".parquet")), *METADATA_NAMES)


@dataclass(frozen=True)
class HubSet:
    """A parsed address.

    Attributes:
        repo: ``ORG/NAME``.
        revision: Branch, tag or commit; None for the main branch.
        folder: Folder inside the repository, or "".
    """

    repo: str
    revision: str | None = None
    folder: str = ""

    @classmethod
    def parse(cls, address: str) -> HubSet:
        """Read an address.

        Raises:
            UsageError: It is none.
        """
        found = _FORM.fullmatch(address)
        if not found or ".." in (found["folder"] or "").split("/"):
            raise UsageError(f"{address!r} is no data set address; write hf://datasets/ORG/NAME[@REVISION][/FOLDER].")
        revision = found["revision"].replace("%2F", "/") if found["revision"] else None
        return cls(found["repo"], revision, found["folder"] or "")


def snapshot(address: str) -> tuple[Path, str]:
    """Bring a set's pictures into the Hub cache.

    Returns:
        The folder they lie in, and a short name. Without a network, what the cache holds is used.

    Raises:
        UsageError: The address is malformed.
        SetError: The set does not exist, may not be read, or cannot be had without a network.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    place = HubSet.parse(address)
    prefix = f"{place.folder}/" if place.folder else ""
    # "*" crosses folders in these patterns, but a pattern has to match from the start of the path
    patterns = [f"{prefix}{pattern}" for pattern in _WANTED] + [f"{prefix}*/{name}" for name in METADATA_NAMES]
    try:
        root = snapshot_download(place.repo, repo_type="dataset", revision=place.revision, allow_patterns=patterns)
    except GatedRepoError as error:
        raise SetError(f"The data set {place.repo} is gated; accept its terms on its page and log in.") from error
    except RevisionNotFoundError as error:
        raise SetError(f"The data set {place.repo} has no revision {place.revision!r}; check it.") from error
    except RepositoryNotFoundError as error:
        raise SetError(
            f"There is no data set {place.repo} on the Hub, or it is private; check the name or log in."
        ) from error
    except LocalEntryNotFoundError as error:
        raise SetError(
            f"The data set {place.repo} is not in the cache of this machine and the Hub cannot be reached; connect, or "
            "give a folder."
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        reason = first_line(error)
        raise SetError(f"The data set {place.repo} could not be downloaded ({reason}); try again.") from error
    folder = Path(root) / place.folder
    if not folder.is_dir():
        raise SetError(f"The data set {place.repo} has no pictures in {place.folder or 'it'!r}.")
    return folder, place.repo
