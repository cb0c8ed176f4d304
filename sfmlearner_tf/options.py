"""Options as fields of a dataclass: each with its group, its help and its limits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import field, fields
from typing import Any


def option(group: str, default: Any, help_text: str, **limits: Any) -> Any:
    """The field of an option.

    Args:
        limits: any of at_least, at_most, above, below (numbers), odd (True), choices (texts, one of which it is) and
            listed (texts of which it lists some, with commas).
    """
    return field(default=default, metadata={"group": group, "help": help_text, **limits})


def check_options(options: Any) -> None:
    """Checks all fields of a dataclass of options.

    Raises:
        ValueError: one has another type or is out of its limits; the text names it, what was expected and what was
            found.
    """
    for found in fields(options):
        value = getattr(options, found.name)
        expected = _expected(value, str(found.type), found.metadata)
        if expected:
            raise ValueError(f"{found.name} must be {expected}, got {value!r}")


def split_list(text: str) -> list[str]:
    """The parts of a text with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text"),
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
}


def _expected(value: Any, type_name: str, limits: Any) -> str:
    """What an option should have been; empty where it is fine."""
    types, text = _TYPES[type_name]
    if type(value) not in types:
        return text
    comparisons: dict[str, Callable[[Any], bool]] = {
        "at_least": lambda limit: value >= limit,
        "at_most": lambda limit: value <= limit,
        "above": lambda limit: value > limit,
        "below": lambda limit: value < limit,
    }
    for name, fits in comparisons.items():
        if name in limits and not fits(limits[name]):
            return f"{name.replace('_', ' ')} {limits[name]}"
    if "odd" in limits and value % 2 == 0:
        return "odd"
    if "choices" in limits and value not in limits["choices"]:
        return f"one of {', '.join(limits['choices'])}"
    if "listed" in limits and not set(split_list(value)) <= set(limits["listed"]):
        return f"any of {', '.join(limits['listed'])}, with commas"
    # Also of a whole number that is too large for a float.
    return "" if type_name != "float" or abs(value) <= sys.float_info.max else "finite"
