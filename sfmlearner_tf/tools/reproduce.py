"""Predicts, evaluates and compares with the published numbers: depth on the Eigen split, motion on KITTI odometry.

Runs the commands of this package in turn, prints our numbers beside the published ones and writes report.html (a single
file with its pictures) and report.json. Steps that already ran with the same flags on the same files are skipped. Depth
needs --kitti_raw and --ckpt_depth, motion needs --kitti_odom and --ckpt_pose; one of these pairs is enough.

Example:
  python tools/reproduce.py --kitti_raw=/data/kitti_raw --kitti_odom=/data/kitti_odometry \\
    --ckpt_depth=checkpoints/model-190532 --ckpt_pose=checkpoints/model-100280 --output_dir=reproduce
"""

import glob
import sys
from pathlib import Path

from absl import flags

from kitti_eval import command, files, report, reproduction
from kitti_eval.depth_ground_truth import list_lidar_files
from kitti_eval.errors import UserError
from kitti_eval.image_lists import list_test_files
from kitti_eval.images import find_image
from kitti_eval.locks import lock_folder
from kitti_eval.snippets import name_sequences
from kitti_eval.steps import Steps
from sfmlearner_tf import __version__, run_config

_KITTI_RAW = flags.DEFINE_string("kitti_raw", "", "Folder of KITTI raw.")
_KITTI_ODOM = flags.DEFINE_string("kitti_odom", "", "Folder of KITTI odometry.")
_CKPT_DEPTH = flags.DEFINE_string("ckpt_depth", "", "Checkpoint with the depth network.")
_CKPT_POSE = flags.DEFINE_string("ckpt_pose", "", "Checkpoint with the pose network.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", "reproduce", "Folder for predictions, results and the report.")
_SPLIT = flags.DEFINE_string("split", "eigen", "Test images: eigen, or a file that lists them, one per line.")
_TEST_FILE_LIST = flags.DEFINE_string("test_file_list", "", "Another name for a file given as --split.")
_TEST_SEQS = flags.DEFINE_list("test_seqs", ["09", "10"], "Numbers of the odometry sequences to evaluate.")
_SEQ_LENGTH = flags.DEFINE_integer(
    "seq_length", None, "Frames per snippet; by default those of the pose network's training run, else 5."
)
_IMG_HEIGHT = flags.DEFINE_integer(
    "img_height", None, "Height to resize to, pixels; by default that of the training run, else 128.", lower_bound=32
)
_IMG_WIDTH = flags.DEFINE_integer(
    "img_width", None, "Width to resize to, pixels; by default that of the training run, else 416.", lower_bound=32
)
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 4, "Images per step.", lower_bound=1)

_CAPS_M = (80, 50)


def main() -> None:
    """Runs the parts that the flags select, prints the tables and writes the report."""
    depth, motion = _is_asked(_KITTI_RAW, _CKPT_DEPTH), _is_asked(_KITTI_ODOM, _CKPT_POSE)
    if not (depth or motion):
        raise UserError("expected --kitti_raw with --ckpt_depth, or --kitti_odom with --ckpt_pose; found neither pair")
    sequences, output_dir = name_sequences(_TEST_SEQS.name, _TEST_SEQS.value), Path(_OUTPUT_DIR.value)
    with lock_folder(output_dir):
        sections = [_reproduce_depth(Path(_KITTI_RAW.value), output_dir)] if depth else []
        if motion:
            sections += [_reproduce_motion(Path(_KITTI_ODOM.value), output_dir, sequence) for sequence in sequences]
        _write_report(sections, output_dir)


def _is_asked(folder: flags.FlagHolder[str], checkpoint: flags.FlagHolder[str]) -> bool:
    if bool(folder.value) != bool(checkpoint.value):
        alone = folder.name if folder.value else checkpoint.name
        raise UserError(f"expected --{folder.name} with --{checkpoint.name}, found --{alone} alone")
    return bool(folder.value)


def _write_report(sections: list[report.Section], output_dir: Path) -> None:
    for section in sections:
        print(*(f"\n{report.format_comparison(comparison)}" for comparison in section.comparisons), sep="\n")
    page = report.render_report("SfMLearner: our results beside the published ones", sections)
    files.write_text(output_dir / "report.html", page)
    files.write_json(output_dir / "report.json", report.describe_sections(sections))
    print(f"\nwritten: {output_dir / 'report.html'} and {output_dir / 'report.json'}")


def _reproduce_depth(kitti_raw: Path, output_dir: Path) -> report.Section:
    steps, prediction = Steps(output_dir, __version__), output_dir / f"{Path(_CKPT_DEPTH.value).name}.npy"
    if _SPLIT.value == "stereo":
        raise UserError("--split=stereo: expected eigen or a file that lists images of KITTI raw")
    image_files = list_test_files(_SPLIT.value, _TEST_FILE_LIST.value)
    split = f"--split={_TEST_FILE_LIST.value or _SPLIT.value}"
    predict = [
        *_tool("test_kitti_depth"),
        *_prediction_flags(_CKPT_DEPTH.value, kitti_raw, output_dir),
        split,
    ]
    images = [find_image(kitti_raw, image_file) for image_file in image_files]
    steps.run("predict depth", predict, [*_checkpoint_files(_CKPT_DEPTH.value), *images], [prediction])
    truth = [file for image_file in image_files for file in list_lidar_files(kitti_raw, image_file)]
    lines, comparisons = [], []
    for cap in _CAPS_M:
        means, errors = output_dir / f"depth_{cap}m.json", output_dir / f"depth_{cap}m.csv"
        evaluate = [
            *_evaluation("eval_depth"),
            f"--kitti_dir={kitti_raw}",
            f"--pred_file={prediction}",
            split,
            f"--max_depth={cap}",
            f"--output_json={means}",
            f"--output_csv={errors}",
        ]
        steps.run(f"evaluate depth to {cap} m", evaluate, [prediction, *truth], [means, errors])
        line, tables = reproduction.compare_depth_results(means, cap)
        lines.append(line)
        comparisons += tables
    pictures = reproduction.draw_best_and_worst(kitti_raw, prediction, output_dir / f"depth_{_CAPS_M[0]}m.csv")
    lines = [f"Checkpoint {_CKPT_DEPTH.value}, images of {kitti_raw}.", *lines, report.VERDICTS]
    return report.Section("Depth", lines, comparisons, pictures)


