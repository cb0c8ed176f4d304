"""Every option of training, with the 2017 release's name and default where it has one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _option(default: Any, help_text: str, **limits: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **limits})


@dataclass(frozen=True)
class TrainConfig:
    """What one training run is made from.

    Raises:
        ValueError: an option out of its range, naming it, what was expected and what was found.
    """

    dataset_dir: str = _option("", "Folder of the formatted data: train.txt and what it lists.")
    checkpoint_dir: str = _option("./checkpoints/", "Folder that checkpoints and TensorBoard summaries go to.")
    init_checkpoint_file: str = _option(
        "", "Checkpoint to take the weights from, such as folder/model-190532; training starts at step 0 unless "
        "--continue_train is given too."
    )  # fmt: skip
    learning_rate: float = _option(0.0002, "Learning rate of Adam.", above=0)
    beta1: float = _option(0.9, "Momentum term of Adam.", at_least=0, below=1)
    smooth_weight: float = _option(0.5, "Weight of the smoothness loss; at scale s divided by 2**s.", at_least=0)
    explain_reg_weight: float = _option(
        0.0, "Weight of the explainability regularisation; 0 leaves the masks out altogether.", at_least=0
    )
    batch_size: int = _option(4, "Examples per step.", at_least=1)
    img_height: int = _option(128, "Height of the formatted frames, pixels.", at_least=32)
    img_width: int = _option(416, "Width of the formatted frames, pixels.", at_least=32)
    seq_length: int = _option(3, "Frames per example: the target in the middle and its sources.", at_least=3, odd=True)
    max_steps: int = _option(
        200000, "Training runs steps 1 to max_steps - 1, those of the runs that it continues included.", at_least=1
    )
    summary_freq: int = _option(100, "Steps between two summaries.", at_least=1)
    save_latest_freq: int = _option(5000, "Steps between two savings of model.latest.", at_least=1)
    continue_train: bool = _option(
        False, "Go on from the newest checkpoint of checkpoint_dir, or from --init_checkpoint_file."
    )
    seed: int = _option(8964, "Decides initial weights, order of the data and augmentation.", at_least=0)
    num_scales: int = _option(4, "Scales that the losses look at, from the finest on.", at_least=1, at_most=4)
    sampler: str = _option(
        "native", "Sampling kernel of the warp: native, or addons for the compiled one of tensorflow-addons.",
        choices=("native", "addons"),
    )  # fmt: skip
    jit_compile: bool = _option(False, "Compile the training step with XLA.")
    max_to_keep: int = _option(10, "Checkpoints kept; older ones are deleted.", at_least=1)
    num_threads: int = _option(0, "Threads that decode images; 0 leaves the number to TensorFlow.", at_least=0)

    def __post_init__(self) -> None:
        for name, option in self.__dataclass_fields__.items():
            problem = _expected(getattr(self, name), option.metadata)
            if problem:
                raise ValueError(f"{name} must be {problem}, got {getattr(self, name)!r}")
        if self.sampler == "addons" and self.jit_compile:
            raise ValueError("sampler must be 'native' with jit_compile, got 'addons': XLA cannot compile it")

    @property
    def num_sources(self) -> int:
        """Source frames per example."""
        return self.seq_length - 1

    @property
    def explain(self) -> bool:
        """Whether explainability masks are learned."""
        return self.explain_reg_weight > 0


def _expected(value: Any, limits: Any) -> str:
    """What `value` should have been, or nothing where it is fine."""
    if "at_least" in limits and not value >= limits["at_least"]:
        return f"at least {limits['at_least']}"
    if "at_most" in limits and not value <= limits["at_most"]:
        return f"at most {limits['at_most']}"
    if "above" in limits and not value > limits["above"]:
        return f"above {limits['above']}"
    if "below" in limits and not value < limits["below"]:
        return f"below {limits['below']}"
    if "odd" in limits and value % 2 == 0:
        return "odd"
    if "choices" in limits and value not in limits["choices"]:
        return f"one of {', '.join(limits['choices'])}"
    if isinstance(value, float) and value == float("inf"):
        return "finite"
    return ""
