"""What every command does with its flags, its output and whatever ends it early."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# A command that does what its flag says.
SCRIPT = '''"""Does as told."""
import os, time
from absl import flags
from kitti_eval import command
from kitti_eval.errors import UserError

DO = flags.DEFINE_string("do", "print", "What to do.")
PLACE = flags.DEFINE_string("place", "", "A path.")
PLACES = flags.DEFINE_list("places", [], "Paths.")
flags.DEFINE_float("length", 1.0, "A number.", lower_bound=0)

def main():
    if DO.value == "print":
        print(PLACE.value, *PLACES.value)
    if DO.value == "print much":
        for _ in range(100_000):
            print("a line of some length")
    if DO.value == "open":
        open(PLACE.value)
    if DO.value == "wait":
        print("waiting", flush=True)
        time.sleep(60)
    if DO.value == "wait in a destructor":
        class Slow:
            def __del__(self):
                print("waiting", flush=True)
                time.sleep(60)
        Slow()
        time.sleep(60)
    if DO.value == "mistake after print":
        print("so far")
    if DO.value.startswith("mistake"):
        raise UserError("place: expected another")
    if DO.value == "fill memory":
        bytearray(10**18)

if __name__ == "__main__":
    command.run(main)
'''


@pytest.fixture
def script(tmp_path) -> list[str]:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return [sys.executable, str(path)]


def call(command: list, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, capture_output=True, check=False, env=environment, **options)


def check_fails(result: subprocess.CompletedProcess, line: bytes, status: int = 1) -> None:
    assert result.returncode == status, result.stderr
    assert result.stderr.count(b"\n") == 1
    assert line in result.stderr


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpshort", "--helpfull"])
def test_help_is_no_failure(script, flag):
    result = call([*script, flag])
    assert result.returncode == 0
    assert b"Does as told." in result.stdout
    assert b"--place" in result.stdout
    assert (b"--verbosity" in result.stdout) == (flag == "--helpfull")


def test_a_flagfile_that_is_no_text_is_named(script, tmp_path):
    (tmp_path / "flags").write_bytes(b"\x7fELF\xff\xfe")
    check_fails(call([*script, f"--flagfile={tmp_path / 'flags'}"]), b"--flagfile: expected a text file")


def test_a_mistake_is_one_line(script):
    check_fails(call([*script, "--do=mistake"]), b"error: place: expected another")
    check_fails(call([*script, "--no_such=1"]), b"no_such")


def test_a_file_that_cannot_be_opened_is_one_line(script, tmp_path):
    missing = tmp_path / "missing"
    check_fails(call([*script, "--do=open", f"--place={missing}"]), f"{missing}: No such file".encode())


def test_too_little_memory_is_one_line(script):
    check_fails(call([*script, "--do=fill memory"]), b"error: out of memory")


def test_a_tilde_is_the_home_folder(script):
    home = os.path.expanduser("~")
    done = call([*script, "--place=~/videos", "--places=a,~/b,~/c"])
    assert done.stdout.decode() == f"{home}/videos a {home}/b {home}/c\n"


@pytest.mark.parametrize("text", ["nan", "-NaN"])
def test_a_flag_of_a_number_takes_no_nan(script, text):
    check_fails(call([*script, f"--length={text}"]), b"error: --length=nan: expected a number")


def test_what_cannot_be_written_is_one_line(script):
    for what in ("print", "print much", "mistake after print"):
        full = call(["sh", "-c", 'PYTHONUNBUFFERED= "$@" > /dev/full', "sh", *script, f"--do={what}"])
        check_fails(full, b"error: place: " if what.startswith("mistake") else b"error: No space left on device\n")
    closed = call(["sh", "-c", '"$@" >&-', "sh", *script])
    check_fails(closed, b"error: standard output: expected it open, found it closed\n")


def test_a_name_that_is_not_utf8_is_printed(script):
    result = call([os.fsencode(part) for part in script] + [b"--place=a\xffb"])
    assert result.returncode == 0
    assert result.stdout == b"a\\udcffb\n"


def test_output_that_nobody_reads_ends_quietly(script):
    with subprocess.Popen(
        [*script, "--do=print much"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("what", ["wait", "wait in a destructor"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_end_in_one_line_that_names_them(script, number, status, what):
    with subprocess.Popen(
        [*script, f"--do={what}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        # A shell starts what runs in its background with the interrupt ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(number)
        line = process.stderr.read()
    assert process.returncode == status
    assert line == (b"stopped by SIGTERM\n" if number == signal.SIGTERM else b"stopped by Ctrl-C\n")
