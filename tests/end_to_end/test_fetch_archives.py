"""Archives of weights, from a server of our own."""

import io
import tarfile
import zipfile

import numpy as np
import pytest

from weights_server import error_of, fetch, names, sha256


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


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[1]",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        b'{"sha256": 1, "sizes": [1]}',
        b'{"sha256": "a", "sizes": {"x": {}}}',
    ],
    ids=range(7),
)
def test_a_folder_with_a_damaged_record_is_left_alone(tmp_path, record):
    folder = tmp_path / "released"
    folder.mkdir()
    (folder / ".fetched.json").write_bytes(record)
    line = error_of("http://127.0.0.1/released.zip", sha256(), f"--output_dir={tmp_path}")
    assert line.startswith(f"error: {folder}")
    assert names(folder) == [".fetched.json"]


def special(kind, name="release/link", target="/etc/passwd"):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def damaged_xz():
    content = bytearray(tar_of(("weights", np.random.RandomState(0).bytes(100_000)), mode="w:xz"))
    content[50_000] ^= 255
    return bytes(content)


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
        ("a.tar", tar_of((".", b""), mode="w"), "expected members inside its folder, found '.'"),
        ("a.tar.xz", damaged_xz(), "cannot be unpacked into"),
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