def _reproduce_motion(kitti_odom: Path, output_dir: Path, sequence: str) -> report.Section:
    truth, prediction, results = (output_dir / kind / sequence for kind in ("truth", "motion", "motion_results"))
    steps, images = Steps(output_dir, __version__), kitti_odom / "sequences" / sequence / "image_2"
    poses, times = kitti_odom / "poses" / f"{sequence}.txt", kitti_odom / "sequences" / sequence / "times.txt"
    seq_length = _find_seq_length()
    cut_flags = [f"--test_seq={sequence}", f"--seq_length={seq_length}"]

    cut = [*_evaluation("make_pose_ground_truth"), f"--dataset_dir={kitti_odom}", *cut_flags, f"--output_dir={truth}"]
    steps.run(f"true snippets of {sequence}", cut, [poses, times], [truth])
    predict = [
        *_tool("test_kitti_pose"), *_prediction_flags(_CKPT_POSE.value, kitti_odom, prediction), *cut_flags
    ]  # fmt: skip
    inputs = [*_checkpoint_files(_CKPT_POSE.value), times, images]
    steps.run(f"predict motion of {sequence}", predict, inputs, [prediction])

    ate = results / "ate.json"
    evaluate = [*_evaluation("eval_pose"), f"--gtruth_dir={truth}", f"--pred_dir={prediction}", f"--output_json={ate}"]
    steps.run(f"evaluate snippets of {sequence}", evaluate, [truth, prediction], [ate])
    whole, plots = results / "odometry.json", results / "plots"
    evaluate = [
        *_evaluation("eval_odometry"),
        f"--gtruth_file={poses}",
        f"--times_file={times}",
        f"--pred={prediction}",
        f"--output_json={whole}",
        f"--plot_dir={plots}",
    ]
    steps.run(f"evaluate trajectory of {sequence}", evaluate, [poses, times, prediction], [whole, plots])
    comparisons = [
        *reproduction.compare_ate_results(ate, sequence),
        *_evaluate_mean_motion(steps, kitti_odom, results / "mean_odometry.json", sequence, seq_length),
        *reproduction.compare_odometry_results(whole, sequence),
    ]
    lines = [
        f"Checkpoint {_CKPT_POSE.value}, images of {kitti_odom}.",
        f"Snippets have {seq_length} frames, the published ones 5. Their ATE is the paper's: sqrt(sum of "
        "squared errors) / frames, after one scale per snippet. Paths are chained as predicted, then aligned by 7dof.",
    ]
    return report.Section(f"Motion, {sequence}", lines, comparisons, reproduction.read_plots(whole, plots, sequence))


def _evaluate_mean_motion(
    steps: Steps, kitti_odom: Path, results: Path, sequence: str, seq_length: int
) -> list[report.Comparison]:
    """The trivial predictor, from those of the training sequences 00 to 08 that exist."""
    training = sorted((kitti_odom / "poses").glob("0[0-8].txt"))
    if not training:
        return []
    evaluate = [
        *_evaluation("eval_mean_odometry"),
        f"--dataset_dir={kitti_odom}",
        f"--train_seqs={','.join(path.stem for path in training)}",
        f"--test_seqs={sequence}",
        f"--seq_length={seq_length}",
        f"--output_json={results}",
    ]
    inputs = [*training, kitti_odom / "poses" / f"{sequence}.txt"]
    steps.run(f"mean motion on {sequence}", evaluate, inputs, [results])
    return reproduction.compare_mean_odometry_results(results, sequence)


def _tool(name: str) -> list[str]:
    return [sys.executable, "-m", f"sfmlearner_tf.tools.{name}"]


def _evaluation(name: str) -> list[str]:
    return [sys.executable, "-m", f"kitti_eval.{name}"]


def _prediction_flags(checkpoint: str, dataset_dir: Path, output_dir: Path) -> list[str]:
    return [
        f"--ckpt_file={checkpoint}",
        f"--dataset_dir={dataset_dir}",
        f"--output_dir={output_dir}",
        f"--batch_size={_BATCH_SIZE.value}",
        *(f"--{flag.name}={flag.value}" for flag in (_IMG_HEIGHT, _IMG_WIDTH) if flag.value),
    ]


def _find_seq_length() -> int:
    """Frames per snippet: those given, else those of the pose network's training, else the paper's 5."""
    config = run_config.read_beside(_CKPT_POSE.value)
    return _SEQ_LENGTH.value or (config.seq_length if config else 5)


def _checkpoint_files(checkpoint: str) -> list[Path]:
    """All files that decide what a checkpoint predicts."""
    beside = Path(checkpoint).parent / run_config.CONFIG_NAME
    return [*map(Path, sorted(glob.glob(f"{glob.escape(checkpoint)}.*"))), beside]


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
