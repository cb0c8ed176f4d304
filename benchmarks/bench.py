"""Times everything that matters for speed on this machine and prints one table.

    make bench                                   # takes half an hour, alone on the machine
    python benchmarks/bench.py --parts=core,pipeline

The parts, each in processes of its own: core (sampler, warp, losses), step (the training step by precision, with and
without XLA, and its peak memory), pipeline (input, on one core), inference (depth by SavedModel, TFLite and ONNX).
A step in float16 is timed where there is a GPU; on a CPU, which has no kernels for it, it takes minutes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from absl import flags

from kitti_eval import command
from sfmlearner_tf.errors import UserError

HERE = Path(__file__).parent
_STEPS = [
    ["--precision=float32"],
    ["--precision=bfloat16", "--steps=12"],
    ["--precision=float32", "--jit_compile"],
]
_GPU_STEPS = [["--precision=tensorfloat32"], ["--precision=float16"], ["--precision=bfloat16", "--jit_compile"]]
PARTS = {
    "core": [["core.py"]],
    "step": [["train_step.py", "--row", *options] for options in _STEPS],
    "pipeline": [["pipeline.py"]],
    "inference": [["inference.py"]],
}

_PARTS = flags.DEFINE_list("parts", list(PARTS), f"What to time: {', '.join(PARTS)}.")


def main() -> None:
    wrong = [part for part in _PARTS.value if part not in PARTS]
    if wrong:
        raise UserError(f"--parts: expected any of {', '.join(PARTS)}, found {wrong[0]!r}")
    from timing import HEADER, describe_machine

    from sfmlearner_tf.device import list_gpus

    print(f"{describe_machine()}\n\n{HEADER}", flush=True)
    for part in _PARTS.value:
        further = _GPU_STEPS if part == "step" and list_gpus() else []
        for line in PARTS[part] + [["train_step.py", "--row", *options] for options in further]:
            done = subprocess.run([sys.executable, str(HERE / line[0]), *line[1:]], check=False)
            if done.returncode:
                raise UserError(f"{' '.join(line)} failed with status {done.returncode}")


if __name__ == "__main__":
    command.run(main)
