"""Several formatted datasets as one: `dataset_dir=malaga,kitti:2`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from sfmlearner_tf.data.formatted import Example, read_split
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.options import split_list

# Of the examples of one part: lists of more would not fit into memory.
_MOST_TIMES = 1000


class Part(NamedTuple):
    """One formatted dataset, and how many times each of its examples comes in an epoch."""

    folder: str
    times: int


def find_parts(dataset_dir: str) -> list[Part]:
    """The datasets that a text names: folders with commas, each with its number of times after a colon if not once.

    A folder that has the whole text for its name is that folder.

    Raises:
        UserError: no folder, a number of times that is not 1 to 1000, or a folder that is named twice.
    """
    if os.path.isdir(dataset_dir):
        return [Part(dataset_dir, 1)]
    parts = []
    for text in split_list(dataset_dir):
        found = None if os.path.isdir(text) else re.fullmatch(r"(.+):([^:/]*)", text)
        folder, times = found.groups() if found else (text, "1")
        if not (times.isascii() and times.isdecimal() and 1 <= int(times) <= _MOST_TIMES):
            raise UserError(
                f"dataset_dir: expected a whole number from 1 to {_MOST_TIMES} after {folder}:, got {times!r}"
            )
        parts.append(Part(folder, int(times)))
    if not parts:
        raise UserError(f"dataset_dir: expected a folder, got {dataset_dir!r}")
    spaced = [part.folder for part in parts if len(part.folder.split()) > 1]
    if spaced and len(parts) > 1:
        raise UserError(f"dataset_dir: expected folders without spaces where they are several, got {spaced[0]!r}")
    folders = [os.path.realpath(part.folder) for part in parts]
    twice = [part.folder for part, folder in zip(parts, folders) if folders.count(folder) > 1]
    if twice:
        raise UserError(f"dataset_dir: expected each folder once, got {twice[0]} twice ({twice[0]}:2 reads it twice)")
    return parts


def find_root(dataset_dir: str) -> str:
    """The folder that the examples of `read_mixture` are in: the dataset's own; of several none, "", for then their
    folders are part of their names."""
    parts = find_parts(dataset_dir)
    return parts[0].folder if len(parts) == 1 else ""


def read_mixture(dataset_dir: str, name: str) -> list[Example]:
    """The examples of all parts, one part after the other, see `read_split`; those of "train" as often as they come.

    Of several parts some may have no examples for validation.

    Raises:
        UserError: as `find_parts` and `read_split`.
    """
    parts = find_parts(dataset_dir)
    examples: list[Example] = []
    for part in parts:
        if name == "val" and (examples or part is not parts[-1]) and not _lists_any(part.folder, name):
            continue
        found = read_split(part.folder, name)
        if len(parts) > 1:
            found = [Example(os.path.join(part.folder, each.folder), each.frame) for each in found]
        examples += found * (part.times if name == "train" else 1)
    return examples


def name_without_place(examples: Iterable[Example], dataset_dir: str) -> list[Example]:
    """The examples of `read_mixture` under names that stay where the datasets move: of several parts, each part's
    number stands for its folder."""
    parts = find_parts(dataset_dir)
    if len(parts) == 1:
        return list(examples)
    numbers = {os.path.join(part.folder, ""): f"{number}/" for number, part in enumerate(parts)}

    def rename(example: Example) -> Example:
        place = next(place for place in numbers if example.folder.startswith(place))
        return Example(numbers[place] + example.folder[len(place) :], example.frame)

    return [rename(example) for example in examples]


def describe(dataset_dir: str) -> list[str]:
    """A line for each of several parts: its examples, and how often they come in an epoch; none of a single one."""
    parts = find_parts(dataset_dir)
    if len(parts) == 1 and parts[0].times == 1:
        return []
    lines = []
    for part in parts:
        count = len(read_split(part.folder, "train"))
        often = "" if part.times == 1 else f", {part.times} times an epoch: {part.times * count:,}"
        lines.append(f"{part.folder}: {count:,} examples{often}")
    return lines


def _lists_any(folder: str, name: str) -> bool:
    path = os.path.join(folder, f"{name}.txt")
    return os.path.exists(path) and os.path.getsize(path) > 0
