"""Prints what lets bash complete our commands with the tab key: their flags, and the choices or files of those.

    sfmlearner-completion > ~/.sfmlearner-completion
    echo "source ~/.sfmlearner-completion" >> ~/.bashrc

A value is completed after a blank, as in --preset recommended. In zsh, `autoload -U bashcompinit && bashcompinit` comes
first. Needs the extra `completion`: pip install 'sfmlearner_tf[completion]'.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from importlib import metadata

from tqdm import tqdm

from kitti_eval import command
from kitti_eval.workers import map_ahead
from sfmlearner_tf.errors import UserError

# Each command has flags of its own, some of one name, so each is read in a process of its own.
_READ_FLAGS = """
import importlib, json, sys
from absl import flags

importlib.import_module(sys.argv[1])
found = [flag for module, listed in flags.FLAGS.flags_by_module_dict().items() for flag in listed
         if not (module or "absl").startswith("absl") and module != "kitti_eval.command"]
print(json.dumps([[flag.name, flag.boolean, getattr(flag.parser, "enum_values", None), flag.help] for flag in found]))
"""
_PROCESSES = 4


def main() -> None:
    try:
        import shtab
    except ImportError as error:
        raise UserError(f"completion needs {error.name}: pip install 'sfmlearner_tf[completion]'") from None
    try:
        scripts = metadata.distribution("sfmlearner_tf").entry_points
    except metadata.PackageNotFoundError:
        raise UserError(
            "expected sfmlearner_tf to be installed (pip install .), found no commands to complete"
        ) from None
    commands = sorted((script.name, script.value.partition(":")[0]) for script in scripts)
    found = map_ahead(read_flags, [module for _, module in commands], _PROCESSES)
    for (name, _), options in zip(commands, tqdm(found, "commands", len(commands), disable=None)):
        print(shtab.complete(make_parser(name, options), "bash"))


def read_flags(module: str) -> list[tuple[str, bool, list[str] | None, str]]:
    """The flags of a command: name, whether it is yes or no, choices and help.

    Raises:
        UserError: the command cannot be loaded.
    """
    done = subprocess.run([sys.executable, "-c", _READ_FLAGS, module], capture_output=True, text=True, check=False)
    if done.returncode:
        *_, reason = f"exit status {done.returncode}", *done.stderr.strip().splitlines()
        raise UserError(f"{module} cannot be loaded: {reason}")
    return json.loads(done.stdout)


def make_parser(name: str, options: list[tuple[str, bool, list[str] | None, str]]) -> argparse.ArgumentParser:
    """A parser of these flags, from which the script is made."""
    import shtab

    parser = argparse.ArgumentParser(name)
    for option, is_boolean, choices, text in options:
        text = text.replace("%", "%%")
        if is_boolean:
            parser.add_argument(f"--{option}", action="store_true", help=text)
            parser.add_argument(f"--no{option}", action="store_true", help=f"not --{option}")
        elif choices:
            parser.add_argument(f"--{option}", choices=choices, help=text)
        else:
            # What takes no file takes no harm from their names.
            parser.add_argument(f"--{option}", help=text).complete = shtab.FILE  # type: ignore[attr-defined]
    return parser


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
