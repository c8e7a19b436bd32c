"""A hub for one dataset repo at one revision on loopback, as far as `snapshot_download` asks: start from `serve`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse


@dataclass
class Hub:
    """`cut` maps a file to the bytes after which its next download breaks off, `replaced` to what comes in its place.

    `asked` is what was fetched.
    """

    url: str
    replaced: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def serve(folder: Path, repo: str, revision: str, tag: str = "v3.0", kind: str = "datasets") -> Iterator[Hub]:
    """Files of `folder` as `repo`, of `kind` datasets or models, at the commit `revision`, also named `tag`; anything
    else is not found."""
    hub = Hub("")

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._file(body=False)

        def do_GET(self) -> None:
            path = unquote(urlparse(self.path).path)
            files = sorted(p for p in folder.rglob("*") if p.is_file())
            names = [p.relative_to(folder).as_posix() for p in files]
            if path in {f"/api/{kind}/{repo}/revision/{name}" for name in (revision, tag)}:
                content = {"id": repo, "sha": revision, "siblings": [{"rfilename": name} for name in names]}
                self._send(json.dumps(content).encode(), {"Content-Type": "application/json"})
            elif path == f"/api/{kind}/{repo}/tree/{revision}":
                content = [_listed(name, file.read_bytes()) for name, file in zip(names, files, strict=True)]
                self._send(json.dumps(content).encode(), {"Content-Type": "application/json"})
            else:
                self._file(body=True)

        def _file(self, body: bool) -> None:
            prefix = f"/{'' if kind == 'models' else f'{kind}/'}{repo}/resolve/{revision}/"
            path = unquote(urlparse(self.path).path)
            file = folder / path.removeprefix(prefix)
            if not path.startswith(prefix) or not file.is_file():
                self.send_error(404)
                return
            content = hub.replaced.get(file.name, file.read_bytes())
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": revision}
            start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            if body:
                hub.asked.append(f"{file.relative_to(folder).as_posix()} from {start}")
            self._send(
                content[start:], headers, body, 206 if start else 200, hub.cut.pop(file.name, None) if body else None
            )

        def _send(
            self, content: bytes, headers: dict, body: bool = True, status: int = 200, cut: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listed(name: str, content: bytes) -> dict:
    """Videos and tables are stored apart and known by their sha256, the rest by git's hash."""
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry = {"type": "file", "path": name, "size": len(content), "oid": oid}
    if name.endswith((".mp4", ".parquet")):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 130}
    return entry
