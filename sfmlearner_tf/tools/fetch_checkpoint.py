"""Downloads weights into the folder of checkpoints, if their SHA-256 sum is right.

    python tools/fetch_checkpoint.py https://<host>/<folder>/model-190532.tar.gz --sha256=<64 hexadecimal digits>

A plain file goes to <output_dir>/<name>; an archive (.tar, .tar.gz, .tgz, .tar.bz2, .tar.xz, .zip) is unpacked into
<output_dir>/<name without ending>/. A checkpoint of two plain files takes two calls.

A broken transfer resumes where it stopped, in this call or the next. A file that is already there with the right sum is
not downloaded again; other files are never overwritten. Without --sha256 the file is downloaded but not put in place,
and its sum is printed, to compare with the publisher's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from absl import flags

from kitti_eval import command
from kitti_eval.locks import open_locked
from sfmlearner_tf.checksums import compute_sha256
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.fetch_download import discard, download
from sfmlearner_tf.tools.fetch_unpack import list_files, read_sum, strip_ending, unpack

FLAGS = flags.FLAGS
flags.DEFINE_string("url", None, "URL of the file, http or https; --url= may be omitted.")
flags.DEFINE_string("sha256", None, "SHA-256 sum of the file, as published.")
flags.DEFINE_string("output_dir", "checkpoints", "Folder for the download.")
flags.DEFINE_string("name", None, "Name of the file with its ending; by default from the URL.")
flags.DEFINE_float("timeout", 30, "Seconds without a byte after which a transfer counts as broken.", 0.01, 86400)


def main() -> None:
    url, expected, name = _check_flags()
    folder = Path(FLAGS.output_dir)
    _make_folder(folder)
    # Of this file alone: other files of the folder may be fetched meanwhile, and a training run may work in it.
    with _lock(folder / f".{name}.lock"):
        target = _fetch(url, expected, name, folder)
    print("\n".join(_describe(target)))


def _fetch(url: str, expected: str | None, name: str, folder: Path) -> Path:
    """Downloads and unpacks what is not there yet; returns the file or folder."""
    stem = strip_ending(name)
    target, part = folder / (stem or name), folder / f".{name}.part"
    if target.exists():
        _check_present(target, expected)
        # There where an earlier call was killed at its end.
        discard(part)
        return target
    download(url, part, FLAGS.timeout)
    found = _check_sum(url, part, expected)
    if stem:
        unpack(part, name, found, target)
    else:
        part.replace(target)
    discard(part)
    return target


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Waits for another process that fetches the same file."""
    with open_locked(path):
        try:
            yield
        finally:
            path.unlink()


def _check_flags() -> tuple[str, str | None, str]:
    """The URL, the expected sum in lower case or None, and the file's name."""
    if not FLAGS.url:
        raise UserError("expected the URL of a file (see --help)")
    try:
        parts = urlsplit(FLAGS.url)
    except ValueError as error:
        raise UserError(f"{FLAGS.url!r}: expected a URL; {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not re.fullmatch("[!-~]+", FLAGS.url):
        raise UserError(f"{FLAGS.url!r}: expected a URL that begins with https:// or http://, without spaces, in ASCII")
    expected = FLAGS.sha256.lower() if FLAGS.sha256 else None
    if expected and not re.fullmatch("[0-9a-f]{64}", expected):
        raise UserError(f"--sha256: expected 64 hexadecimal digits, found {FLAGS.sha256!r}")
    name = FLAGS.name or unquote(parts.path).rsplit("/", 1)[-1]
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"--name: expected a name for the file, of letters, digits, '.', '-' and '_', found {name!r}")
    return FLAGS.url, expected, name


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir={folder}: expected a folder to write to; {error.strerror}") from error


def _check_present(target: Path, expected: str | None) -> None:
    """Raises UserError unless `target` has the expected sum."""
    found = read_sum(target) if target.is_dir() else compute_sha256(target)
    if found is None or found != expected:
        expectation = f"SHA-256 {expected}" if expected else "its SHA-256 by --sha256"
        raise UserError(f"{target} exists: expected {expectation}, found {found or 'no record of its download'}")


def _check_sum(url: str, part: Path, expected: str | None) -> str:
    """Returns the sum. Raises UserError if none is expected or, after removing the part, if it is the wrong one."""
    found = compute_sha256(part)
    if expected is None:
        raise UserError(
            f"--sha256: expected the sum of the file, found none; that of {url} is {found}. If its publisher gives"
            f" the same, run again with --sha256={found}: nothing is downloaded twice"
        )
    if found != expected:
        discard(part)
        raise UserError(f"{url}: expected SHA-256 {expected}, found {found}; nothing was put in place")
    return found


def _describe(target: Path) -> list[str]:
    """The lines to print: the target, and the --ckpt_file of each checkpoint in it."""
    if target.is_file():
        return [f"{target}: as expected"]
    prefixes = [str(path)[: -len(".index")] for path in list_files(target) if path.suffix == ".index"]
    return [f"{target}: as expected", *(f"--ckpt_file={prefix}" for prefix in prefixes)]


def cli() -> NoReturn:
    """The console command."""
    command.run(main, argument="url")


if __name__ == "__main__":
    cli()
