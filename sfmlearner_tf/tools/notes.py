"""Prints notes on recordings, grouped by their kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sfmlearner_tf.data.sequences import Note

NAMES_SHOWN = 10


def print_notes(notes: Iterable[Note]) -> None:
    """Prints how many notes there are of each kind, and the first of them."""
    for kind, found in _group(notes).items():
        print(_count(kind, found))
        for note in found[:NAMES_SHOWN]:
            print(f"    {note.what}" + (f": {note.number}" if note.number > 1 else ""))
        if len(found) > NAMES_SHOWN:
            print(f"    and {len(found) - NAMES_SHOWN} more")


def summarise_notes(notes: Iterable[Note]) -> list[str]:
    """How many notes there are of each kind, as in "damaged frame: 3"."""
    return [_count(kind, found) for kind, found in _group(notes).items()]


def _count(kind: str, notes: list[Note]) -> str:
    return f"{kind}: {sum(note.number for note in notes)}"


def _group(notes: Iterable[Note]) -> dict[str, list[Note]]:
    kinds = defaultdict(list)
    for note in notes:
        kinds[note.kind].append(note)
    return kinds
