"""Damages the content of a file the way disks, editors and other programs do."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_NUMBER = re.compile(rb"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_ODD_NUMBERS = [
    b"0", b"-1", b"-0.0", b"nan", b"NaN", b"inf", b"-inf", b"Infinity", b"1e308", b"-1e308", b"1e999", b"1e-320",
    b"1e30", b"1e10", b"1000000000000000000000", b"9" * 5000, b"0x10", b"1_000", b"1,5", b"", b"--1", b"true", b"null",
]  # fmt: skip
_ODD_TEXTS = [
    b"\0", b"\xff\xfe", b"../", b"/etc/passwd", b"\n", b"\n\n", b"\r\n", b" ", b"\t", b",", b":", b"#", b'"', b"[",
    b"{", b"[" * 2000, b'{"a":' * 2000, b"x" * 300, b"\xef\xbb\xbf", "é".encode(), b"%s", b"PK\x03\x04", b"\x93NUMPY",
]  # fmt: skip


def damage(content: bytes, draw: random.Random) -> bytes:
    """`content` after one to four damages, chosen by `draw`."""
    for _ in range(draw.randint(1, 4)):
        content = draw.choice(_DAMAGES)(content, draw)
    return content


def _place(content: bytes, draw: random.Random) -> tuple[int, int]:
    start = draw.randint(0, len(content))
    return start, min(len(content), start + draw.choice([1, 2, 4, 8, 64]))


def _flip(content: bytes, draw: random.Random) -> bytes:
    if not content:
        return content
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << draw.randrange(8))]) + content[place + 1 :]


def _set_byte(content: bytes, draw: random.Random) -> bytes:
    place = draw.randint(0, len(content))
    return content[:place] + bytes([draw.choice([0, 1, 10, 32, 127, 128, 255])]) + content[place + 1 :]


def _cut(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randint(0, len(content))]


def _drop(content: bytes, draw: random.Random) -> bytes:
    start, end = _place(content, draw)
    return content[:start] + content[end:]


def _repeat(content: bytes, draw: random.Random) -> bytes:
    start, end = _place(content, draw)
    return content[:end] + content[start:end] * draw.choice([1, 2, 100]) + content[end:]


def _insert(content: bytes, draw: random.Random) -> bytes:
    start, _ = _place(content, draw)
    return content[:start] + draw.choice(_ODD_TEXTS) + content[start:]


def _replace_number(content: bytes, draw: random.Random) -> bytes:
    numbers = list(_NUMBER.finditer(content))
    if not numbers:
        return _insert(content, draw)
    chosen = draw.choice(numbers)
    return content[: chosen.start()] + draw.choice(_ODD_NUMBERS) + content[chosen.end() :]


def _swap_lines(content: bytes, draw: random.Random) -> bytes:
    lines = content.split(b"\n")
    first, second = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines)


_DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    _flip, _set_byte, _cut, _drop, _repeat, _insert, _replace_number, _replace_number, _replace_number, _swap_lines,
]  # fmt: skip
