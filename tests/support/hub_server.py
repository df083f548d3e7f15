"""A small HTTP server that speaks the part of the Hub's API that downloads use, with the Hub's ways to fail.

The routes, headers and status codes are those that huggingface_hub reads: ``X-Error-Code``, ``X-Linked-Etag``, ranges.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

COMMIT = "0123456789" * 4
TOKEN = "hf_ourtoken"
_BLOCK = 4096


@dataclass
class HubRepository:
    """``files`` by path. Weights are stored as LFS files, as the Hub does for large ones.

    ``announced_sizes`` replaces the true size of a file in listings. ``drop_after`` ends the connection after so many
    bytes of a weight file, in the next ``drops`` answers.
    """

    files: Mapping[str, bytes]
    is_gated: bool = False
    is_damaged: bool = False
    announced_sizes: dict[str, int] = field(default_factory=dict)
    drop_after: int = 0
    drops: int = 0

    @classmethod
    def of_folder(cls, folder: Path) -> HubRepository:
        return cls({file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()})

    def is_lfs(self, path: str) -> bool:
        return path.endswith((".safetensors", ".bin"))

    def size(self, path: str) -> int:
        return self.announced_sizes.get(path, len(self.files[path]))

    def etag(self, path: str) -> str:
        content = self.files[path]
        if self.is_lfs(path):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class HubServer:
    """``requests`` are the method, path and Range header of each request, in order; ``sent`` the bytes of LFS files."""

    url: str
    repositories: dict[str, HubRepository]
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    sent: int = 0

    def ranges(self, path: str) -> list[str]:
        """The Range headers of the GET requests for a file, in order."""
        return [sent for method, requested, sent in self.requests if method == "GET" and requested.endswith(path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def _answer(self, has_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append((self.command, path, self.headers.get("Range", "")))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token != TOKEN:
            return self._fail(401, "", "Invalid credentials in Authorization header")
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            return self._answer_api("/".join(parts[2:4]), parts[4:], parse_qs(urlsplit(self.path).query))
        if len(parts) >= 5 and parts[2] == "resolve":
            return self._answer_file("/".join(parts[:2]), "/".join(parts[4:]), token, has_body)
        return self._fail(404, "", "no such page")

    def _answer_api(self, name: str, rest: list[str], query: Mapping[str, list[str]]) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._fail(401, "RepoNotFound", "Repository not found")
        if rest[:1] in (["revision"], ["tree"]) and rest[1] not in ("main", COMMIT):
            return self._fail(404, "RevisionNotFound", f"Invalid rev id: {rest[1]}")
        if rest[:1] == ["tree"]:
            return self._send_json([self._tree_entry(repository, path) for path in repository.files])
        siblings = [self._sibling(repository, path, "blobs" in query) for path in repository.files]
        gated = "auto" if repository.is_gated else False
        return self._send_json({"id": name, "modelId": name, "sha": COMMIT, "gated": gated, "siblings": siblings})

    def _sibling(self, repository: HubRepository, path: str, has_details: bool) -> dict[str, object]:
        entry: dict[str, object] = {"rfilename": path}
        if has_details:
            entry |= {"size": repository.size(path), "blobId": repository.etag(path)}
            if repository.is_lfs(path):
                entry["lfs"] = {"sha256": repository.etag(path), "size": repository.size(path), "pointerSize": 134}
        return entry

    def _tree_entry(self, repository: HubRepository, path: str) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": path, "size": repository.size(path)}
        if repository.is_lfs(path):
            lfs = {"oid": repository.etag(path), "size": repository.size(path), "pointerSize": 134}
            return entry | {"oid": "1" * 40, "lfs": lfs}
        return entry | {"oid": repository.etag(path)}

    def _answer_file(self, name: str, path: str, token: str, has_body: bool) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._fail(401, "RepoNotFound", "Repository not found")
        if repository.is_gated:
            return self._fail(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        if path not in repository.files:
            return self._fail(404, "EntryNotFound", "Entry not found")
        return self._send_file(repository, path, has_body)

    def _send_file(self, repository: HubRepository, path: str, has_body: bool) -> None:
        content, start = repository.files[path], 0
        if repository.is_damaged and repository.is_lfs(path):
            content = bytes(byte ^ 1 for byte in content[:1]) + content[1:]
        if requested := self.headers.get("Range", ""):
            start = int(requested.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if requested else 200)
        self.send_header("ETag", f'"{repository.etag(path)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if repository.is_lfs(path):
            self.send_header("X-Linked-Etag", f'"{repository.etag(path)}"')
            self.send_header("X-Linked-Size", str(len(content)))
        if requested:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if has_body:
            self._send_body(repository, path, content[start:])

    def _send_body(self, repository: HubRepository, path: str, body: bytes) -> None:
        is_dropped = repository.drops > 0 and repository.is_lfs(path)
        if is_dropped:
            repository.drops -= 1
            body = body[: repository.drop_after]
        for start in range(0, len(body), _BLOCK):
            self.wfile.write(body[start : start + _BLOCK])
        if repository.is_lfs(path):
            self.hub.sent += len(body)
        if is_dropped:
            self.wfile.flush()
            self.close_connection = True

    def _send_json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status: int, code: str, message: str) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", message)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def running_hub(repositories: dict[str, HubRepository]) -> Iterator[HubServer]:
    """The server on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    hub = HubServer(f"http://127.0.0.1:{server.server_address[1]}", repositories)
    server.RequestHandlerClass = type("Handler", (_Handler,), {"hub": hub})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_hub(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch, token: str = "") -> None:
    """Let huggingface_hub, in this process, use the server at ``url`` and the empty folder ``cache``."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
