"""UserError, which both packages share, and what an error of TensorFlow says."""

from __future__ import annotations

import re

from kitti_eval.errors import UserError

__all__ = ["UserError", "first_line"]


def first_line(error: Exception) -> str:
    """What an error of TensorFlow says, in one line and without what it adds about its graph."""
    line, *_ = re.sub(r"{{.*?}} | \[Op:\w+\]( name: )?", "", str(error)).splitlines() or [""]
    return line or type(error).__name__
