"""What a Hub remembers: repositories, their commits, and large files by hash."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field

REGULAR_SUFFIXES = (".md", ".json", ".jsonl", ".csv", ".txt", ".yaml", ".yml", ".py", ".gitattributes")
LARGE_BYTES = 10 * 2**20


class RefusalError(Exception):
    """A request that is turned down.

    Args:
        status: HTTP status.
        code: What the real Hub puts into ``X-Error-Code``, or "".
        message: For people.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass
class Repository:
    """One repository.

    Attributes:
        kind: "model", "dataset" or "space".
        name: ``namespace/name``.
        private: Whether it hides from requests without the token.
        gated: Whether files need the token though the repository can be seen.
        commits: Commit hash to its files; oldest first.
        references: Branch or tag to commit hash.
        cut_short: Path to how many bytes are served of it though its full size is announced.
    """

    kind: str
    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    cut_short: dict[str, int] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main", message: str = "") -> str:
        """Make ``files`` the content of a branch; returns the commit's hash."""
        digest = hashlib.sha1(f"{self.kind} {self.name} {len(self.commits)} {message}".encode())
        for path in sorted(files):
            digest.update(path.encode() + hashlib.sha256(files[path]).digest())
        self.commits[digest.hexdigest()] = dict(files)
        self.references[branch] = digest.hexdigest()
        return digest.hexdigest()

    def resolve(self, revision: str) -> str:
        """Commit hash of a branch, a tag or a hash."""
        commit = self.references.get(revision, revision)
        if commit not in self.commits:
            raise RefusalError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit


def is_large(path: str, size: int) -> bool:
    """Whether the Hub would keep a file outside git."""
    return size > 0 and (size > LARGE_BYTES or not path.endswith(REGULAR_SUFFIXES))


def git_hash(data: bytes) -> str:
    """The blob hash git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def describe_file(path: str, data: bytes) -> dict:
    """A file as the tree endpoint lists it."""
    record = {"type": "file", "path": path, "size": len(data), "oid": git_hash(data)}
    if is_large(path, len(data)):
        record["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return record


class Repositories:
    """All repositories and the large files that were uploaded; used under its lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.all: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, bytes] = {}

    def create(self, kind: str, name: str, **options: bool) -> Repository:
        """A new empty repository."""
        if (kind, name) in self.all:
            raise RefusalError(409, "", "You already created this repo")
        repository = Repository(kind, name, **options)
        repository.commit({}, message="initial commit")
        self.all[kind, name] = repository
        return repository

    def get(self, kind: str, name: str, authorised: bool) -> Repository:
        """A repository that the asker may see."""
        repository = self.all.get((kind, name))
        if repository is None or (repository.private and not authorised):
            raise RefusalError(404 if authorised else 401, "RepoNotFound", "Repository not found")
        return repository

    def apply(self, repository: Repository, branch: str, body: bytes) -> str:
        """Apply a commit in the client's JSON Lines form; returns the new commit's hash."""
        parent = repository.resolve(branch)
        files = dict(repository.commits[parent])
        summary = ""
        for line in body.splitlines():
            entry = json.loads(line)
            key, value = entry["key"], entry["value"]
            if key == "header":
                summary = value["summary"]
                if value.get("parentCommit") not in (None, parent):
                    raise RefusalError(412, "", "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.large:
                    raise RefusalError(400, "", f"LFS pointer points to a file that does not exist: {value['path']}")
                files[value["path"]] = self.large[value["oid"]]
            elif key == "deletedFile":
                if files.pop(value["path"], None) is None:
                    raise RefusalError(404, "EntryNotFound", "A file with this name doesn't exist")
            elif key == "deletedFolder":
                files = {path: data for path, data in files.items() if not path.startswith(value["path"])}
            else:
                raise RefusalError(400, "", f"unknown operation {key}")
        return repository.commit(files, branch, summary)
