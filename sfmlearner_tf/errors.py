"""The exception for mistakes that the user can fix; one class for this package and for `kitti_eval`."""

from kitti_eval.errors import UserError

__all__ = ["UserError"]
