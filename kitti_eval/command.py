"""Shared by all commands: --help, and for a user's mistake one line and exit status 1.

It is part of kitti_eval, which works without TensorFlow; the commands of `sfmlearner_tf` use it too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from absl import app, flags, logging

from kitti_eval.errors import UserError


def run(main: Callable[[], None], argument: str | None = None, help_groups: Sequence[str] = ()) -> NoReturn:
    """Parses the flags, runs `main` and exits; a UserError prints one line instead of a traceback.

    Exit status: 0 when `main` returns and for --help, 1 for a wrong flag or a UserError, 130 for Ctrl-C.

    Args:
        main: the command; the docstring of its module is the text of --help.
        argument: name of a flag whose value may also be given without the name, anywhere on the command line.
        help_groups: modules whose flags --help lists, in this order; by default main's module.
    """
    # TensorFlow's start-up messages would hide that line; set the variable to 0 to see them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module = sys.modules[main.__module__]
    name = sys.argv[0] if module.__name__ == "__main__" else module.__name__

    def parse(argv: Sequence[str]) -> Sequence[str]:
        if any(given in ("--help", "-h", "-help", "-?") for given in argv[1:]):
            listed = [flags.FLAGS.module_help(group) for group in help_groups or [name]]
            _print_all("\n".join([str(module.__doc__), *listed]))
            sys.exit(0)
        flags.FLAGS.set_gnu_getopt(argument is not None)
        try:
            rest = flags.FLAGS(argv)
        except flags.Error as error:
            _fail(" ".join(str(error).split()) + " (--help lists the flags)")
        if argument and len(rest) > 1 and flags.FLAGS[argument].value is None:
            flags.FLAGS[argument].value = rest.pop(1)
        if len(rest) > 1:
            _fail(f"unexpected argument {rest[1]!r}: options are written --name=value (--help lists the flags)")
        return rest

    def guarded(_: Sequence[str]) -> int:
        logging.set_verbosity(logging.WARNING)
        try:
            main()
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            print("stopped by Ctrl-C", file=sys.stderr)
            return 130
        return 0

    app.run(guarded, flags_parser=parse)


def _print_all(text: str) -> None:
    """Prints a text, even if the reader closes the pipe early, as in `--help | head`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
