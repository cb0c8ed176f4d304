"""Weights from a server that breaks, lies and goes silent."""

import contextlib
import json
import signal
import subprocess
import time

import pytest

from weights_server import CONTENT, command, error_of, fetch, names, sha256


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


def test_a_broken_transfer_is_resumed_within_a_call_and_by_the_next(server, tmp_path):
    server.breaks_after = 40_000
    flags = (server.url("model"), sha256(), f"--output_dir={tmp_path}")
    line = error_of(*flags)
    assert line.endswith("/files/model: the transfer broke; 200000 of 300000 bytes downloaded; run again to resume")
    assert not (tmp_path / "model").exists()
    result = fetch(*flags)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "model").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [
        None, *(f"bytes={start}-" for start in range(40_000, 300_000, 40_000))
    ]  # fmt: skip
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("change", ["other file", "no ranges", "no tag"])
def test_what_cannot_be_joined_starts_over(server, tmp_path, change):
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


def test_without_a_tag_nothing_is_resumed(server, tmp_path):
    server.breaks_after, server.tag = 299_999, None
    line = error_of(server.url("model"), sha256(), f"--output_dir={tmp_path}")
    assert "299999 of 300000 bytes downloaded; run again to start over" in line
    assert {asked for _, asked in server.requests} == {None}


def test_a_wrong_sum_puts_nothing_in_place(server, tmp_path):
    line = error_of(server.url("model"), sha256(b"other"), f"--output_dir={tmp_path}")
    expected, found = (sha256(content)[len("--sha256=") :] for content in (b"other", CONTENT))
    assert f"expected SHA-256 {expected}, found {found}; nothing was put in place" in line
    assert names(tmp_path) == []


def test_without_a_sum_it_is_printed_and_the_next_call_downloads_nothing(server, tmp_path):
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
    line = error_of(server.url("model"), sha256(), f"--output_dir={tmp_path}", "--timeout=1")
    assert "/files/model: the transfer broke; 250000 of 300000 bytes downloaded; run again to resume" in line
    server.breaks_after = 0
    line = error_of(server.url("other"), sha256(), f"--output_dir={tmp_path}", "--timeout=1")
    assert "/files/other: the transfer broke; 0 of 300000 bytes downloaded" in line
    url = server.url("model")
    server.closing.set()
    server.server_close()
    line = error_of(url, sha256(), f"--output_dir={tmp_path}")
    assert "Connection refused; " in line
    assert "250000 of 300000 bytes downloaded; run again to resume" in line


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


@pytest.mark.parametrize("length", ["abc", "-5"])
def test_a_length_that_is_none_is_passed_over(server, tmp_path, length):
    server.length = length
    result = fetch(server.url("model"), sha256(), f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "model").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "record",
    [b"", b"[1]", b"{}", b"[" * 100_000, b"\xff", b'{"validator": {}}', b'{"validator": "a\\nb"}', b'{"size": "x"}'],
    ids=range(8),
)
def test_a_damaged_record_of_a_download_starts_it_over(server, tmp_path, record):
    server.breaks_after = 59_999
    error_of(server.url("model"), sha256(), f"--output_dir={tmp_path}")
    state = tmp_path / ".model.part.json"
    if record.startswith(b"{") and len(record) > 2:
        record = json.dumps({**json.loads(state.read_text()), **json.loads(record)}).encode()
    state.write_bytes(record)
    server.breaks_after = None
    server.requests.clear()
    result = fetch(server.url("model"), sha256(), f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert server.requests == [("model", None)]
    assert names(tmp_path) == ["model"]


def test_a_second_call_waits_for_the_first_and_downloads_nothing(server, tmp_path):
    server.opened.clear()
    flags = (server.url("model"), sha256(), f"--output_dir={tmp_path}")
    first = subprocess.Popen(command(*flags))
    while not server.requests:
        assert first.poll() is None
        time.sleep(0.01)
    second = subprocess.Popen(command(*flags))
    # For one that does not wait, time enough to ask too.
    with contextlib.suppress(subprocess.TimeoutExpired):
        second.wait(timeout=2)
    server.opened.set()
    assert (first.wait(), second.wait()) == (0, 0)
    assert server.requests == [("model", None)]
    assert names(tmp_path) == ["model"]


def test_what_a_call_left_that_was_killed_at_its_end_is_removed(server, tmp_path):
    (tmp_path / "model").write_bytes(CONTENT)
    for name in (".model.part", ".model.part.json", ".model.lock"):
        (tmp_path / name).touch()
    assert fetch(server.url("model"), sha256(), f"--output_dir={tmp_path}").returncode == 0
    assert names(tmp_path) == ["model"]


def test_addresses_that_are_none(server, tmp_path):
    flags = (sha256(), f"--output_dir={tmp_path}", "--name=model")
    for url in (
        "http://[::1/model",
        "http://h/\u00fc",
        "http://h/a b",
        "http:///model",
        "http://h/a\nb",
        "ftp://h/model",
    ):
        assert "expected a URL" in error_of(url, *flags)
    for url in ("http://127.0.0.1:port/model", f"http://{'a' * 70}/model", "http://a..b/model"):
        assert f"{url}: cannot be reached; " in error_of(url, *flags)
    for server.redirection in ("http://[::1/model", "http://a..b/model", "ftp://a..b/model"):
        assert f"{server.url('model')}: " in error_of(server.url("model"), *flags)
    for timeout in ("nan", "inf", "0", "1e30"):
        assert "--timeout" in error_of(server.url("model"), *flags, f"--timeout={timeout}")
    assert names(tmp_path) == []


def test_mistakes_in_flags(server, tmp_path):
    flags = (f"--output_dir={tmp_path / 'out'}",)
    assert error_of(*flags) == "error: expected the URL of a file (see --help)"
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
