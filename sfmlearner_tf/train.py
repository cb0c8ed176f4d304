"""Trains depth and camera motion from formatted video.

    python -m sfmlearner_tf.train --dataset_dir=formatted --checkpoint_dir=checkpoints/mine --batch_size=4

The data is what tools/prepare_train_data.py writes. Checkpoints and TensorBoard summaries go to --checkpoint_dir;
Ctrl-C finishes the step and saves, and --continue_train goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NoReturn

from absl import flags

from kitti_eval import command
from sfmlearner_tf.config import PRESETS, TrainConfig
from sfmlearner_tf.errors import UserError

_DEFINE: dict[str, Callable[..., Any]] = {
    "str": flags.DEFINE_string,
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_bool,
}

_PRESET = flags.DEFINE_enum(
    "preset", "release", list(PRESETS),
    "Defaults of the other flags: release, or recommended: "
    + ", ".join(f"{name}={value}" for name, value in PRESETS["recommended"].items())
    + ". A flag that is given wins.",
)  # fmt: skip
for _option in fields(TrainConfig):
    _DEFINE[str(_option.type)](_option.name, _option.default, _option.metadata["help"])


def main() -> None:
    given = [flags.FLAGS[option.name] for option in fields(TrainConfig) if flags.FLAGS[option.name].present]
    try:
        config = TrainConfig.from_preset(_PRESET.value, **{flag.name: flag.value for flag in given})
    except ValueError as error:
        raise UserError(f"--{error}") from None
    from sfmlearner_tf.trainer import Trainer  # Only now: --help and a wrong flag need not wait for TensorFlow.

    Trainer(config).run()


def cli() -> NoReturn:
    command.run(main)


if __name__ == "__main__":
    cli()
