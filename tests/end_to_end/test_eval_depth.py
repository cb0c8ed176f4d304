import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from forked import run_forked
from lidar_tree import HEIGHT, WIDTH, name_image, write_lidar_drive

COMMAND = [sys.executable, str(Path(__file__).parents[2] / "kitti_eval" / "eval_depth.py")]


def evaluate(kitti_dir, pred_file, *options):
    arguments = [f"--kitti_dir={kitti_dir}", f"--pred_file={pred_file}", *options]
    return run_forked(*COMMAND[1:], *map(str, arguments))


@pytest.fixture
def dataset(tmp_path):
    """Two frames with a scan and one without, listed; a prediction for each."""
    write_lidar_drive(tmp_path / "kitti", [0, 1])
    (tmp_path / "list.txt").write_text("".join(name_image(frame) + "\n" for frame in (0, 5, 1)))
    np.save(tmp_path / "pred.npy", np.random.RandomState(0).uniform(1, 2, (3, 8, 16)).astype(np.float32))
    return tmp_path


def test_golden_table_of_the_release(shared):
    golden = shared / "golden" / "eval_depth"
    options = f"--test_file_list={golden / 'test_files.txt'}", "--max_depth=50"
    done = evaluate(shared / "data" / "kitti_raw", golden / "predictions.npy", *options)
    assert done.returncode == 0, done.stderr
    names, values = (line.split(", ") for line in done.stdout.splitlines()[:2])
    expected = json.loads((golden / "expected.json").read_text())["max_depth_50"]
    printed = {name.strip(): float(value) for name, value in zip(names, values)}
    assert list(printed) == ["abs_rel", "sq_rel", "rms", "log_rms", "d1_all", "a1", "a2", "a3"]
    assert printed == pytest.approx({**expected, "d1_all": 0}, abs=6e-5)


def test_a_prediction_that_was_skipped_is_left_out_and_both_names_of_a_list_do(dataset):
    predictions = np.load(dataset / "pred.npy")
    predictions[2] = -1
    np.save(dataset / "pred.npy", predictions)
    lists = (f"--test_file_list={dataset / 'list.txt'}", f"--split={dataset / 'list.txt'}")
    for name in lists:
        done = evaluate(dataset / "kitti", dataset / "pred.npy", name)
        assert done.returncode == 0, done.stderr
        assert "mean over 1 of 3 images" in done.stdout
        assert f"left out: {name_image(1)} (no prediction)" in done.stdout
    done = evaluate(dataset / "kitti", dataset / "pred.npy", *lists)
    assert done.returncode == 1
    assert "expected at most one list of test images" in done.stderr


def test_everything_that_it_writes(dataset):
    out = dataset / "out"
    done = evaluate(
        dataset / "kitti",
        dataset / "pred.npy",
        f"--test_file_list={dataset / 'list.txt'}",
        f"--output_csv={out / 'images.csv'}",
        f"--output_json={out / 'mean.json'}",
        f"--error_map_dir={out / 'maps'}",
        "--ground_truth=camera",
        "--crop=none",
        "--scale=20",
    )
    assert done.returncode == 0, done.stderr
    assert "mean over 2 of 3 images" in done.stdout
    assert f"left out: {name_image(5)} (no ground truth file)" in done.stdout
    result = json.loads((out / "mean.json").read_text())
    assert (result["listed"], result["evaluated"]) == (3, 2)
    assert result["left_out"] == [{"image": name_image(5), "reason": "no ground truth file"}]
    assert result["protocol"]["scale"] == 20
    with (out / "images.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["image"] for row in rows] == [name_image(frame) for frame in (0, 5, 1)]
    assert rows[1]["abs_rel"] == ""
    mean = (float(rows[0]["abs_rel"]) + float(rows[2]["abs_rel"])) / 2
    assert result["mean"]["abs_rel"] == pytest.approx(mean, rel=1e-12)
    maps = sorted((out / "maps").iterdir())
    assert len(maps) == 2
    assert imageio.imread(maps[0]).shape == (2 * HEIGHT, WIDTH, 3)


def test_names_need_not_be_valid_utf_8(dataset):
    odd = dataset / os.fsdecode(b"caf\xe9")
    (dataset / "kitti").rename(odd)
    for name in ("pred.npy", "list.txt"):
        (dataset / name).rename(odd / name)
    options = f"--test_file_list={odd / 'list.txt'}", f"--output_csv={odd / 'o.csv'}", f"--output_json={odd / 'o.json'}"
    done = evaluate(odd, odd / "pred.npy", *options, f"--error_map_dir={odd / 'maps'}")
    assert done.returncode == 0, done.stderr
    assert json.loads((odd / "o.json").read_text())["evaluated"] == 2
    assert len(list((odd / "maps").iterdir())) == 2
    done = evaluate(odd, odd / "none.npy", options[0])
    assert done.returncode == 1
    assert "none.npy: expected a .npy file of numbers [N, h, w]; cannot read it" in done.stderr


def test_stereo_split_with_perfect_disparities(tmp_path):
    for folder in ("disp_occ_0", "calib_cam_to_cam"):
        (tmp_path / "training" / folder).mkdir(parents=True)
    disparity = np.linspace(5, 90, 60).reshape(6, 10)
    for index in range(200):
        path = tmp_path / "training" / "disp_occ_0" / f"{index:06d}_10.png"
        imageio.imwrite(path, (disparity * 256).astype(np.uint16))
        (tmp_path / "training" / "calib_cam_to_cam" / f"{index:06d}.txt").write_text(
            "P_rect_02: 72 0 5 4 0 72 3 0 0 0 1 0\nP_rect_03: 72 0 5 -34 0 72 3 0 0 0 1 0\n"
        )
    predictions = np.tile((38 / disparity).astype(np.float32), (200, 1, 1))
    predictions[:100] = predictions[:100, :, ::-1]
    np.save(tmp_path / "pred.npy", predictions)
    done = evaluate(tmp_path, tmp_path / "pred.npy", "--split=stereo", f"--output_json={tmp_path / 'mean.json'}")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "mean.json").read_text())
    assert result["evaluated"] == 200
    wrong = np.abs(disparity - disparity[:, ::-1])
    assert result["d1_all_percent"] == pytest.approx(50 * np.mean((wrong >= 3) & (wrong >= 0.05 * disparity)), abs=2)
    assert result["protocol"]["crop"] == "none"


