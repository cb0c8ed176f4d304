"""Changes the code in small ways, one at a time, and counts how many of these mutants the tests find; by hand.

    make mutants                                        # all modules; hours
    python tests/mutants.py kitti_eval/trajectory.py    # one

cosmic-ray makes the mutants. Works on copies of the tree in .mutants/, which also keeps the results: a second call goes
on where the first was stopped. Prints a table of killed mutants, and the difference of each survivor.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from pathlib import Path

from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome, WorkerOutcome, WorkResult

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".mutants"
# What is changed, and the tests that must notice.
TESTS = {
    "kitti_eval/depth_metrics.py": "test_depth_metrics.py test_depth_evaluation.py",
    "kitti_eval/pose_metrics.py": "test_pose_metrics.py",
    "kitti_eval/snippets.py": "test_snippets.py",
    "kitti_eval/trajectory.py": "test_trajectory.py test_snippets.py",
    "sfmlearner_tf/geometry.py": "test_geometry.py",
    "sfmlearner_tf/sampler.py": "test_sampler.py",
    "sfmlearner_tf/losses": "test_losses.py parity/test_golden.py",
    "sfmlearner_tf/data/batches.py": "test_batches.py",
    "sfmlearner_tf/checkpoint.py": "test_checkpoint.py",
}
# Replacements that end in a TypeError at once, or change only an annotation, say nothing about the tests.
SAY_NOTHING = re.compile(
    "core/(ReplaceBinaryOperator_.+_(Pow|Mod|FloorDiv|LShift|RShift|BitXor|BitOr|BitAnd)"
    "|ReplaceBinaryOperator_(BitOr|BitAnd)_.+|ReplaceComparisonOperator_.+_(Is|IsNot)|RemoveDecorator)"
)
JOBS = 2
LIMIT_S = 300
# Each mutant is tried in a fork of a process that has these loaded, but no module of ours.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tensorflow", "keras", "scipy.spatial.transform", "imageio", "pytest", "hypothesis"])


def main() -> None:
    chosen = sys.argv[1:] or list(TESTS)
    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(try_mutants, chosen))
    print("module | mutants | killed | share\n--- | --- | --- | ---")
    survivors: list[str] = []
    for module in chosen:
        with use_db(_folder(module) / "results.sqlite", WorkDB.Mode.open) as results:
            lived = [result.diff or "" for _, result in results.results if not result.is_killed]
            count = results.num_results
        print(f"{module} | {count} | {count - len(lived)} | {1 - len(lived) / count:.1%}")
        survivors += lived
    print(*survivors, sep="\n")


def try_mutants(module: str) -> None:
    """Makes the mutants of a module, if that has not been done, and tries those that have not been tried."""
    tree, results_file = _folder(module) / "tree", _folder(module) / "results.sqlite"
    if not results_file.exists():
        _copy_tree(tree)
    with use_db(results_file) as results:
        if not results.num_work_items:
            if _run_tests(module, tree):
                raise SystemExit(f"{module}: its tests fail as they are")
            found = sorted((tree / module).rglob("*.py")) if (tree / module).is_dir() else [tree / module]
            init([path for path in found if path.stat().st_size], results, {})
        for item in results.pending_work_items:
            if not SAY_NOTHING.match(item.mutations[0].operator_name):
                results.set_result(item.job_id, _try_mutant(item.mutations[0], module, tree))
                print(f"{module}: {results.num_results} of up to {results.num_work_items}", file=sys.stderr)


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
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    os._exit(pytest.main([*options, *(f"tests/{name}" for name in names)]))


def _copy_tree(tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)


def _folder(module: str) -> Path:
    return WORK / module.replace("/", "_")


if __name__ == "__main__":
    main()
