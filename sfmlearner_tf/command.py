"""What every command shares: --help that explains, and one line with exit status 1 for a user's mistake."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags, logging

# TensorFlow's start-up chatter would bury the one line that matters; set the variable to 0 to see it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


class UserError(Exception):
    """Something the user can mend. Its text names the file or flag, what was expected and what was found."""


def run(main: Callable[[], None], *other_mistakes: type[Exception], argument: str | None = None) -> NoReturn:
    """Parses the flags, runs `main` and exits; without a traceback where the mistake is the user's.

    `argument` is the flag whose value may also be written without its name, anywhere between the others.

    Exit status: 0 when `main` returns and for --help, 130 on Ctrl-C, 1 on a wrong flag, a UserError or one of
    `other_mistakes`, which are UserErrors of other packages.
    """
    module = sys.modules[main.__module__]
    mistakes: tuple[type[Exception], ...] = (UserError, *other_mistakes)

    def parse(argv: Sequence[str]) -> Sequence[str]:
        if any(argument in ("--help", "-h", "-help", "-?") for argument in argv[1:]):
            listed = flags.FLAGS.module_help(sys.argv[0] if module.__name__ == "__main__" else module.__name__)
            _print_to_the_end(f"{module.__doc__}\n{listed}")
            sys.exit(0)
        flags.FLAGS.set_gnu_getopt(argument is not None)
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(" ".join(str(error).split()) + " (--help lists the flags)")
        if argument and len(rest) > 1 and flags.FLAGS[argument].value is None:
            flags.FLAGS[argument].value = rest.pop(1)
        if len(rest) > 1:
            _fail(f"unexpected argument {rest[1]!r}: every option is written --name=value (--help lists the flags)")
        return rest

    def guarded(_: Sequence[str]) -> int:
        logging.set_verbosity(logging.WARNING)
        try:
            main()
        except mistakes as error:
            _fail(str(error))
        except KeyboardInterrupt:
            print("stopped by Ctrl-C", file=sys.stderr)
            return 130
        return 0

    app.run(guarded, flags_parser=parse)


def _print_to_the_end(text: str) -> None:
    """Prints, for as long as there is somebody to read it: `--help | head` is no failure."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
