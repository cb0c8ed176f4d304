"""Trains depth and camera motion from formatted video.

    python -m sfmlearner_tf.train --dataset_dir=formatted --checkpoint_dir=checkpoints/mine --batch_size=4

The data is what tools/prepare_train_data.py writes. Checkpoints, config.json and TensorBoard summaries go to
--checkpoint_dir; Ctrl-C finishes the step and saves, and --continue_train continues. The options of the 2017 release
come first; with their defaults the numbers are the release's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, NoReturn

from absl import flags

from kitti_eval import command
from sfmlearner_tf.config import GROUPS, PRESETS, TrainConfig
from sfmlearner_tf.errors import UserError

_DEFINE: dict[str, Callable[..., Any]] = {
    "str": flags.DEFINE_string,
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_bool,
}


def _define(option: Any) -> None:
    """Makes a flag of an option, listed by --help with its group."""
    group, text = GROUPS[option.metadata["group"]], option.metadata["help"]
    if "choices" in option.metadata:
        flags.DEFINE_enum(option.name, option.default, option.metadata["choices"], text, module_name=group)
    else:
        _DEFINE[str(option.type)](option.name, option.default, text, module_name=group)


for _option in fields(TrainConfig):
    _define(_option)
_PRESET = flags.DEFINE_enum(
    "preset",
    "release",
    list(PRESETS),
    "Defaults of the other flags: release, or recommended, which has "
    + ", ".join(f"{name}={value}" for name, value in PRESETS["recommended"].items())
    + "; scale_consistent: one scale over a video; free_motion, object_motion: moving objects; normals_and_edges: flat "
    "surfaces. A flag that is given wins.",
    module_name=GROUPS["run"],
)


def main() -> None:
    given = [flags.FLAGS[option.name] for option in fields(TrainConfig) if flags.FLAGS[option.name].present]
    try:
        config = TrainConfig.from_preset(_PRESET.value, **{flag.name: flag.value for flag in given})
    except ValueError as error:
        raise UserError(f"--{error}") from None
    # Only now: --help and a wrong flag need not wait for TensorFlow.
    import tensorflow as tf

    from sfmlearner_tf.device import set_up_gpus
    from sfmlearner_tf.trainer import Trainer

    set_up_gpus()
    try:
        Trainer(config).run()
    except tf.errors.ResourceExhaustedError:
        # Nothing is saved: the step may have changed a part of the weights.
        raise UserError("out of memory: a smaller batch_size or smaller images need less") from None


def cli() -> NoReturn:
    command.run(main, help_groups=list(GROUPS.values()))


if __name__ == "__main__":
    cli()
