"""Searches for files that a reader does not survive, guided by the code they reach (atheris, libFuzzer); by hand.

    make fuzz                            # every reader, 100,000 files each; of slow SavedModels fewer
    python tests/fuzz/fuzz.py cam.txt -runs=1000000

Needs atheris, which `make fuzz` installs. Stops at the first file that ends in anything but a UserError, and writes it
to crash-*.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import atheris

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

with atheris.instrument_imports(include=["kitti_eval", "sfmlearner_tf"]):
    from damage import damage
    from kitti_eval.errors import UserError
    from readers import READERS, check_sane, write_files


def fuzz(name: str, options: list[str]) -> None:
    """Runs libFuzzer on one reader; does not return."""
    reader = READERS[name]
    good = reader.files[reader.damaged]
    with tempfile.TemporaryDirectory() as work:
        folder, corpus = Path(work, "files"), Path(work, "corpus")
        write_files(reader, folder)
        corpus.mkdir()
        (corpus / "good").write_bytes(good)

        def read(content: bytes) -> None:
            (folder / reader.damaged).write_bytes(content)
            with contextlib.suppress(UserError):
                check_sane(reader.read(folder))

        def change(content: bytes, max_size: int, seed: int) -> bytes:
            draw = random.Random(seed)
            return (damage(content, draw) if draw.random() < 0.5 else atheris.Mutate(content, len(content)))[:max_size]

        arguments = [sys.argv[0], str(corpus), f"-max_len={len(good) + 20_000}", "-print_final_stats=1", *options]
        atheris.Setup(arguments, read, custom_mutator=change)
        atheris.Fuzz()


def main() -> None:
    if len(sys.argv) > 1:
        fuzz(sys.argv[1], sys.argv[2:])
        return
    failed = []
    for name, reader in READERS.items():
        command = [sys.executable, __file__, name, f"-runs={100_000 // reader.cost}", "-verbosity=0"]
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
    print(f"{len(READERS)} readers; failed: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
