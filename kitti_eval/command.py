"""Shared by all commands: --help, and for a user's mistake one line and exit status 1.

It is part of kitti_eval, which works without TensorFlow; the commands of `sfmlearner_tf` use it too.
"""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from types import FrameType
from typing import NoReturn

from absl import app, flags, logging

from kitti_eval.errors import UserError

_HELP_FLAGS = {"help", "h", "?", "helpshort", "helpfull"}


def run(main: Callable[[], None], argument: str | None = None, help_groups: Sequence[str] = ()) -> NoReturn:
    """Parses the flags, runs `main` and exits; a UserError prints one line instead of a traceback.

    Exit status: 0 when `main` returns and for --help; 1 for a wrong flag, a UserError, a file or an output that cannot
    be read or written, and too little memory; 130 for Ctrl-C, 143 for SIGTERM, 141 if the reader of the output goes
    away. A `~` at the beginning of a flag's value, or of a part of a list, is the home folder.

    Args:
        main: the command; the docstring of its module is the text of --help.
        argument: name of a flag whose value may also be given without the name, anywhere on the command line.
        help_groups: modules whose flags --help lists, in this order; by default main's module. --helpfull lists all.
    """
    # TensorFlow's start-up messages would hide that line; set the variable to 0 to see them.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Convolutions by oneDNN, which TensorFlow leaves out on CPUs without AVX-512: a step takes 0.7 of the time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    signal.signal(signal.SIGTERM, _stop)
    sys.unraisablehook = _stop_again
    if sys.stdout is None:
        _fail("standard output: expected it open, found it closed")
    if isinstance(sys.stdout, TextIOWrapper):
        # The name of a file need not be valid UTF-8.
        sys.stdout.reconfigure(errors="backslashreplace")
    module = sys.modules[main.__module__]
    name = sys.argv[0] if module.__name__ == "__main__" else module.__name__

    def parse(argv: Sequence[str]) -> Sequence[str]:
        asked = _HELP_FLAGS.intersection(given.lstrip("-") for given in argv[1:] if given.startswith("-"))
        if asked:
            listed = [flags.FLAGS.module_help(group) for group in help_groups or [name]]
            text = [str(module.__doc__), *([flags.FLAGS.get_help()] if "helpfull" in asked else listed)]
            sys.exit(_guard(lambda: print("\n".join(text))))
        return _parse(argv, argument)

    def guarded(_: Sequence[str]) -> int:
        logging.set_verbosity(logging.WARNING)
        return _guard(main)

    app.run(guarded, flags_parser=parse)


def _parse(argv: Sequence[str], argument: str | None) -> Sequence[str]:
    """Sets the flags; returns the program's name alone."""
    flags.FLAGS.set_gnu_getopt(argument is not None)
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _fail(" ".join(str(error).split()) + " (--help lists the flags)")
    except (UnicodeDecodeError, OSError):
        _fail("--flagfile: expected a text file with one flag per line (--help lists the flags)")
    if argument and len(rest) > 1 and flags.FLAGS[argument].value is None:
        flags.FLAGS[argument].value = rest.pop(1)
    if len(rest) > 1:
        _fail(f"unexpected argument {rest[1]!r}: options are written --name=value (--help lists the flags)")
    for flag in map(flags.FLAGS.__getitem__, flags.FLAGS):
        if isinstance(flag.value, str):
            flag.value = _expand(flag.value)
        elif isinstance(flag.value, list):
            flag.value = [_expand(part) for part in flag.value]
        elif isinstance(flag.value, float) and math.isnan(flag.value):
            # It passes all bounds of a flag.
            _fail(f"--{flag.name}=nan: expected a number (--help lists the flags)")
    return rest


def _expand(text: str) -> str:
    return os.path.expanduser(text) if text.startswith("~") else text


def _guard(main: Callable[[], None]) -> int:
    """Runs `main` and returns the exit status; what ends it prints one line."""
    try:
        main()
        sys.stdout.flush()
    except UserError as error:
        _fail(str(error))
    except _Terminated:
        print("stopped by SIGTERM", file=sys.stderr)
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # Nobody reads any more, as in `command | head`.
        _drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        reason = error.strerror or str(error)
        _fail(reason if error.filename is None else f"{error.filename}: {reason}")
    except MemoryError as error:
        _fail(f"out of memory: {error or 'no more is to be had'}")
    return 0


def _drop_output() -> None:
    """Python must not try again to write what is left when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which whatever cleans up after Ctrl-C cleans up after too."""


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _Terminated


def _stop_again(lost: sys.UnraisableHookArgs) -> None:
    """Raises Ctrl-C or SIGTERM again, a moment later, where it met code whose exceptions Python only prints."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    again = _stop if isinstance(lost.exc_value, _Terminated) else signal.default_int_handler
    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def _fail(message: str) -> NoReturn:
    # One line, also where a name of a file has several.
    print(f"error: {' '.join(message.splitlines())}", file=sys.stderr)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        _drop_output()
    sys.exit(1)
