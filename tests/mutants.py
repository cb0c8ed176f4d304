"""Changes the code in small ways, one at a time, and counts how many of these mutants the tests find; by hand.

    make mutants                                        # all modules; hours
    python tests/mutants.py kitti_eval/trajectory.py    # one
    python tests/mutants.py --sample=100 sfmlearner_tf/checkpoint.py    # of many, 100 that are evenly spread

cosmic-ray makes the mutants. Works on copies of the tree in .mutants/, which also keeps the results as long as the
module stays as it is: a second call goes on where the first was stopped, then tries the survivors on the tests as they
are now. Prints a table of killed mutants, and the difference of each survivor.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from functools import partial
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".mutants"
# What is changed, and the tests that must notice: the quick ones first, for the first failure ends them.
TESTS = {
    "kitti_eval/depth_metrics.py": "test_depth_metrics.py test_depth_evaluation.py",
    "kitti_eval/pose_metrics.py": "test_pose_metrics.py",
    "kitti_eval/snippets.py": "test_snippets.py",
    "kitti_eval/trajectory.py": "test_trajectory.py test_snippets.py",
    "sfmlearner_tf/geometry.py": "test_geometry.py",
    "sfmlearner_tf/sampler.py": "test_sampler.py",
    "sfmlearner_tf/losses": "test_smoothness.py test_losses.py test_scale_consistency.py "
    "parity/test_golden.py::test_losses",
    "sfmlearner_tf/data/augmentation.py": "test_batch_order.py test_batches.py test_extras.py "
    "test_learned_intrinsics.py::test_what_augmentation_did_and_the_camera_make_the_augmented_camera",
    "sfmlearner_tf/data/batches.py": "test_batch_order.py test_cameras.py test_batches.py test_extras.py",
    "sfmlearner_tf/checkpoint.py": "test_checkpoint_files.py test_checkpoint.py",
}
# Replacements that end in a TypeError at once, or change only an annotation, say nothing about the tests.
SAY_NOTHING = re.compile(
    "core/(ReplaceBinaryOperator_.+_(Pow|Mod|FloorDiv|LShift|RShift|BitXor|BitOr|BitAnd)"
    "|ReplaceBinaryOperator_(BitOr|BitAnd)_.+|ReplaceComparisonOperator_.+_(Is|IsNot)|RemoveDecorator)"
)
JOBS = 2
LIMIT_S = 300
# Threads of OpenBLAS that wait take the time of the other job.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Each mutant is tried in a fork of a process that has these loaded, but no module of ours.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tensorflow", "keras", "scipy.spatial.transform", "imageio", "pytest", "hypothesis"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=0, help="mutants of each module to try; 0 tries all")
    parser.add_argument("modules", nargs="*", help=f"any of {', '.join(TESTS)}; all by default")
    arguments = parser.parse_args()
    chosen = arguments.modules or list(TESTS)
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(partial(try_mutants, sample=arguments.sample), chosen))
    print("module | mutants | killed | share\n--- | --- | --- | ---")
    survivors: list[str] = []
    for module in chosen:
        with use_db(_results_file(module), WorkDB.Mode.open) as results:
            lived = [result.diff or "" for _, result in results.results if not result.is_killed]
            count = results.num_results
        print(f"{module} | {count} | {count - len(lived)} | {1 - len(lived) / count:.1%}")
        survivors += lived
    print(*survivors, sep="\n")


def try_mutants(module: str, sample: int = 0) -> None:
    """Tries the mutants of a module that have not been tried, and those that survived an earlier call.

    Args:
        sample: how many of all there are; 0 tries all.
    """
    tree = WORK / module.replace("/", "_")
    _copy_tree(tree)
    if _run_tests(module, tree):
        raise SystemExit(f"{module}: its tests fail as they are")
    with use_db(_results_file(module)) as results:
        if not results.num_work_items:
            init([path for path in _sources(module, tree) if path.stat().st_size], results, {})
        telling = [item for item in results.work_items if not SAY_NOTHING.match(item.mutations[0].operator_name)]
        chosen = telling[:: max(1, len(telling) // sample)] if sample else telling
        killed = {item.job_id for item, result in results.completed_work_items if result.is_killed}
        for number, item in enumerate(chosen, 1):
            if item.job_id not in killed:
                results.set_result(item.job_id, _try_mutant(item.mutations[0], module, tree))
            print(f"{module}: {number} of {len(chosen)}", file=sys.stderr)


def _try_mutant(mutation: MutationSpec, module: str, tree: Path) -> WorkResult:
    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
        outcome = TestOutcome.KILLED if _run_tests(module, tree) else TestOutcome.SURVIVED
    lines = unified_diff(before.splitlines(), after.splitlines(), mutation.module_path.name, n=0, lineterm="")
    return WorkResult(WorkerOutcome.NORMAL, test_outcome=outcome, diff="\n".join(lines))


def _run_tests(module: str, tree: Path) -> int:
    """0 if the tests pass; anything else if one fails or they take too long."""
    process = _FORKS.Process(target=_run_pytest, args=(tree, TESTS[module].split()))
    process.start()
    process.join(LIMIT_S)
    process.kill()
    process.join()
    return int(process.exitcode or 0)


def _run_pytest(tree: Path, names: list[str]) -> None:
    import pytest

    # A file that changes twice in a second would be taken from the cache.
    sys.dont_write_bytecode = True
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    # Unraisable exceptions cost a search for garbage over all that is loaded.
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:unraisableexception", "--hypothesis-seed=0"]
    os._exit(pytest.main([*options, *(f"tests/{name}" for name in names)]))


def _copy_tree(tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)


def _sources(module: str, root: Path) -> list[Path]:
    return sorted((root / module).rglob("*.py")) if (root / module).is_dir() else [root / module]


def _results_file(module: str) -> Path:
    content = hashlib.sha256(b"".join(path.read_bytes() for path in _sources(module, ROOT)))
    return WORK / f"{module.replace('/', '_')}-{content.hexdigest()[:8]}.sqlite"


if __name__ == "__main__":
    main()