def make_bad_predictions(folder: Path) -> None:
    good = np.ones((3, 8, 16), np.float32)
    np.save(folder / "few.npy", good[:2])
    np.save(folder / "flat.npy", good[0])
    np.save(folder / "integers.npy", good.astype(int))
    np.save(folder / "nan.npy", good * np.nan)
    np.save(folder / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(folder / "archive.npz", good)
    content = (folder / "few.npy").read_bytes()
    (folder / "cut.npy").write_bytes(content[:500])
    (folder / "header.npy").write_bytes(content.replace(b")", b" ", 1))
    (folder / "zip.npy").write_bytes(b"PK\x03\x04" + content)
    for name, shape in (("rows.npy", (10**12, 8, 16)), ("more.npy", (10**21, 8, 16)), ("none.npy", (3, 0, 16))):
        with (folder / name).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            file.write(bytes(10))
    with (folder / "sparse.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (3, 10**5, 10**5)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 12 * 10**10)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("few.npy", "expected one prediction for each of the 3 test images"),
        ("flat.npy", "expected a .npy file of floating-point numbers [N, h, w], found float32 [8, 16]"),
        ("integers.npy", "found int64 [3, 8, 16]"),
        ("nan.npy", f"prediction of {name_image(0)}: the median of the prediction must be finite"),
        ("pickled.npy", "Python objects"),
        ("archive.npz", "found an archive"),
        ("cut.npy", "cannot read it"),
        ("header.npy", "cannot read it"),
        ("zip.npy", "cannot read it"),
        ("rows.npy", "cannot read it"),
        ("more.npy", "cannot read it"),
        ("none.npy", "expected the size of an image, found [3, 0, 16]"),
        ("sparse.npy", "expected the size of an image, found [3, 100000, 100000]"),
        ("absent.npy", "No such file"),
    ],
)
def test_unusable_predictions_are_refused_in_one_line(dataset, name, message):
    make_bad_predictions(dataset)
    out = dataset / "mean.json"
    options = f"--test_file_list={dataset / 'list.txt'}", f"--output_json={out}"
    done = evaluate(dataset / "kitti", dataset / name, *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--scale=big", "--scale=big: expected median, none or a number above 0"),
        ("--scale=nan", "--scale=nan: expected median, none or a number above 0"),
        ("--scale=inf", "--scale=inf: expected median, none or a number above 0"),
        ("--scale=-1", "--scale=-1: expected median, none or a number above 0"),
        ("--max_depth=inf", "must be below --max_depth=inf, both finite"),
        ("--max_depth=nan", "--max_depth=nan: expected a number"),
        ("--min_depth=nan", "--min_depth=nan: expected a number"),
        ("--min_depth=90", "--min_depth=90.0 must be below --max_depth=80.0"),
        ("--test_file_list=none.txt", "none.txt: expected a list of test images"),
        ("--crop=half", "crop"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(dataset, option, message):
    options = [f"--test_file_list={dataset / 'list.txt'}", option]
    done = evaluate(dataset / "kitti", dataset / "pred.npy", *options)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_evaluation_loads_neither_tensorflow_nor_the_package_nor_plots():
    modules = sorted(path.stem for path in Path(COMMAND[1]).parent.glob("*.py"))
    code = f"""
import importlib, sys
from absl import flags
for module in {modules}:
    importlib.import_module(f"kitti_eval.{{module}}")
    for name in list(flags.FLAGS):  # commands have flags of equal names
        delattr(flags.FLAGS, name)
print(sorted({{"tensorflow", "keras", "sfmlearner_tf", "matplotlib", "imageio", "PIL"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_help_explains():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "prints the table of the paper" in done.stdout
    assert "--test_file_list" in done.stdout
