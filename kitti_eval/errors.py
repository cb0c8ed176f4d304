"""The exception that commands print as one line, without a traceback."""


class UserError(Exception):
    """A mistake the user can fix; the message names the file or flag, what was expected and what was found."""
