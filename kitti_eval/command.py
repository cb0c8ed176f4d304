"""What every evaluation command shares: --help that explains, one line and exit status 1 for a user's mistake.

Like the package's own `command`, which kitti_eval does not import, so that it runs where TensorFlow is not installed.
"""

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags


class UserError(Exception):
    """Something the user can mend. Its text names the file or flag, what was expected and what was found."""


def run(main: Callable[[], None]) -> NoReturn:
    """Parses the flags, runs `main` and exits; without a traceback where the mistake is the user's.

    Exit status: 0 when `main` returns and for --help, 1 on a UserError or a wrong flag, 130 on Ctrl-C.
    """
    module = sys.modules[main.__module__]

    def parse(argv: Sequence[str]) -> Sequence[str]:
        if any(argument in ("--help", "-h", "-help", "-?") for argument in argv[1:]):
            listed = flags.FLAGS.module_help(sys.argv[0] if module.__name__ == "__main__" else module.__name__)
            _print_to_the_end(f"{module.__doc__}\n{listed}")
            sys.exit(0)
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(" ".join(str(error).split()) + " (--help lists the flags)")
        if len(rest) > 1:
            _fail(f"unexpected argument {rest[1]!r}: every option is written --name=value (--help lists the flags)")
        return rest

    def guarded(_: Sequence[str]) -> int:
        try:
            main()
        except UserError as error:
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
