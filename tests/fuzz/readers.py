"""Every reader of files that users bring, with a good file for each."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from kitti_eval import depth_ground_truth, eval_depth, image_lists, odometry_evaluation, pose_files, snippets
from lidar_tree import CAMERAS, DRIVE, LIDAR, make_scan
from sfmlearner_tf import checkpoint, curves, prediction, run_config
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data import calibration, cityscapes, formatted, frames, masks, odometer, oxts, splits
from sfmlearner_tf.data.prepare import OPTIONS_FILE, claim_folder
from sfmlearner_tf.data.sequences import Frame, Selection
from sfmlearner_tf.tools import predict_input, predict_scale
from tiny_saved_model import HEIGHT, WIDTH, write_tiny_saved_model


class Reader(NamedTuple):
    """files: good ones by path. damaged: the path of the one to damage. read: reads them from their folder. cost: how
    many times fewer files are tried than of a text file."""

    files: dict[str, bytes]
    damaged: str
    read: Callable[[Path], Any]
    cost: int = 1


def _poses(count: int = 8) -> np.ndarray:
    poses = np.tile(np.eye(4), (count, 1, 1))
    angle = 0.02 * np.arange(count)
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angle)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(angle), -np.sin(angle)
    poses[:, 2, 3] = np.arange(count) * 1.1
    poses[:, 0, 3] = 0.01 * np.arange(count) ** 2
    return poses


def _png(mode: str = "RGB", file_format: str = "PNG") -> bytes:
    random, content = np.random.RandomState(0), io.BytesIO()
    pixels = random.randint(0, 256, (9, 12, 3), np.uint8)
    if mode == "L":
        Image.fromarray(pixels[..., 0] // 64).save(content, file_format)
    elif mode == "I;16":
        Image.fromarray(random.randint(0, 2**16, (9, 12)).astype(np.uint16)).save(content, file_format)
    else:
        Image.fromarray(pixels).save(content, file_format)
    return content.getvalue()


def _npy() -> bytes:
    content = io.BytesIO()
    np.save(content, np.linspace(1, 20, 24, dtype=np.float32).reshape(2, 3, 4))
    return content.getvalue()


def _evaluate(path: Path) -> Any:
    """What `eval_odometry` makes of a trajectory: its figures must be fit for JSON."""
    matched = odometry_evaluation.read_prediction(path, pose_files.Trajectory(_poses()))
    errors = odometry_evaluation.evaluate_trajectory(matched.gt, matched.pred)
    return [[row.ate_rmse_m, *row.rpe] for row in errors.values()]


def _evaluate_snippets(folder: Path) -> Any:
    ates, summary = snippets.evaluate_snippets(folder / "gt", folder / "pred")
    return [*ates.values(), summary.mean, summary.std]


def _read_sparse(folder: Path) -> Any:
    frame = predict_input.Frame("a", str(folder / "a.png"))
    points = predict_scale.read_points(str(folder / "depths.csv"), predict_input.Recording("a", (frame,), [0.0]))
    return [[point.u, point.v, point.depth_m] for point in points[0]]


def _read_mask(folder: Path) -> Any:
    frame = Frame("0", str(folder / "0.jpg"))
    mask = masks.MaskFolder(str(folder), str(folder)).read(frame, (12, 9), frames.Geometry(6, 4, 4))
    return masks.number_objects([mask, mask])


def _read_cityscapes(folder: Path) -> Any:
    listing = cityscapes.list_cityscapes(str(folder), Selection({}, False))
    return [sequence.intrinsics for sequence in listing.sequences]


def _read_predictions(folder: Path) -> Any:
    return eval_depth.read_predictions(str(folder / "depth.npy")).shape


def _floats_of(config: TrainConfig | None) -> list[float]:
    return [value for value in asdict(config or TrainConfig()).values() if isinstance(value, float)]


_NUMBERS: dict[str, np.ndarray] = {
    "net/weights": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "net/biases": np.arange(4, dtype=np.float32),
    checkpoint.MIN_DISP: np.array(0.02, np.float32),
}


def _write_checkpoint(folder: Path) -> None:
    checkpoint.write(str(folder / "model-7"), {name: tf.Variable(value) for name, value in _NUMBERS.items()})


def _read_checkpoint(folder: Path) -> Any:
    """Whatever is read must be what was written: all of the file has checksums."""
    path = str(folder / "model-7")
    assert checkpoint.list_shapes(path) == {name: list(value.shape) for name, value in sorted(_NUMBERS.items())}
    assert checkpoint.read_min_disp(path, 1) == _NUMBERS[checkpoint.MIN_DISP]
    variables = {name: tf.Variable(tf.zeros_like(value)) for name, value in _NUMBERS.items()}
    checkpoint.restore(path, variables)
    for name, variable in variables.items():
        np.testing.assert_array_equal(variable, _NUMBERS[name])


def _read_saved_model(folder: Path) -> Any:
    model = prediction.SavedModel(str(folder))
    return [model.depth()[1:], model.pose(HEIGHT, WIDTH)[1:]]


def _files_of(write: Callable[[Path], Any]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        paths = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


_CHECKPOINT = _files_of(_write_checkpoint)
_SAVED_MODEL = _files_of(write_tiny_saved_model)
_TUM = pose_files.format_tum(_poses(), 0.1 * np.arange(8)).encode()
_KITTI = pose_files.format_kitti(_poses()).encode()
_SNIPPET = pose_files.format_tum(_poses(3), 0.1 * np.arange(3)).encode()
_CAMERA_JSON = {"extrinsic": {"baseline": 0.21}, "intrinsic": {"fx": 2262.5, "fy": 2265.3, "u0": 1096.9, "v0": 513.1}}
_SNAP = "aachen_000000_00000"
_DATE, _PACKET = "2011_09_26", f"2011_09_26/{DRIVE}/oxts/data/000000000"
_OXTS = {
    f"{_PACKET}{number}.txt": b" ".join(
        [f"{49 + 1e-5 * number} 8.43 {112 + number} 0.03 0.001 {-1.2 + 0.01 * number}".encode(), *[b"0.1"] * 24]
    )
    for number in range(3)
}
_CALIBRATION = {
    f"{_DATE}/calib_cam_to_cam.txt": CAMERAS.encode(),
    f"{_DATE}/calib_velo_to_cam.txt": LIDAR.encode(),
    f"{_DATE}/calib_imu_to_velo.txt": b"R: 1 0 0 0 1 0 0 0 1\nT: -0.81 0.32 -0.8\n",
}


def _single(name: str, content: bytes, read: Callable[[Path], Any]) -> Reader:
    return Reader({name: content}, name, lambda folder: read(folder / name))


def _one_of(files: dict[str, bytes], name: str, read: Callable[[Path], Any], cost: int = 1) -> Reader:
    assert name in files
    return Reader(files, name, read, cost)


def _read_oxts(folder: Path) -> Any:
    return oxts.read_camera_poses(str(folder / _DATE), DRIVE)


def _read_projection(folder: Path) -> Any:
    projection = depth_ground_truth.read_projection.__wrapped__(folder / _DATE, 2)
    return [projection[0], [projection.height, projection.width]]


READERS: dict[str, Reader] = {
    "cam.txt": _single(
        "1_cam.txt", b"241.674463,0.,204.168010,0.,246.284868,59.000832,0.,0.,1.",
        lambda path: formatted.read_intrinsics(str(path)),
    ),
    "train.txt": _single(
        "train.txt", b"".join(b"2011_09_26_drive_0001_sync_02 %010d\n" % number for number in range(5)),
        lambda path: [example.stem("") for example in formatted.read_split(str(path.parent), "train")],
    ),
    "odometry calib.txt": _single(
        "calib.txt", b"P0: 718 0 607 0 0 718 185 0 0 0 1 0\nP2: 718 0 607.1 45.3 0 718 185.2 -0.1 0 0 1 0.01\n",
        lambda path: calibration.read_kitti_projection(str(path), "P2"),
    ),
    "COLMAP cameras.txt": _single(
        "cameras.txt", b"# Camera list\n1 PINHOLE 640 480 525.5 524.5 320.1 240.9\n",
        lambda path: calibration.check_intrinsics(calibration.read_calibration_file(str(path), 640, 480), 640, 480),
    ),
    "--intrinsics": _single(
        "text", b"525.5,524.5,320.1,240.9",
        lambda path: calibration.check_intrinsics(
            calibration.parse_intrinsics(path.read_bytes().decode("latin-1")), 640, 480
        ),
    ),
    "calib_cam_to_cam.txt": _one_of(_CALIBRATION, f"{_DATE}/calib_cam_to_cam.txt", _read_projection),
    "calib_velo_to_cam.txt": _one_of(_CALIBRATION, f"{_DATE}/calib_velo_to_cam.txt", _read_projection),
    "oxts packet": _one_of({**_CALIBRATION, **_OXTS}, f"{_PACKET}1.txt", _read_oxts),
    "oxts calibration": _one_of({**_CALIBRATION, **_OXTS}, f"{_DATE}/calib_imu_to_velo.txt", _read_oxts),
    "oxts cameras": _one_of({**_CALIBRATION, **_OXTS}, f"{_DATE}/calib_cam_to_cam.txt", _read_oxts),
    "velodyne scan": _single("0.bin", make_scan(points=20).tobytes(), depth_ground_truth.read_velodyne),
    "annotated depth": _single("0.png", _png("I;16"), depth_ground_truth.read_uint16_png),
    "TUM trajectory": _single("tum.txt", _TUM, _evaluate),
    "KITTI trajectory": _single("kitti.txt", _KITTI, _evaluate),
    "times.txt": _single("times.txt", b"".join(b"%f\n" % (0.1 * n) for n in range(8)), pose_files.read_times),
    "snippet": _one_of(
        {f"{kind}/{name}.txt": _SNIPPET for kind in ("gt", "pred") for name in ("000000", "000001")},
        "pred/000001.txt", _evaluate_snippets,
    ),
    "list of test images": _single(
        "list.txt", "".join(f"{name}\n" for name in image_lists.list_eigen_files()[:4]).encode(),
        image_lists.read_image_list,
    ),
    "list of static frames": _single(
        "static.txt", b"2011_09_26 2011_09_26_drive_0009_sync 0000000386\n" * 3,
        lambda path: list(splits.read_static_frames(str(path)).items()),
    ),
    "Cityscapes camera": _one_of(
        {
            f"camera/train/aachen/{_SNAP}1_camera.json": json.dumps(_CAMERA_JSON).encode(),
            **{f"leftImg8bit_sequence/train/aachen/{_SNAP}{n}_leftImg8bit.png": b"" for n in range(5)},
        },
        f"camera/train/aachen/{_SNAP}1_camera.json", _read_cityscapes,
    ),
    "predicted depth": Reader({"depth.npy": _npy()}, "depth.npy", _read_predictions),
    "sparse depths": Reader({"depths.csv": b"u,v,depth_m\n3,4,5.5\n1.5,2,20\n"}, "depths.csv", _read_sparse),
    "table of speeds": _single(
        "speeds.csv", b"time_s,speed_m_s\n0,2\n1,3\n2,3.5\n", lambda path: list(odometer.read_speeds(str(path)))
    ),
    "mask of objects": _single("0.png", _png("L"), lambda path: _read_mask(path.parent)),
    "config.json": Reader(
        {run_config.CONFIG_NAME: json.dumps({"version": "1", "options": asdict(TrainConfig())}).encode()},
        run_config.CONFIG_NAME, lambda folder: _floats_of(run_config.read(str(folder))),
    ),
    "validation.csv": Reader(
        {curves.CSV_NAME: b"step,total,abs_rel\n100,1.5,0.3\n200,1.25,0.25\n"}, curves.CSV_NAME,
        lambda folder: curves.Curves(str(folder), 1000).best("total") < 0,
    ),
    "prepared_with.json": Reader(
        {OPTIONS_FILE: b'{"seq_length": 3, "crop": null, "jpeg_quality": 75}'}, OPTIONS_FILE,
        lambda folder: claim_folder(str(folder), {"seq_length": 3, "crop": None, "jpeg_quality": 75}),
    ),
    "PNG": _single("0.png", _png(), lambda path: frames.open_image(path).size),
    "JPEG": _single("0.jpg", _png(file_format="JPEG"), lambda path: frames.open_image(path).size),
    "checkpoint's index": _one_of(_CHECKPOINT, "model-7.index", _read_checkpoint),
    "checkpoint's data": _one_of(_CHECKPOINT, "model-7.data-00000-of-00001", _read_checkpoint),
    "saved_model.pb": _one_of(_SAVED_MODEL, "saved_model.pb", _read_saved_model, cost=5),
    "SavedModel's index": _one_of(_SAVED_MODEL, "variables/variables.index", _read_saved_model, cost=50),
}  # fmt: skip


def write_files(reader: Reader, folder: Path) -> None:
    """Writes a reader's good files."""
    for name, content in reader.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def check_sane(value: Any) -> None:
    """What was read must be of use: finite numbers, names that stay in their folder."""
    if isinstance(value, str):
        assert "\0" not in value
        assert ".." not in value.split("/")
        assert not value.startswith("/")
    elif isinstance(value, (list, tuple)):
        for item in value:
            check_sane(item)
    elif isinstance(value, np.ndarray):
        assert np.isfinite(value).all()
    elif isinstance(value, (float, np.floating)):
        assert np.isfinite(value)
