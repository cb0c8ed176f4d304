"""A server of weights that breaks, lies and goes silent, and the command that downloads from it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from forked import run_forked

ROOT = Path(__file__).parents[1]
CONTENT = np.random.RandomState(0).bytes(300_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file under every name.

    tag: its ETag. has_ranges: whether it can begin in the middle. breaks_after: bytes after which each transfer ends;
    stays_silent: without the connection ending. length: what it says instead of the length. redirection: where it sends
    everybody. opened: set where it may send content. requests: what was asked for, as (name, Range).
    """

    content = CONTENT
    tag: str | None = '"1"'
    has_ranges = True
    breaks_after: int | None = None
    stays_silent = False
    length: str | None = None
    redirection: str | None = None

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.closing, self.opened = threading.Event(), threading.Event()
        self.opened.set()

    def url(self, name):
        return f"http://127.0.0.1:{self.server_address[1]}/files/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.requests.append((self.path.rsplit("/", 1)[1], asked))
        if "missing" in self.path:
            self.send_error(404)
            return
        if server.redirection:
            self.send_response(302)
            self.send_header("Location", server.redirection)
            self.end_headers()
            return
        content, start = server.content, 0
        if asked and server.has_ranges and self.headers.get("If-Range") in (None, server.tag):
            start = int(asked[len("bytes=") : -1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", server.length or str(len(content) - start))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        stop = len(content) if server.breaks_after is None else start + server.breaks_after
        server.opened.wait()
        with contextlib.suppress(OSError):
            self.wfile.write(content[start:stop])
            self.wfile.flush()
        if server.stays_silent:
            server.closing.wait()
        self.close_connection = True

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve() -> Iterator[Server]:
    """A server that runs in a thread of its own."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def command(*flags):
    return [sys.executable, str(ROOT / "tools" / "fetch_checkpoint.py"), *map(str, flags)]


def fetch(*flags):
    return run_forked(*command(*flags)[1:])


def error_of(*flags):
    """The one line that a failing command prints."""
    result = fetch(*flags)
    assert result.returncode == 1, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    return result.stderr.strip()


def sha256(content=CONTENT):
    return f"--sha256={hashlib.sha256(content).hexdigest()}"


def names(folder):
    return sorted(path.name for path in folder.iterdir())
