"""Every option of training, with the 2017 release's name and default where it has one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


def _option(default: Any, help_text: str, **limits: Any) -> Any:
    return field(default=default, metadata={"help": help_text, **limits})


# What each preset changes of the defaults, which are the release's. "recommended" learns sooner and better on the
# generated world (docs/learning.md).
PRESETS: dict[str, dict[str, Any]] = {
    "release": {},
    "recommended": {
        "learning_rate": 0.0003,
        "lr_decay_after": 0.75,
        "ssim_weight": 0.85,
        "mask_out_of_view": True,
        "smoothness": "edge_aware",
        "smooth_normalized": True,
        "smooth_weight": 0.02,
        "random_flip": True,
        "initial_disp": 1.0,
    },
}


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
    ssim_weight: float = _option(
        0.0, "Share of 1 - SSIM in the photometric error; the rest is the absolute difference.", at_least=0, at_most=1
    )
    mask_out_of_view: bool = _option(
        False, "Leave pixels that fall outside a source image out of the photometric error."
    )
    smoothness: str = _option(
        "second_order", "Smoothness loss: second_order differences of disparity, or edge_aware first-order ones.",
        choices=("second_order", "edge_aware"),
    )  # fmt: skip
    smooth_normalized: bool = _option(False, "Smooth disparity over its mean instead of disparity itself.")
    explain_reg: str = _option(
        "cross_entropy", "Regularisation of the masks: cross_entropy with 1, or focal.",
        choices=("cross_entropy", "focal"),
    )  # fmt: skip
    anchor_weight: float = _option(
        0.0, "Weight of the mean absolute difference between log disparity and that of --anchor_checkpoint_file, at "
        "each scale: holds depth near what other weights predict, where things that move along with the camera would "
        "become infinitely far.", at_least=0,
    )  # fmt: skip
    anchor_checkpoint_file: str = _option("", "Checkpoint whose depth --anchor_weight holds to; it is not trained.")
    min_disp: float = _option(
        0.01, "Smallest disparity that the network predicts: 0.01 in the release's code, 0.1 in the paper.", above=0
    )
    initial_disp: float = _option(
        0.0, "Disparity that training starts from, more or less; 0 is the release's, 5, in the middle of the range. In "
        "its lower part disparity follows the network exponentially, and near things keep room.", at_least=0, below=10,
    )  # fmt: skip
    random_flip: bool = _option(False, "Mirror each example left to right with probability 1/2.")
    lr_decay_after: float = _option(
        1.0, "Share of max_steps after which the learning rate is multiplied by lr_decay_factor; 1 never does.",
        above=0, at_most=1,
    )  # fmt: skip
    lr_decay_factor: float = _option(0.25, "What the learning rate is multiplied by then.", above=0, at_most=1)
    val_freq: int = _option(
        5000, "Steps between two validations on val.txt of dataset_dir; 0 leaves validation out.", at_least=0
    )
    val_examples: int = _option(200, "Examples of a validation at most, evenly spread.", at_least=1)
    val_kitti_dir: str = _option(
        "", "Folder of KITTI raw with velodyne_points or proj_depth, and oxts: validation then also measures Abs Rel "
        "and the translation error there."
    )  # fmt: skip
    val_files: str = _option(
        "", "List of image files relative to val_kitti_dir, one a line; without it the frames of val.txt."
    )
    best_metric: str = _option(
        "total", "Metric of validation whose smallest value is kept as model.best.",
        choices=("total", "pixel", "abs_rel", "translation_error"),
    )  # fmt: skip
    on_collapse: str = _option(
        "warn", "What to do when training goes wrong, such as depth turning constant: warn, or stop.",
        choices=("warn", "stop"),
    )  # fmt: skip
    watch_freq: int = _option(10, "Steps between two looks at whether training goes wrong.", at_least=1)
    watch_after: int = _option(
        500, "Step from which constant depth, no motion and the like count as going wrong.", at_least=0
    )
    deterministic: bool = _option(
        False, "Make every operation of TensorFlow give the same bits each time. On a CPU they do without; "
        "a GPU gets slower."
    )  # fmt: skip
    num_threads: int = _option(0, "Threads that decode images; 0 leaves the number to TensorFlow.", at_least=0)

    def __post_init__(self) -> None:
        for name, option in self.__dataclass_fields__.items():
            problem = _expected(getattr(self, name), option.metadata)
            if problem:
                raise ValueError(f"{name} must be {problem}, got {getattr(self, name)!r}")
        if self.sampler == "addons" and self.jit_compile:
            raise ValueError("sampler must be 'native' with jit_compile, got 'addons': XLA cannot compile it")
        if 0 < self.initial_disp <= self.min_disp:
            raise ValueError(f"initial_disp must be 0 or above min_disp={self.min_disp}, got {self.initial_disp}")
        if (self.anchor_weight > 0) != bool(self.anchor_checkpoint_file):
            raise ValueError(
                "anchor_weight must be above 0 with anchor_checkpoint_file and 0 without, got "
                f"{self.anchor_weight} and {self.anchor_checkpoint_file!r}"
            )
        if self.best_metric in ("abs_rel", "translation_error") and not self.val_kitti_dir:
            raise ValueError(f"best_metric must be total or pixel without val_kitti_dir, got {self.best_metric!r}")

    @classmethod
    def from_preset(cls, preset: str, **options: Any) -> TrainConfig:
        """The options of a preset, "release" or "recommended", with `options` in place of some of them."""
        return cls(**{**PRESETS[preset], **options})

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
