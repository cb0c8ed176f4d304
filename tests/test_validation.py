import dataclasses
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from formatted_data import write_formatted_data
from kitti_eval.depth_metrics import compute_depth_errors
from lidar_tree import DRIVE, HEIGHT, PROJECTION, WIDTH, make_scan, name_image, write_lidar_drive
from sfmlearner_tf import SfMLearner, TrainConfig
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.data.formatted import read_split
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.trainer import Trainer
from sfmlearner_tf.validation import Validator


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formatted")
    write_formatted_data(folder, count=6)
    (folder / "val.txt").write_text("".join((folder / "train.txt").read_text().splitlines(keepends=True)[:3]))
    return folder


def write_oxts(tree, east_m, yaw_rad=(0, 0, 0, 0, 0)):
    """GPS/IMU recordings at the equator, where a degree of longitude is 6378137 m times pi / 180."""
    folder = tree / "2011_09_26" / DRIVE / "oxts" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    for frame, (east, yaw) in enumerate(zip(east_m, yaw_rad)):
        numbers = [0, np.degrees(east / 6378137), 0, 0, 0, yaw] + [0] * 24
        (folder / f"{frame:010d}.txt").write_text(" ".join(map(str, numbers)) + "\n")


@pytest.fixture(scope="module")
def kitti_dir(tmp_path_factory):
    """A drive of five frames, lidar for each, that moves 0.5 m a frame straight ahead."""
    folder = tmp_path_factory.mktemp("kitti_raw")
    write_lidar_drive(folder, range(5))
    (folder / "2011_09_26" / "calib_imu_to_velo.txt").write_text("R: 1 0 0 0 1 0 0 0 1\nT: 0 0 0\n")
    write_oxts(folder, 0.5 * np.arange(5))
    random = np.random.RandomState(0)
    for frame in range(5):
        path = folder / name_image(frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)).save(path)
    listed = folder / "files.txt"
    listed.write_text("".join(name_image(frame) + "\n" for frame in range(5)))
    return folder


def config_for(dataset_dir, **options):
    settings = {"batch_size": 2, "img_height": 32, "img_width": 64, "max_steps": 4, **options}
    return TrainConfig(dataset_dir=str(dataset_dir), **settings)


def decode_jpeg(path):
    return tf.io.decode_jpeg(path.read_bytes()).numpy()


@pytest.mark.usefixtures("small_depth_network")
def test_losses_are_the_means_over_val_txt(dataset_dir):
    config = config_for(dataset_dir)
    learner = SfMLearner(config)
    strips = [
        np.stack(np.split(decode_jpeg(dataset_dir / "drive" / f"{number:010d}.jpg"), 3, axis=1)) for number in range(3)
    ]
    intrinsics = np.float32([[[0.6 * 64, 0, 32], [0, 0.6 * 64, 16], [0, 0, 1]]])
    expected = [
        learner.forward(strip[1:2], np.concatenate([strip[0:1], strip[2:3]], -1), intrinsics)["losses"]
        for strip in strips
    ]
    found = Validator(config, learner, read_split(str(dataset_dir), "val")).measure()
    assert set(found) == {"total", "pixel", "smooth", "explain"}
    for name, value in found.items():
        np.testing.assert_allclose(value, np.mean([losses[name] for losses in expected]), rtol=1e-3, err_msg=name)


