import json
import os
import subprocess
import sys
from dataclasses import fields

import pytest

from sfmlearner_tf import TrainConfig, __version__, run_config
from sfmlearner_tf.errors import UserError


def other_value(option):
    """A value that the option can have, other than its default where there is a choice."""
    default = option.default
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 2 if option.name != "num_scales" else 2
    if isinstance(default, float):
        return 0.25 if default != 0.25 else 0.5
    choices = option.metadata.get("choices", ())
    if choices:
        return next((choice for choice in choices if choice != default), default)
    return option.metadata.get("listed", ("some/pläce",))[0]


def changed(name):
    """A configuration with another value of the option, and what that needs beside it."""
    moves = ("motion_field", "object_masks", "object_sparsity_weight", "object_smooth_weight")
    companions = {
        "anchor_weight": {"anchor_checkpoint_file": "model"},
        "anchor_checkpoint_file": {"anchor_weight": 0.5},
        "encoder_weights": {"depth_network": "resnet50"},
        "val_files": {"val_kitti_dir": "kitti"},
        **{key: {"learn_intrinsics": True} for key in ("focal_ratio", "centred")},
        "edge_weight": {"edges": True},
        **{key: {"motion_field": True, "pose_network": "pairnet"} for key in moves},
        **{key: {"object_motion": True} for key in ("max_objects", "object_size_weight")},
        **{key: {"both_directions": True} for key in ("rotation_cycle_weight", "translation_cycle_weight")},
    }
    (option,) = (option for option in fields(TrainConfig) if option.name == name)
    return TrainConfig(**{name: other_value(option), **companions.get(name, {})})


def write_json(folder, content):
    (folder / "config.json").write_text(json.dumps(content))


@pytest.mark.parametrize("name", [option.name for option in fields(TrainConfig)])
def test_every_option_comes_back(tmp_path, name):
    config = changed(name)
    run_config.write(config, str(tmp_path / "run"))
    assert run_config.read(str(tmp_path / "run")) == config
    assert run_config.read_beside(str(tmp_path / "run" / "model-12")) == config
    assert os.listdir(tmp_path / "run") == ["config.json"]


def test_the_file_is_for_people_too(tmp_path):
    run_config.write(TrainConfig(batch_size=7), str(tmp_path))
    run_config.write(TrainConfig(batch_size=8), str(tmp_path))
    text = (tmp_path / "config.json").read_text()
    assert '\n  "batch_size": 8,\n' in text
    assert text.endswith("}\n")
    content = json.loads(text)
    assert content["version"] == __version__
    assert list(content["options"]) == [option.name for option in fields(TrainConfig)]


def test_where_there_is_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert run_config.read(str(tmp_path)) is None
    assert run_config.read(str(tmp_path / "missing")) is None
    assert run_config.read_beside(str(tmp_path / "file" / "model-1")) is None
    monkeypatch.chdir(tmp_path)
    assert run_config.read_beside("model-1") is None
    run_config.write(TrainConfig(batch_size=5), str(tmp_path))
    assert run_config.read_beside("model-1").batch_size == 5


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^cannot write .*/file/run/config\.json: Not a directory$"):
        run_config.write(TrainConfig(), str(tmp_path / "file" / "run"))


def test_other_versions_are_read(tmp_path):
    write_json(tmp_path, {"version": "99", "more": 1, "options": {"batch_size": 8, "of_tomorrow": [1]}})
    assert run_config.read(str(tmp_path)) == TrainConfig(batch_size=8)
    write_json(tmp_path, {"options": {}})
    assert run_config.read(str(tmp_path)) == TrainConfig()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the options of a run as JSON, found: Expecting value"),
        (b'{"options": {"batch_size": 4', "expected the options of a run as JSON, found: Expecting ',' delimiter"),
        (b'\xff{"options": {}}', "expected the options of a run as JSON, found: 'utf-8' codec can't decode"),
        (b"[" * 200_000, "expected the options of a run as JSON, found: maximum recursion depth exceeded"),
        (b"[1, 2]", r"expected an object with the object `options`, found: \[1, 2\]"),
        (b"null", "expected an object with the object `options`, found: None"),
        (b'{"architectures": ["line\\nbreak"]}', r"the object `options`, found: {'architectures': \['line\\nbreak'\]}"),
        (b'{"options": [1]}', r"expected an object with the object `options`, found: {'options': \[1\]}"),
        (b'{"options": {"batch_size": "4"}}', "batch_size must be a whole number, got '4'"),
        (b'{"options": {"batch_size": 4.0}}', "batch_size must be a whole number, got 4.0"),
        (b'{"options": {"batch_size": true}}', "batch_size must be a whole number, got True"),
        (b'{"options": {"beta1": null}}', "beta1 must be a number, got None"),
        (b'{"options": {"beta1": false}}', "beta1 must be a number, got False"),
        (b'{"options": {"random_flip": 1}}', "random_flip must be true or false, got 1"),
        (b'{"options": {"smoothness": 1}}', "smoothness must be a text, got 1"),
        (b'{"options": {"smooth_weight": NaN}}', "smooth_weight must be at least 0, got nan"),
        (b'{"options": {"smooth_weight": Infinity}}', "smooth_weight must be finite, got inf"),
        (b'{"options": {"smooth_weight": 1e999}}', "smooth_weight must be finite, got inf"),
        (b'{"options": {"seq_length": 4}}', "seq_length must be odd, got 4"),
        (b'{"options": {"anchor_weight": 0.5}}', "anchor_weight must be above 0 with anchor_checkpoint_file"),
    ],
)
def test_damaged_and_other_files_are_told(tmp_path, content, message):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        run_config.read(str(tmp_path))
    assert str(error.value).startswith(f"{tmp_path}/config.json: ")
    assert "\n" not in str(error.value)


