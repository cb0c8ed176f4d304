"""A download that resumes where it broke off, and never joins parts of two different files."""

from __future__ import annotations

import contextlib
import http
import http.client
import json
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from kitti_eval.files import read_json, write_whole
from sfmlearner_tf.errors import UserError

# Requests per call.
_TRIES = 5
_CHUNK = 1 << 18


class _State(NamedTuple):
    """The file that a partial download belongs to.

    validator: ETag or date that identifies this version of the file, if the server sends one. size: bytes, if known.
    """

    url: str
    validator: str | None
    size: int | None


def download(url: str, part: Path, timeout_s: float) -> None:
    """Downloads `url` to the file `part`, resuming an earlier call, even one that was killed.

    A broken transfer is resumed. If the server cannot resume, or has another file by now, the download starts over. The
    state of the download lies in a file beside the part; `discard` removes both.

    Raises:
        UserError: the server cannot be reached, has no such file or is silent for `timeout_s`, or the disk is full.
    """
    try:
        for _ in range(_TRIES):
            if _is_whole(url, part) or not _transfer(url, part, timeout_s):
                break
    except OSError as error:
        raise UserError(f"{part}: cannot write the download; {error.strerror}; run again to resume") from error
    if not _is_whole(url, part):
        raise UserError(f"{url}: the transfer broke; {_describe(part)}")


def discard(part: Path) -> None:
    """Removes a part and its state, if they exist."""
    for path in (part, _state_file(part)):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def _transfer(url: str, part: Path, timeout_s: float) -> bool:
    """Makes one request, until it ends or breaks; returns whether another one may help."""
    state, start = _read_state(part), 0
    headers = {"User-Agent": "sfmlearner_tf"}
    if state and state.url == url and state.validator and part.exists():
        start = part.stat().st_size
        headers |= {"Range": f"bytes={start}-", "If-Range": state.validator} if start else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            discard(part)
            return True
        raise UserError(f"{url}: expected a file, found {error.code} {error.reason}") from error
    # The last for a name that is no host's, which may also come from a redirection.
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UserError(f"{url}: cannot be reached; {reason}; {_describe(part)}") from error
    with response:
        return _receive(url, response, part, start)


def _receive(url: str, response: http.client.HTTPResponse, part: Path, start: int) -> bool:
    """Writes the response, at the end of the part if the server sends the rest of the file, else from the beginning."""
    resumes = response.status == http.HTTPStatus.PARTIAL_CONTENT
    if resumes and not re.match(rf"bytes {start}-", response.headers.get("Content-Range", "")):
        discard(part)
        return True
    if not resumes:
        start = 0
        discard(part)
    # None where the server does not tell, or not a number.
    length = response.length
    state = _State(url, _find_validator(response), None if length is None else start + length)
    # Before the first byte: a part without its state cannot be resumed.
    write_whole(str(_state_file(part)), json.dumps(state._asdict()).encode())
    ended = _append(response, part, start, state.size)
    size = part.stat().st_size
    if ended and state.size is None:
        write_whole(str(_state_file(part)), json.dumps(state._replace(size=size)._asdict()).encode())
    return size > start


def _append(response: http.client.HTTPResponse, part: Path, start: int, size: int | None) -> bool:
    """Appends the response to the part; returns False if the connection breaks or goes silent."""
    progress = tqdm(desc="downloading", total=size, initial=start, unit="B", unit_scale=True, disable=None)
    with part.open("ab") as file, progress:
        while True:
            try:
                chunk = response.read1(_CHUNK)
            except (OSError, http.client.HTTPException):
                return False
            if not chunk:
                return True
            file.write(chunk)
            progress.update(len(chunk))


def _find_validator(response: http.client.HTTPResponse) -> str | None:
    tag = response.headers.get("ETag")
    # A weak tag does not promise equal bytes.
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _is_whole(url: str, part: Path) -> bool:
    state = _read_state(part)
    return state is not None and state.url == url and part.exists() and part.stat().st_size == state.size


def _read_state(part: Path) -> _State | None:
    """None where there is none, or a damaged one: then the download starts over."""
    try:
        state = _State(**read_json(_state_file(part), "the state of a download"))
        is_sound = state.validator is None or re.fullmatch("[ -~]+", state.validator)
    except (UserError, TypeError):
        return None
    return state if is_sound and isinstance(state.size, (int, type(None))) else None


def _state_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _describe(part: Path) -> str:
    """How much was downloaded, and what to do next."""
    state = _read_state(part)
    if not state or not part.exists():
        return "nothing was downloaded"
    size = f"{part.stat().st_size} of {state.size or 'an unknown number of'} bytes"
    return f"{size} downloaded; run again to {'resume' if state.validator else 'start over'}"
