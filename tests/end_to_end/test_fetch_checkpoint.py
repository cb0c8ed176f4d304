"""Weights from a server of our own that breaks, lies and goes silent."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
CONTENT = np.random.RandomState(0).bytes(300_000)


class Server(http.server.ThreadingHTTPServer):
    """Serves one file under every name.

    tag: its ETag. has_ranges: whether it can begin in the middle. breaks_after: bytes after which each transfer ends;
    stays_silent: without the connection ending. requests: what was asked for, as (name, Range).
    """

    content = CONTENT
    tag: str | None = '"1"'
    has_ranges = True
    breaks_after: int | None = None
    stays_silent = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.closing = threading.Event()

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
        content, start = server.content, 0
        if asked and server.has_ranges and self.headers.get("If-Range") in (None, server.tag):
            start = int(asked[len("bytes=") : -1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        stop = len(content) if server.breaks_after is None else start + server.breaks_after
        with contextlib.suppress(OSError):
            self.wfile.write(content[start:stop])
            self.wfile.flush()
        if server.stays_silent:
            server.closing.wait()
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
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
    return subprocess.run(command(*flags), capture_output=True, text=True, check=False)


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


def test_a_file_is_fetched_once(server, tmp_path):
    folder = tmp_path / "checkpoints"
    flags = (server.url("model-7.index?download=1"), sha256().upper().replace("--SHA", "--sha"))
    for _ in range(2):
        result = fetch(*flags, f"--output_dir={folder}")
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"{folder / 'model-7.index'}: as expected\n"
    assert len(server.requests) == 1
    assert names(folder) == ["model-7.index"]
    assert (folder / "model-7.index").read_bytes() == CONTENT


def test_a_broken_transfer_is_taken_up_within_a_call_and_by_the_next(server, tmp_path):
    server.breaks_after = 40_000
    flags = (server.url("model"), sha256(), f"--output_dir={tmp_path}")
    line = error_of(*flags)
    assert line.endswith("/files/model: the transfer broke; 200000 of 300000 bytes are there; run again to go on")
    assert not (tmp_path / "model").exists()
    result = fetch(*flags)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "model").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [
        None, *(f"bytes={start}-" for start in range(40_000, 300_000, 40_000))
    ]  # fmt: skip
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("change", ["other file", "no ranges", "no tag"])
def test_what_cannot_be_joined_starts_anew(server, tmp_path, change):
    server.breaks_after = 50_000
    error_of(server.url("model"), sha256(), f"--output_dir={tmp_path}")
    server.breaks_after = None
    if change == "other file":
        server.content, server.tag = CONTENT[::-1], '"2"'
    elif change == "no ranges":
        server.has_ranges = False
    else:
        server.tag = None
    server.requests.clear()
    result = fetch(server.url("model"), sha256(server.content), f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "model").read_bytes() == server.content
    assert [asked for _, asked in server.requests] == ["bytes=250000-"]


def test_without_a_tag_nothing_is_gone_on_with(server, tmp_path):
    server.breaks_after, server.tag = 299_999, None
    line = error_of(server.url("model"), sha256(), f"--output_dir={tmp_path}")
    assert "299999 of 300000 bytes are there; run again to start anew" in line
    assert {asked for _, asked in server.requests} == {None}


def test_a_wrong_sum_puts_nothing_in_place(server, tmp_path):
    line = error_of(server.url("model"), sha256(b"other"), f"--output_dir={tmp_path}")
    expected, found = (sha256(content)[len("--sha256=") :] for content in (b"other", CONTENT))
    assert f"expected SHA-256 {expected}, found {found}; nothing was put in place" in line
    assert names(tmp_path) == []


def test_without_a_sum_it_is_told_and_the_next_call_downloads_nothing(server, tmp_path):
    line = error_of(server.url("model"), f"--output_dir={tmp_path}")
    assert f"run again with {sha256()}: nothing is downloaded twice" in line
    assert not (tmp_path / "model").exists()
    assert fetch(server.url("model"), sha256(), f"--output_dir={tmp_path}").returncode == 0
    assert len(server.requests) == 1
    assert names(tmp_path) == ["model"]


def test_other_files_are_never_overwritten(server, tmp_path):
    (tmp_path / "model").write_bytes(b"mine")
    (tmp_path / "weights").mkdir()
    for name, found in (("model", sha256(b"mine")[len("--sha256=") :]), ("weights.zip", "no record of its download")):
        line = error_of(server.url(name), sha256(), f"--output_dir={tmp_path}")
        assert f"exists: expected SHA-256 {sha256()[len('--sha256=') :]}, found {found}" in line
    assert server.requests == []
    assert (tmp_path / "model").read_bytes() == b"mine"


def test_servers_that_are_not_there_or_silent(server, tmp_path):
    assert "/files/missing: expected a file, found 404 Not Found" in error_of(
        server.url("missing"), sha256(), f"--output_dir={tmp_path}"
    )
    server.breaks_after, server.stays_silent = 50_000, True
    line = error_of(server.url("model"), sha256(), f"--output_dir={tmp_path}", "--timeout=0.2")
    assert "/files/model: the transfer broke; 250000 of 300000 bytes are there; run again to go on" in line
    server.breaks_after = 0
    line = error_of(server.url("other"), sha256(), f"--output_dir={tmp_path}", "--timeout=0.2")
    assert "/files/other: the transfer broke; 0 of 300000 bytes are there" in line
    url = server.url("model")
    server.closing.set()
    server.server_close()
    line = error_of(url, sha256(), f"--output_dir={tmp_path}")
    assert "Connection refused; " in line
    assert "250000 of 300000 bytes are there; run again to go on" in line


def test_ctrl_c_keeps_what_came(server, tmp_path):
    server.breaks_after, server.stays_silent = 70_000, True
    flags = (server.url("model"), sha256(), f"--output_dir={tmp_path}")
    process = subprocess.Popen(command(*flags), stderr=subprocess.PIPE, text=True)
    part = tmp_path / ".model.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size == 70_000):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == "stopped by Ctrl-C\n"
    assert process.returncode == 130
    server.breaks_after, server.stays_silent = None, False
    assert fetch(*flags).returncode == 0
    assert server.requests[-1] == ("model", "bytes=70000-")
    assert (tmp_path / "model").read_bytes() == CONTENT


def tar_of(*members, mode="w:gz"):
    """An archive of (name, content), or of ready TarInfo."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for member in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
            info.size = 0 if info is member else len(member[1])
            tar.addfile(info, None if info is member else io.BytesIO(member[1]))
    return buffer.getvalue()


