"""The download APIs of the Hugging Face hub and Zenodo on loopback, serving a folder, with faults on request.

Hub: ``/api/datasets/REPO[/revision/REV]``, ``/api/datasets/REPO/tree/REV/PATH`` (pages by a ``Link`` header) and
``/datasets/REPO/resolve/REV/PATH`` with HEAD, ETag, X-Repo-Commit, X-Linked-Size and Range; a gated repository answers
401 or 403 with ``X-Error-Code: GatedRepo``. Zenodo: ``/api/records/ID`` and ``/api/records/ID/files/NAME/content``.
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1000
"""Bytes from which a file counts as large-file storage, and so has a SHA-256."""
PAGE = 4


@dataclass
class Orders:
    """How the server behaves.

    Attributes:
        token: the bearer token, or Zenodo link token, that opens it; None: open to all.
        cut: name of a file -> how many of its answers end after half of their bytes.
        damaged: names of files whose bytes arrive changed, once each.
        busy: how many answers are 503 first.
        ranges: whether Range requests are honoured.
    """

    token: str | None = None
    cut: Counter[str] = field(default_factory=Counter)
    damaged: set[str] = field(default_factory=set)
    busy: int = 0
    ranges: bool = True


@dataclass
class Served:
    """A running server.

    Attributes:
        address: for ``HF_ENDPOINT`` or ``ZENODO_ENDPOINT``.
        orders: may be changed at any time.
        log: (method, path, Range) of every request.
    """

    address: str
    orders: Orders
    log: list[tuple[str, str, str | None]]

    def got(self, part: str) -> list[tuple[str, str, str | None]]:
        """GET requests whose path holds ``part``."""
        return [entry for entry in self.log if entry[0] == "GET" and part in entry[1]]


@dataclass
class World:
    """What a server serves, and how."""

    root: Path
    repo: str
    records: dict[str, list[str]] | None
    orders: Orders
    log: list[tuple[str, str, str | None]]


class Server(ThreadingHTTPServer):
    """A threaded server of one :class:`World`."""

    daemon_threads = True
    world: World


class DatasetRequests(BaseHTTPRequestHandler):
    """Answer the requests to a :class:`World`, an attribute of the server."""

    server: "Server"
    protocol_version = "HTTP/1.1"
    # Header and body are two small writes: without this the second waits 40 ms for the first's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.world.log.append((self.command, path, self.headers.get("Range")))
        if self.server.world.orders.busy:
            self.server.world.orders.busy -= 1
            self.plain(503, b"busy")
            return
        hub = f"/api/datasets/{self.server.world.repo}"
        if path == hub or path.startswith(f"{hub}/revision/"):
            self.json(
                {
                    "id": self.server.world.repo,
                    "sha": COMMIT,
                    "gated": "auto" if self.server.world.orders.token else False,
                    "siblings": [],
                }
            )
        elif path.startswith(f"{hub}/tree/"):
            self.tree(path.removeprefix(f"{hub}/tree/").partition("/")[2])
        elif path.startswith(f"/datasets/{self.server.world.repo}/resolve/"):
            inner = path.removeprefix(f"/datasets/{self.server.world.repo}/resolve/").partition("/")[2]
            self.file(inner, body, {"X-Repo-Commit": COMMIT, "X-Error-Code": "GatedRepo"})
        elif path.startswith("/api/records/"):
            self.record(path.removeprefix("/api/records/"), body)
        else:
            self.plain(404, b"no such path")

    def allowed(self) -> bool:
        link = parse_qs(urlsplit(self.path).query).get("token", [None])[0]
        return self.server.world.orders.token in (
            None,
            link,
            (self.headers.get("Authorization") or "").removeprefix("Bearer "),
        )

    def tree(self, folder: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if not (self.server.world.root / folder).is_dir():
            self.plain(404, b"no entry", {"X-Error-Code": "EntryNotFound"})
            return
        deep = query.get("recursive", ["False"])[0].lower() == "true"
        paths = sorted(
            (self.server.world.root / folder).rglob("*") if deep else (self.server.world.root / folder).iterdir()
        )
        start = int(query.get("cursor", ["0"])[0])
        more = {}
        if start + PAGE < len(paths):
            address = f"{self.own()}{urlsplit(self.path).path}?recursive={deep}&cursor={start + PAGE}"
            more = {"Link": f'<{address}>; rel="next"'}
        self.json([_entry(self.server.world.root, path) for path in paths[start : start + PAGE]], more)

    def record(self, rest: str, body: bool) -> None:
        number, _, inner = rest.partition("/")
        if not self.allowed():
            self.plain(403, b"restricted")
        elif inner:
            self.file(inner.removeprefix("files/").removesuffix("/content"), body, {})
        else:
            names = (self.server.world.records or {}).get(
                number, [p.name for p in sorted(self.server.world.root.iterdir()) if p.is_file()]
            )
            self.json(
                {"id": number, "files": [_zenodo_entry(self.server.world.root / n, self.own(), number) for n in names]}
            )

    def file(self, inner: str, body: bool, headers: dict[str, str]) -> None:
        path = self.server.world.root / inner
        if not self.allowed():
            self.plain(403 if "Authorization" in self.headers else 401, b"gated", headers)
            return
        if not path.is_file():
            self.plain(404, b"no entry", {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        own = {name: value for name, value in headers.items() if name != "X-Error-Code"}
        own |= {"ETag": f'"{_oid(content)}"', "X-Linked-Size": str(len(content)), "Accept-Ranges": "bytes"}
        start = 0
        asked = self.headers.get("Range")
        if asked and self.server.world.orders.ranges:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            own["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        content = content[start:]
        if path.name in self.server.world.orders.damaged and body:
            self.server.world.orders.damaged.discard(path.name)
            content = bytes([content[0] ^ 1]) + content[1:]
        cut = body and self.server.world.orders.cut[path.name] > 0
        self.server.world.orders.cut[path.name] -= cut
        self.send_response(206 if "Content-Range" in own else 200)
        for name, value in {**own, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def json(self, content: Any, headers: dict[str, str] | None = None) -> None:
        self.plain(200, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def plain(self, code: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def own(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


@contextmanager
def serving(
    root: Path, repo: str = "ibrahimhamamci/CT-RATE", records: dict[str, list[str]] | None = None
) -> Iterator[Served]:
    """Serve ``root`` as a hub repository, and its direct files as Zenodo records.

    Args:
        root: the folder.
        repo: the dataset repository's name.
        records: number of a record -> names of its files; default: all in every record.
    """
    server = Server(("127.0.0.1", 0), DatasetRequests)
    server.world = World(root, repo, records, Orders(), [])
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{server.server_port}", server.world.orders, server.world.log)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _oid(content: bytes) -> str:
    return (hashlib.sha256 if len(content) >= LARGE else hashlib.sha1)(content).hexdigest()


def _entry(root: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(root).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40}
    content = path.read_bytes()
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}
    if len(content) >= LARGE:
        entry["lfs"] = {"oid": _oid(content), "size": len(content), "pointerSize": 134}
    return entry


def _zenodo_entry(path: Path, address: str, number: str) -> dict[str, Any]:
    content = path.read_bytes()
    return {
        "key": path.name,
        "size": len(content),
        "checksum": f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}",
        "links": {"self": f"{address}/api/records/{number}/files/{path.name}/content"},
    }
