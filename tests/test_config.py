import dataclasses

import pytest

from sfmlearner_tf import TrainConfig
from sfmlearner_tf.config import GROUPS
from sfmlearner_tf.presets import PRESETS


def test_defaults_are_the_release_s():
    expected = {
        "checkpoint_dir": "./checkpoints/",
        "learning_rate": 0.0002,
        "beta1": 0.9,
        "smooth_weight": 0.5,
        "explain_reg_weight": 0.0,
        "batch_size": 4,
        "img_height": 128,
        "img_width": 416,
        "seq_length": 3,
        "max_steps": 200000,
        "summary_freq": 100,
        "save_latest_freq": 5000,
        "continue_train": False,
    }
    # Beyond the release: damaged data ends training there, too.
    assert (TrainConfig().on_bad_example, TrainConfig().max_bad_fraction) == ("stop", 0.01)
    config = dataclasses.asdict(TrainConfig())
    assert {name: config[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"seq_length": 4}, "seq_length must be odd, got 4"),
        ({"seq_length": 1}, "seq_length must be at least 3, got 1"),
        ({"img_height": 31}, "img_height must be at least 32, got 31"),
        ({"img_height": 100_000_000}, "img_height must be at most 8192, got 100000000"),
        ({"img_width": 8193}, "img_width must be at most 8192, got 8193"),
        ({"seq_length": 101}, "seq_length must be at most 99, got 101"),
        ({"batch_size": 10**9}, "batch_size must be at most 8192, got 1000000000"),
        ({"seed": 2**31}, "seed must be at most 2147483647, got 2147483648"),
        ({"max_steps": 2**31}, "max_steps must be at most 2147483647, got 2147483648"),
        ({"cache": "ram"}, "cache must be one of none, memory, disk, got 'ram'"),
        ({"num_threads": 10**6}, "num_threads must be at most 1024, got 1000000"),
        ({"smooth_weight": 10**400}, "smooth_weight must be finite, got 1000"),
        ({"on_bad_example": "ignore"}, "on_bad_example must be one of stop, skip, got 'ignore'"),
        ({"max_bad_fraction": 1.0}, "max_bad_fraction must be below 1, got 1.0"),
        ({"max_bad_fraction": -0.1}, "max_bad_fraction must be at least 0, got -0.1"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be above 0, got nan"),
        ({"smooth_weight": float("inf")}, "smooth_weight must be finite, got inf"),
        ({"beta1": 1.0}, "beta1 must be below 1, got 1.0"),
        ({"num_scales": 5}, "num_scales must be at most 4, got 5"),
        (
            {"precision": "bfloat16", "img_height": 32, "img_width": 64},
            "precision must be float32 for images of at most 64x64 pixels, got 'bfloat16'",
        ),
        ({"sampler": "fast"}, "sampler must be one of native, addons, got 'fast'"),
        ({"initial_disp": 0.01}, "initial_disp must be 0 or above min_disp=0.01, got 0.01"),
        ({"anchor_weight": 0.1}, "anchor_weight must be above 0 with anchor_checkpoint_file and 0 without, got 0.1"),
        ({"seed": 1.5}, "seed must be a whole number, got 1.5"),
        ({"batch_size": True}, "batch_size must be a whole number, got True"),
        ({"learning_rate": "fast"}, "learning_rate must be a number, got 'fast'"),
        ({"random_flip": 1}, "random_flip must be true or false, got 1"),
        ({"dataset_dir": None}, "dataset_dir must be a text, got None"),
        ({"depth_network": "resnet"}, "depth_network must be one of dispnet, resnet18, resnet50, got 'resnet'"),
        (
            {"watches_off": "upside_down, asleep"},
            "watches_off must be any of constant_depth, .*, got 'ups",
        ),
        ({"overwrite": True, "continue_train": True}, "overwrite must be false with continue_train, got true"),
        ({"anchor_checkpoint_file": "model.latest"}, "and 0 without, got 0.0 and 'model.latest'"),
        ({"sampler": "addons", "jit_compile": True}, "sampler must be 'native' with jit_compile"),
    ],
)
def test_options_out_of_range_are_named(option, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**option)


def test_presets():
    assert TrainConfig.from_preset("release") == TrainConfig()
    recommended = TrainConfig.from_preset("recommended", learning_rate=0.1)
    assert recommended.learning_rate == 0.1
    assert 0 < recommended.ssim_weight <= 1
    with pytest.raises(ValueError, match=f"preset must be one of release, recommended, .*{list(PRESETS)[-1]}, got 'x'"):
        TrainConfig.from_preset("x")


def test_every_option_has_a_group_and_the_release_s_come_first():
    groups = [option.metadata["group"] for option in dataclasses.fields(TrainConfig)]
    assert list(dict.fromkeys(groups)) == list(GROUPS)
    assert groups.count("release") == 15


def test_the_drop_of_the_learning_rate():
    assert TrainConfig().lr_decay_step is None
    assert TrainConfig(max_steps=1000, lr_decay_after=0.75).lr_decay_step == 751