def zip_of(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


FILES = (("release/model-7.index", b"index"), ("release/model-7.data-00000-of-00001", b"data"))


@pytest.mark.parametrize(
    ("name", "content"),
    [("released.tar.gz", tar_of(*FILES)), ("released.tar", tar_of(*FILES, mode="w")), ("released.zip", zip_of(*FILES))],
    ids=["tar.gz", "tar", "zip"],
)
def test_archives_are_unpacked_and_fetched_once(server, tmp_path, name, content):
    server.content = content
    flags = (server.url("latest"), f"--name={name}", sha256(content), f"--output_dir={tmp_path}")
    folder = tmp_path / "released"
    for _ in range(2):
        result = fetch(*flags)
        assert result.returncode == 0, result.stderr
        assert result.stdout == f"{folder}: as expected\n--ckpt_file={folder}/release/model-7\n"
    assert len(server.requests) == 1
    assert names(tmp_path) == ["released"]
    assert [(folder / member).read_bytes() for member, _ in FILES] == [b"index", b"data"]
    (folder / FILES[0][0]).unlink()
    line = error_of(*flags)
    assert f"{folder / FILES[0][0]}: expected the file as it was fetched" in line


def special(kind, name="release/link", target="/etc/passwd"):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def zip_link():
    member = zipfile.ZipInfo("link")
    member.external_attr = 0o120777 << 16
    return zip_of((member, "/etc/passwd"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tar.gz", tar_of(FILES[0], ("../../out", b"")), "expected members inside its folder, found '../../out'"),
        ("a.tar.gz", tar_of(("/tmp/out", b"")), "expected members inside its folder, found '/tmp/out'"),
        ("a.zip", zip_of(("..\\out", b"")), "expected members inside its folder, found '..\\\\out'"),
        ("a.tgz", tar_of(FILES[0], special(tarfile.SYMTYPE)), "found a link or device: 'release/link'"),
        ("a.tgz", tar_of(FILES[0], special(tarfile.LNKTYPE, target=FILES[0][0])), "found a link or device"),
        ("a.tgz", tar_of(special(tarfile.FIFOTYPE)), "found a link or device"),
        ("a.zip", zip_link(), "expected files and folders, found a link: 'link'"),
        ("a.tar.gz", tar_of(*FILES)[:-30], "cannot be unpacked"),
        ("a.tar", zip_of(*FILES), "cannot be unpacked"),
        ("a.zip", tar_of(*FILES), "cannot be unpacked into"),
        ("a.tar", tar_of(FILES[0], FILES[0], mode="w"), "File exists"),
        ("a.tar", tar_of(mode="w"), "expected an archive of files, found none in it"),
    ],
    # The archives hold the time, which is not the same in two worker processes that collect the tests.
    ids=lambda value: value if isinstance(value, str) else "archive",
)
def test_archives_that_are_not_safe_or_not_whole(server, tmp_path, name, content, message):
    server.content = content
    line = error_of(server.url(name), sha256(content), f"--output_dir={tmp_path / 'checkpoints'}")
    assert message in line
    assert f"{name}: cannot be unpacked into {tmp_path / 'checkpoints' / 'a'}; " in line
    assert names(tmp_path) == ["checkpoints"]
    assert names(tmp_path / "checkpoints") == [f".{name}.part", f".{name}.part.json"]


def test_mistakes_in_flags(server, tmp_path):
    flags = (f"--output_dir={tmp_path / 'out'}",)
    assert error_of(*flags) == "error: expected the URL of a file (--help tells more)"
    assert "expected a URL that begins with https:// or http://" in error_of("file:///etc/passwd", *flags)
    assert "unexpected argument 'b'" in error_of("a", "b", *flags)
    assert "unexpected argument 'a'" in error_of("a", f"--url={server.url('model')}", *flags)
    assert "--sha256: expected 64 hexadecimal digits, found '12'" in error_of(
        server.url("model"), "--sha256=12", *flags
    )
    assert "--name: expected a name for the file" in error_of(server.url(""), *flags)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    line = error_of(server.url("model"), f"--output_dir={tmp_path / 'file' / 'out'}")
    assert "expected a folder to write to; Not a directory" in line
    assert server.requests == []
