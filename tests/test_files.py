import os
import subprocess
import sys
import threading

import pytest

from kitti_eval.errors import UserError
from kitti_eval.files import check_inside, read_json, write_aside, write_whole
from kitti_eval.locks import lock_folder


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "train.txt"
    write_whole(str(path), b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["train.txt"]


def test_two_writers_of_one_file_never_mix(tmp_path):
    path = tmp_path / "result"
    contents = [bytes([65 + number]) * 100_000 for number in range(8)]

    def write(content: bytes) -> None:
        for _ in range(10):
            with write_aside(path) as file:
                for start in range(0, len(content), 10_000):
                    file.write(content[start : start + 10_000])
                    file.flush()

    threads = [threading.Thread(target=write, args=[content]) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert not path.exists() or path.read_bytes() in contents
    assert path.read_bytes() in contents
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_what_a_killed_writer_left_is_used_up_by_the_next(tmp_path):
    code = (
        "import os, sys\nfrom kitti_eval.files import write_aside\n"
        "with write_aside(sys.argv[1]) as file:\n    file.write(b'half' * 100)\n    file.flush()\n    os._exit(9)"
    )
    path = tmp_path / "result"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert not path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    write_whole(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result"]


def test_a_symbolic_link_stays_one_and_its_target_is_written(tmp_path):
    target, link = tmp_path / "far" / "target", tmp_path / "link"
    target.parent.mkdir()
    link.symlink_to(target)
    write_whole(link, b"content")
    assert link.is_symlink()
    assert target.read_bytes() == b"content"


def test_a_pipe_is_written_to_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"content")
    reader.join()
    assert read == [b"content"]
    assert pipe.is_fifo()


def test_what_is_written_to_the_standard_output_arrives_there(tmp_path):
    code = "from kitti_eval.files import write_whole; print('before', flush=True); write_whole('/dev/stdout', b'it')"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"before\nit"


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/passwd", "a\0b", "x" * 256, "", ".", "./", "/".join(["xx"] * 2000)]
)
def test_names_that_leave_their_folder_are_refused(name):
    with pytest.raises(UserError, match=r"^list.txt line 3: expected a path"):
        check_inside(name, "list.txt line 3")


def test_ordinary_names_stay_as_they_are():
    assert check_inside("2011_09_26/a..b/image_02", "list.txt") == "2011_09_26/a..b/image_02"


@pytest.mark.parametrize("text", ["[" * 100_000, "{", '{"a": nan,}', "\xff"])
def test_what_is_no_json_is_named(tmp_path, text):
    path = tmp_path / "camera.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"camera.json: expected a camera, found no"):
        read_json(path, "a camera")


def test_a_second_process_is_refused_and_a_killed_one_holds_nothing(tmp_path):
    code = (
        "import os, sys\nfrom kitti_eval.locks import lock_folder\n"
        "with lock_folder(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()\n    os._exit(9)"
    )
    folder = tmp_path / "run"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"run: another process works in this folder \(process {holder.pid}\)"):
            lock_folder(folder).__enter__()
    with lock_folder(folder):
        pass
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: expected a folder to write to"), lock_folder(tmp_path / "file"):
        pass
