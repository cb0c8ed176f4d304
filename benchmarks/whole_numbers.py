"""Flags that list whole numbers."""

from __future__ import annotations

from absl import flags

from kitti_eval.errors import UserError


def read_whole_numbers(flag: flags.Flag | flags.FlagHolder, at_least: int = 0) -> list[int]:
    """The numbers of a flag such as --seeds=1,2,3. Raises UserError if one is no whole number, or too small."""
    texts: list[str] = flag.value or []
    if not all(text.isdecimal() and int(text) >= at_least for text in texts):
        raise UserError(f"--{flag.name}: expected whole numbers from {at_least} on, found {','.join(texts)!r}")
    return [int(text) for text in texts]