def test_errors_against_a_kitti_raw_tree(dataset_dir, kitti_dir):
    config = config_for(dataset_dir, val_kitti_dir=str(kitti_dir), val_files=str(kitti_dir / "files.txt"))
    learner = SfMLearner(config)
    # A pose network that always sees 2 units of motion straight ahead has no error, whatever the unit.
    for name, variable in learner.pose_exp_net.release_variables().items():
        if "pose/pred" in name:
            variable.assign(np.zeros(variable.shape, np.float32))
    biases = np.float32([0, 0, 200, 0, 0, 0, 0, 0, -200, 0, 0, 0])
    learner.release_variables()["pose_exp_net/pose/pred/biases"].assign(biases)
    found = Validator(config, learner, read_split(str(dataset_dir), "val")).measure()
    np.testing.assert_allclose(found["translation_error"], 0, atol=1e-4)

    from kitti_eval.depth_ground_truth import project_lidar

    errors = []
    for frame in (1, 2, 3):  # those with neighbours
        truth = project_lidar(make_scan(frame), PROJECTION)
        image = Image.open(kitti_dir / name_image(frame)).resize((64, 32), Image.Resampling.LANCZOS)
        depth = learner.predict_depth(np.asarray(image)[None]).numpy()[0, ..., 0]
        depth = np.asarray(Image.fromarray(depth).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        rows, columns = np.nonzero((truth > 1e-3) & (truth < 80))
        inside = (rows >= int(0.40810811 * HEIGHT)) & (rows < int(0.99189189 * HEIGHT))
        inside &= (columns >= int(0.03594771 * WIDTH)) & (columns < int(0.96405229 * WIDTH))
        gt_m, pred = truth[rows[inside], columns[inside]], depth[rows[inside], columns[inside]]
        errors.append(compute_depth_errors(gt_m, pred * np.median(gt_m) / np.median(pred)).abs_rel)
    np.testing.assert_allclose(found["abs_rel"], np.mean(errors), rtol=0.02)


def copy_tree(kitti_dir, tmp_path, *frames):
    """A copy of the tree, whose files.txt lists some frames."""
    tree = tmp_path / "kitti_raw"
    shutil.copytree(kitti_dir, tree)
    (tree / "files.txt").write_text("".join(name_image(frame) + "\n" for frame in frames))
    return tree


def test_true_motion_is_from_the_target_to_its_sources(dataset_dir, kitti_dir, tmp_path):
    """In a bend, for on a straight road there and back differ by their sign alone, which a scale takes away."""
    tree = copy_tree(kitti_dir, tmp_path, 2)
    write_oxts(tree, [0, 0.5, 1.5, 3, 5], 0.4 * np.arange(5))
    config = config_for(dataset_dir, val_kitti_dir=str(tree), val_files=str(tree / "files.txt"))
    learner = SfMLearner(config)
    # On the plane, east + i * north, for frames 1, 2 and 3; the camera is 0.25 m in front of the IMU.
    turned = np.exp(0.4j * np.arange(1, 4))
    places = np.array([0.5, 1.5, 3]) + 0.25 * turned
    seen = (places[1] - places) / turned  # ahead + i * left of each camera
    sources_m = [np.float32([-seen[i].imag, 0, seen[i].real]) for i in (0, 2)]  # x right, z forward
    for name, variable in learner.pose_exp_net.release_variables().items():
        if "pose/pred" in name:
            variable.assign(np.zeros(variable.shape, np.float32))
    motion = np.concatenate([np.append(700 * translation, [0, 0, 0]) for translation in sources_m])
    learner.release_variables()["pose_exp_net/pose/pred/biases"].assign(motion)
    found = Validator(config, learner, []).measure()
    np.testing.assert_allclose(found["translation_error"], 0, atol=1e-3)


@pytest.mark.usefixtures("small_depth_network")
def test_kitti_may_be_kept_as_jpeg(dataset_dir, kitti_dir, tmp_path):
    tree = copy_tree(kitti_dir, tmp_path, 1, 2)
    for path in (tree / "2011_09_26" / DRIVE / "image_02" / "data").glob("*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()
    config = config_for(dataset_dir, val_kitti_dir=str(tree), val_files=str(tree / "files.txt"))
    assert {"abs_rel", "translation_error"} <= Validator(config, SfMLearner(config), []).measure().keys()


@pytest.mark.usefixtures("small_depth_network")
def test_only_what_the_chosen_frames_need_is_read(dataset_dir, kitti_dir, tmp_path, capsys):
    """Of thousands of frames two hundred are chosen; reading the motion of all would take minutes."""
    tree = copy_tree(kitti_dir, tmp_path, 1, 2, 3)
    (tree / "2011_09_26" / DRIVE / "oxts" / "data" / "0000000004.txt").write_text("damaged")
    config = config_for(dataset_dir, val_kitti_dir=str(tree), val_files=str(tree / "files.txt"), val_examples=1)
    assert "translation_error" in Validator(config, SfMLearner(config), []).measure()
    assert capsys.readouterr().out == ""
    # Where it is needed, that is told, and the other frames stay.
    config = dataclasses.replace(config, val_examples=3)
    assert "translation_error" in Validator(config, SfMLearner(config), []).measure()
    (line,) = capsys.readouterr().out.splitlines()
    assert re.match(r"warning: validation leaves out .*oxts/data/0000000004\.txt: expected 30 finite numbers", line)


@pytest.mark.usefixtures("small_depth_network")
def test_mistakes_are_named(dataset_dir, kitti_dir, tmp_path):
    def validator(**options):
        config = config_for(dataset_dir, **options)
        return Validator(config, SfMLearner(config), read_split(str(dataset_dir), "val"))

    with pytest.raises(UserError, match=r"val_kitti_dir=.*nowhere: expected the folder of KITTI raw"):
        validator(val_kitti_dir=str(tmp_path / "nowhere"))
    # The frames of val.txt are not those of this tree.
    with pytest.raises(UserError, match="expected the 3 listed frames with neighbours, found none"):
        validator(val_kitti_dir=str(kitti_dir))
    with pytest.raises(UserError, match=r"val_files: .*list\.txt"):
        validator(val_kitti_dir=str(kitti_dir), val_files=str(tmp_path / "list.txt"))
    with pytest.raises(ValueError, match="best_metric must be total or pixel without val_kitti_dir"):
        TrainConfig(best_metric="abs_rel")
    with pytest.raises(ValueError, match=r"val_files must be empty without val_kitti_dir, got 'list\.txt'"):
        TrainConfig(val_files="list.txt")


@pytest.mark.usefixtures("small_depth_network")
@pytest.mark.parametrize(
    ("metric", "hidden", "needed"),
    [("abs_rel", "velodyne_points", "velodyne_points or proj_depth"), ("translation_error", "oxts", "oxts")],
)
def test_a_best_metric_that_the_tree_cannot_give_is_refused(dataset_dir, kitti_dir, tmp_path, metric, hidden, needed):
    tree = tmp_path / "kitti_raw"
    shutil.copytree(kitti_dir, tree)
    shutil.rmtree(tree / "2011_09_26" / DRIVE / hidden)
    options = {"val_kitti_dir": str(tree), "val_files": str(tree / "files.txt")}
    config = config_for(dataset_dir, best_metric=metric, **options)
    learner = SfMLearner(config)
    with pytest.raises(UserError, match=f"best_metric={metric}: expected {needed} beside the images"):
        Validator(config, learner, [])
    other = {"abs_rel": "translation_error", "translation_error": "abs_rel"}[metric]
    config = config_for(dataset_dir, best_metric=other, **options)
    assert set(Validator(config, learner, []).measure()) == {other}


@pytest.mark.usefixtures("small_depth_network")
def test_damaged_files_are_left_out_and_named(dataset_dir, kitti_dir, tmp_path, capsys):
    data, tree = tmp_path / "formatted", tmp_path / "kitti_raw"
    shutil.copytree(dataset_dir, data)
    shutil.copytree(kitti_dir, tree)
    drive = tree / "2011_09_26" / DRIVE
    truncate(data / "drive" / "0000000001.jpg")
    (data / "drive" / "0000000002_cam.txt").unlink()
    truncate(drive / "velodyne_points" / "data" / "0000000001.bin", keep=3)
    truncate(tree / name_image(3))
    with (tree / "files.txt").open("a") as listed:
        listed.write(name_image(0).replace("0000000000", "IMG_0001") + "\n")
        listed.write(name_image(0).replace("0000000000", "000²") + "\n0000000001.png\n")
    config = config_for(data, val_kitti_dir=str(tree), val_files=str(tree / "files.txt"))
    learner = SfMLearner(config)
    validator = Validator(config, learner, read_split(str(data), "val"))
    found = validator.measure()
    printed = capsys.readouterr().out.splitlines()
    for name in (
        "0000000001.jpg is damaged",
        "0000000002_cam.txt",
        "0000000001.bin",
        "0000000003.png",
        "IMG_0001",
        "000²",
    ):
        assert len([line for line in printed if name in line]) == 1, name
    assert all(line.startswith("warning: validation leaves out ") for line in printed)
    assert len([line for line in printed if "expected a name such as date/drive/image_02/data/0" in line]) == 3
    # What is left is measured as if it were all there is.
    whole = Validator(config_for(dataset_dir), learner, read_split(str(dataset_dir), "val")[:1]).measure()
    np.testing.assert_allclose(found["total"], whole["total"], rtol=1e-5)
    listed = tmp_path / "one.txt"
    listed.write_text(name_image(2) + "\n")
    alone = config_for(dataset_dir, val_kitti_dir=str(kitti_dir), val_files=str(listed))
    np.testing.assert_allclose(found["abs_rel"], Validator(alone, learner, []).measure()["abs_rel"], rtol=1e-5)
    assert validator.measure() == found
    assert capsys.readouterr().out == ""  # each is named once


def truncate(path, keep=200):
    path.write_bytes(path.read_bytes()[:keep])


@pytest.mark.usefixtures("small_depth_network")
def test_training_goes_on_where_all_of_validation_is_damaged(dataset_dir, tmp_path, capsys):
    data = tmp_path / "formatted"
    shutil.copytree(dataset_dir, data)
    (data / "val.txt").write_text("drive missing\n")
    Trainer(config_for(data, checkpoint_dir=str(tmp_path / "run"), val_freq=1, max_steps=3, num_scales=1)).run()
    printed = capsys.readouterr().out
    assert "warning: validation leaves out " in printed
    assert "model.latest at step 2" in printed


@pytest.mark.usefixtures("small_depth_network")
def test_the_last_weights_are_validated(dataset_dir, tmp_path, capsys):
    """Also where the run is shorter than val_freq."""
    Trainer(config_for(dataset_dir, checkpoint_dir=str(tmp_path), val_freq=5000, max_steps=3, num_scales=1)).run()
    assert "validation at step 2: total" in capsys.readouterr().out
    assert np.genfromtxt(tmp_path / "validation.csv", delimiter=",", names=True)["step"] == 2
    assert (tmp_path / "model.best.index").exists()


@pytest.mark.usefixtures("small_depth_network")
@pytest.mark.usefixtures("small_depth_network")
def test_training_keeps_the_best_and_the_curves(dataset_dir, kitti_dir, tmp_path, capsys):
    options = {
        "checkpoint_dir": str(tmp_path),
        "val_freq": 1,
        "val_kitti_dir": str(kitti_dir),
        "val_files": str(kitti_dir / "files.txt"),
        "learning_rate": 0.001,
        "num_scales": 1,
    }
    Trainer(config_for(dataset_dir, **options)).run()
    Trainer(config_for(dataset_dir, continue_train=True, **{**options, "max_steps": 6})).run()
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("validation at step")]
    rows = np.genfromtxt(tmp_path / "validation.csv", delimiter=",", names=True)
    assert rows["step"].tolist() == [1, 2, 3, 4, 5]
    assert rows.dtype.names == ("step", "total", "pixel", "smooth", "explain", "abs_rel", "translation_error")
    is_best = rows["total"] == np.minimum.accumulate(rows["total"])
    assert ["kept as" in line for line in printed] == is_best.tolist()
    assert (tmp_path / "validation.png").stat().st_size > 1000

    config = config_for(dataset_dir, num_scales=1)
    best = SfMLearner(config)
    best.restore(str(tmp_path / "model.best"))
    assert int(best.global_step) == rows["step"][np.argmin(rows["total"])]
    np.testing.assert_allclose(
        Validator(config, best, read_split(str(dataset_dir), "val")).measure()["total"], rows["total"].min(), rtol=1e-4
    )
    assert "model.best" not in (tmp_path / "checkpoint").read_text()
    newest = CheckpointFolder(str(tmp_path), best.state()).restore_newest(best.restore)
    assert newest.endswith("model.latest")
