"""The one exception that commands turn into a line on the screen."""


class UserError(Exception):
    """A mistake that the user can fix: the text names the file or option, what was expected and what was found."""
