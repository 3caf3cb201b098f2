"""The HTTP side of the stand-in Hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.standin_hub.repositories import RefusalError, Repositories, Repository, describe_file, git_hash, is_large

TOKEN = "hf_standin"
"""The one token that this Hub accepts."""

USER = "tester"
_REPOSITORY = r"(?P<repo>[^/]+/[^/]+)"
_API = rf"/api/(?P<kind>model|dataset|space)s/{_REPOSITORY}"
_ROUTES = [
    ("GET", re.compile(r"/api/whoami-v2"), "whoami"),
    ("POST", re.compile(r"/api/repos/create"), "create"),
    ("POST", re.compile(r"/api/validate-yaml"), "validate"),
    ("GET", re.compile(rf"{_API}(/revision/(?P<revision>[^/]+))?"), "info"),
    ("GET", re.compile(rf"{_API}/tree/(?P<revision>[^/]+)(/(?P<path>.+))?"), "tree"),
    ("GET", re.compile(rf"{_API}/refs"), "references"),
    ("GET", re.compile(rf"{_API}/commits/(?P<revision>[^/]+)"), "commits"),
    ("POST", re.compile(rf"{_API}/paths-info/(?P<revision>[^/]+)"), "paths"),
    ("POST", re.compile(rf"{_API}/preupload/(?P<revision>[^/]+)"), "preupload"),
    ("POST", re.compile(rf"{_API}/commit/(?P<revision>[^/]+)"), "commit"),
    ("POST", re.compile(rf"/((?P<kinds>datasets|spaces)/)?{_REPOSITORY}\.git/info/lfs/objects/batch"), "batch"),
    ("PUT", re.compile(r"/lfs-upload/(?P<oid>[0-9a-f]{64})"), "receive"),
    (
        "GET",
        re.compile(rf"/((?P<kinds>datasets|spaces)/)?{_REPOSITORY}/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
        "resolve",
    ),
    ("GET", re.compile(r"/content/(?P<oid>[0-9a-f]{64})/(?P<length>\d+)"), "content"),
]


class StandInHub:
    """A Hub on 127.0.0.1 for as long as the ``with`` block lasts.

    Attributes:
        requests: Method and path of every request so far.
    """

    def __init__(self) -> None:
        self.repositories = Repositories()
        self.requests: list[tuple[str, str]] = []
        self._server: ThreadingHTTPServer | None = None

    def __enter__(self) -> StandInHub:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where it listens; the client's ``HF_ENDPOINT``."""
        assert self._server is not None, "use it in a with block"
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def store_url(self) -> str:
        """The same server under another host name: large files lie elsewhere, as with the real Hub's storage."""
        return self.url.replace("127.0.0.1", "localhost")

    def environment(self, home: Path | str, token: str | None = None) -> dict[str, str]:
        """Environment of a child process whose client talks to this Hub only, with an empty cache in ``home``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        settings = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        return kept | settings | ({"HF_TOKEN": token} if token else {"HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"})

    def add(
        self, kind: str, name: str, files: dict[str, bytes] | Path, *, private: bool = False, gated: bool = False
    ) -> str:
        """A repository with one commit; returns the commit's hash.

        Args:
            kind: "model", "dataset" or "space".
            name: ``namespace/name``.
            files: Path to content, or a folder to copy.
            private: 401 without the token.
            gated: The files are 403 without the token.
        """
        if isinstance(files, Path):
            folder = files
            files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        with self.repositories.lock:
            return self.repositories.create(kind, name, private=private, gated=gated).commit(files)

    def commit(self, kind: str, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """A further commit with exactly these files; returns its hash."""
        with self.repositories.lock:
            return self.repositories.all[kind, name].commit(files, branch)

    def files(self, kind: str, name: str, revision: str = "main") -> dict[str, bytes]:
        """The files of a repository."""
        with self.repositories.lock:
            repository = self.repositories.all[kind, name]
            return dict(repository.commits[repository.resolve(revision)])

    def cut_short(self, kind: str, name: str, path: str, length: int) -> None:
        """From now on serve only the first bytes of a file, announcing all of them."""
        with self.repositories.lock:
            self.repositories.all[kind, name].cut_short[path] = length


class _Handler(BaseHTTPRequestHandler):
    """Finds the route and answers; every ``on_`` method returns (status, headers, body)."""

    hub: StandInHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PUT(self) -> None:
        self._answer("PUT")

    def log_message(self, format: str, *args: Any) -> None:
        """Tests stay quiet; see ``StandInHub.requests``."""

    @property
    def authorised(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {TOKEN}"

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        self.query = parse_qs(url.query)
        self.body = self._read_body()
        with self.hub.repositories.lock:
            self.hub.requests.append((self.command, url.path))
            try:
                status, headers, body = self._dispatch(method, url.path)
            except RefusalError as refusal:
                status, body = refusal.status, json.dumps({"error": refusal.message}).encode()
                headers = {"X-Error-Message": refusal.message, "Content-Type": "application/json"}
                if refusal.code:
                    headers["X-Error-Code"] = refusal.code
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _read_body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _dispatch(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        for verb, pattern, name in _ROUTES:
            if verb == method and (found := pattern.fullmatch(path)):
                parts = {key: unquote(value) for key, value in found.groupdict().items() if value is not None}
                if "kinds" in found.groupdict():
                    parts["kind"] = parts.pop("kinds", "models").removesuffix("s")
                return getattr(self, f"on_{name}")(**parts)
        raise RefusalError(404, "", f"the stand-in has no {method} {path}")

    def _json(self, record: Any, status: int = 200) -> tuple[int, dict[str, str], bytes]:
        return status, {"Content-Type": "application/json"}, json.dumps(record).encode()

    def _repository(self, kind: str, repo: str) -> Repository:
        return self.hub.repositories.get(kind, repo, self.authorised)

    def _for_writing(self, kind: str, repo: str) -> Repository:
        if not self.authorised:
            raise RefusalError(401, "", "Invalid credentials in Authorization header")
        return self._repository(kind, repo)

    def on_whoami(self) -> tuple[int, dict[str, str], bytes]:
        if not self.authorised:
            raise RefusalError(401, "", "Invalid credentials in Authorization header")
        token = {"accessToken": {"displayName": "stand-in", "role": "write"}, "type": "access_token"}
        return self._json({"type": "user", "id": "0", "name": USER, "fullname": USER, "orgs": [], "auth": token})

    def on_create(self) -> tuple[int, dict[str, str], bytes]:
        if not self.authorised:
            raise RefusalError(401, "", "Invalid credentials in Authorization header")
        asked = json.loads(self.body)
        kind = asked.get("type") or "model"
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        prefix = "" if kind == "model" else f"{kind}s/"
        url = f"{self.hub.url}/{prefix}{name}"
        if (kind, name) in self.hub.repositories.all:
            return self._json({"error": "You already created this repo", "url": url, "name": name}, 409)
        self.hub.repositories.create(kind, name, private=private)
        return self._json({"url": url, "name": name})

    def on_validate(self) -> tuple[int, dict[str, str], bytes]:
        return self._json({"errors": [], "warnings": []})

    def on_info(self, kind: str, repo: str, revision: str = "main") -> tuple[int, dict[str, str], bytes]:
        repository = self._repository(kind, repo)
        commit = repository.resolve(revision)
        record = {
            "id": repo,
            "sha": commit,
            "private": repository.private,
            "gated": "auto" if repository.gated else False,
            "tags": [],
            "siblings": [{"rfilename": path} for path in sorted(repository.commits[commit])],
        }
        return self._json(record | ({"modelId": repo} if kind == "model" else {}))

    def on_tree(self, kind: str, repo: str, revision: str, path: str = "") -> tuple[int, dict[str, str], bytes]:
        repository = self._repository(kind, repo)
        files = repository.commits[repository.resolve(revision)]
        prefix = f"{path.rstrip('/')}/" if path else ""
        inside = {name: data for name, data in sorted(files.items()) if name.startswith(prefix)}
        folders = {name[: i + len(prefix)] for name in inside for i, c in enumerate(name[len(prefix) :]) if c == "/"}
        recursive = self.query.get("recursive", ["false"])[0].lower() in ("true", "1")
        entries = [{"type": "directory", "path": name, "oid": git_hash(name.encode()), "size": 0} for name in folders]
        entries += [describe_file(name, data) for name, data in inside.items()]
        if not recursive:
            entries = [entry for entry in entries if "/" not in entry["path"][len(prefix) :]]
        return self._json(sorted(entries, key=lambda entry: entry["path"]))

    def on_paths(self, kind: str, repo: str, revision: str) -> tuple[int, dict[str, str], bytes]:
        repository = self._repository(kind, repo)
        files = repository.commits[repository.resolve(revision)]
        text = self.body.decode()
        asked = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        return self._json([describe_file(path, files[path]) for path in asked if path in files])

    def on_references(self, kind: str, repo: str) -> tuple[int, dict[str, str], bytes]:
        repository = self._repository(kind, repo)
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in repository.references.items()
        ]
        return self._json({"branches": branches, "tags": [], "converts": []})

    def on_commits(self, kind: str, repo: str, revision: str) -> tuple[int, dict[str, str], bytes]:
        repository = self._repository(kind, repo)
        repository.resolve(revision)
        blank = {"title": "", "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"}
        return self._json([{"id": commit} | blank for commit in reversed(list(repository.commits))])

    def on_preupload(self, kind: str, repo: str, revision: str) -> tuple[int, dict[str, str], bytes]:
        self._for_writing(kind, repo)
        files = json.loads(self.body)["files"]
        modes = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if is_large(file["path"], file["size"]) else "regular",
                "shouldIgnore": False,
            }
            for file in files
        ]
        return self._json({"files": modes})

    def on_batch(self, kind: str, repo: str) -> tuple[int, dict[str, str], bytes]:
        self._for_writing(kind, repo)
        objects = []
        for asked in json.loads(self.body)["objects"]:
            entry = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.repositories.large:
                entry["actions"] = {"upload": {"href": f"{self.hub.url}/lfs-upload/{asked['oid']}", "header": {}}}
            objects.append(entry)
        return self._json({"transfer": "basic", "objects": objects})

    def on_receive(self, oid: str) -> tuple[int, dict[str, str], bytes]:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise RefusalError(400, "", "the content does not have the hash it was announced with")
        self.hub.repositories.large[oid] = self.body
        return 200, {}, b""

    def on_commit(self, kind: str, repo: str, revision: str) -> tuple[int, dict[str, str], bytes]:
        repository = self._for_writing(kind, repo)
        commit = self.hub.repositories.apply(repository, revision, self.body)
        prefix = "" if kind == "model" else f"{kind}s/"
        return self._json({"commitUrl": f"{self.hub.url}/{prefix}{repo}/commit/{commit}", "commitOid": commit})

    def on_resolve(self, kind: str, repo: str, revision: str, path: str) -> tuple[int, dict[str, str], bytes]:
        repository = self._repository(kind, repo)
        commit = repository.resolve(revision)
        if repository.gated and not self.authorised:
            raise RefusalError(403, "GatedRepo", "Access to this repository is restricted")
        if path not in repository.commits[commit]:
            raise RefusalError(404, "EntryNotFound", "Entry not found")
        data = repository.commits[commit][path]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not is_large(path, len(data)):
            return self._bytes(data, headers | {"ETag": f'"{git_hash(data)}"'})
        oid = hashlib.sha256(data).hexdigest()
        self.hub.repositories.large[oid] = data
        headers |= {
            "X-Linked-Etag": f'"{oid}"',
            "X-Linked-Size": str(len(data)),
            "Location": f"{self.hub.store_url}/content/{oid}/{repository.cut_short.get(path, len(data))}",
        }
        return 302, headers, b""

    def on_content(self, oid: str, length: str) -> tuple[int, dict[str, str], bytes]:
        if oid not in self.hub.repositories.large:
            raise RefusalError(404, "EntryNotFound", "Entry not found")
        return self._bytes(self.hub.repositories.large[oid][: int(length)], {"ETag": f'"{oid}"'})

    def _bytes(self, data: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        headers = headers | {"Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if not asked:
            return 200, headers, data
        start, end = int(asked[1]), int(asked[2] or len(data) - 1)
        if start >= len(data):
            return 416, headers | {"Content-Range": f"bytes */{len(data)}"}, b""
        part = data[start : end + 1]
        return 206, headers | {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"}, part