def test_a_folder_in_place_of_the_file_is_told(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(UserError, match=r"config\.json: expected a file with the options of a run, found: Is a dir"):
        run_config.read(str(tmp_path))


ARCHITECTURE = {
    "seq_length", "num_scales", "min_disp", "depth_network", "depth_norm", "pose_network", "learn_intrinsics",
    "depth_parametrization", "target_frame",
    "focal_ratio", "centred", "motion_field", "object_motion", "edges",
}  # fmt: skip
OTHER = {
    "learning_rate", "beta1", "smooth_weight", "explain_reg_weight", "batch_size", "img_height", "img_width",
    "ssim_weight", "mask_out_of_view", "smoothness", "smooth_normalized", "mask_loss", "anchor_weight", "random_flip",
    "lr_decay_after", "lr_decay_factor", "precision", "seed", "both_directions", "geometry_weight", "consistency_mask",
    "constant_depth_weight", "occlusion_aware", "object_sparsity_weight", "object_smooth_weight",
    "rotation_cycle_weight", "translation_cycle_weight", "object_masks",
    "max_objects", "object_size_weight", "speed_weight", "depth_normal", "normal_smooth_weight", "edge_weight",
}  # fmt: skip


@pytest.mark.parametrize("name", [option.name for option in fields(TrainConfig)])
def test_every_option_counts_as_what_it_is(name):
    before, now = TrainConfig(explain_reg_weight=0.2), TrainConfig(explain_reg_weight=0.2)
    object.__setattr__(now, name, "another")  # past the checks: some options have one choice only
    differences = run_config.compare(before, now)
    line = f"{name} was {getattr(before, name)!r}, now 'another'"
    assert differences.architecture == ([line] if name in ARCHITECTURE else [])
    assert differences.other == ([line] if name in OTHER else [])


def test_differences_are_told():
    assert run_config.compare(TrainConfig(smooth_weight=0.5), TrainConfig(smooth_weight=0.02)).other == [
        "smooth_weight was 0.5, now 0.02"
    ]
    before = TrainConfig(seq_length=5, explain_reg_weight=0.2, smoothness="edge_aware", seed=1)
    assert run_config.compare(before, before) == ([], [])
    assert run_config.compare(before, TrainConfig()) == run_config.Differences(
        architecture=[
            "explain_reg_weight was 0.2, now 0.0 (masks are learned only above 0)",
            "seq_length was 5, now 3",
        ],
        other=["smoothness was 'edge_aware', now 'second_order'", "seed was 1, now 8964"],
    )
    # With masks on both sides, their weight is one like any other.
    before, now = TrainConfig(explain_reg_weight=0.2), TrainConfig(explain_reg_weight=0.1)
    assert run_config.compare(before, now) == ([], ["explain_reg_weight was 0.2, now 0.1"])


def test_image_size_is_that_of_the_training_unless_given(tmp_path, capsys):
    path = str(tmp_path / "model-7")
    assert run_config.find_image_size(path) == (128, 416)
    run_config.write(TrainConfig(img_height=64, img_width=96), str(tmp_path))
    assert run_config.find_image_size(path) == (64, 96)
    assert capsys.readouterr().err == ""
    assert run_config.find_image_size(path, height=32) == (32, 96)
    assert capsys.readouterr().err == f"warning: {path} was trained at 96x64; 96x32 costs accuracy\n"
    assert run_config.find_image_size(path, width=128) == (64, 128)


def test_importing_loads_no_tensorflow():
    code = "import sys, sfmlearner_tf.run_config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
