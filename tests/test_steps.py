import sys

import pytest

from kitti_eval.steps import run_once


@pytest.fixture
def count(tmp_path):
    """A step that counts its runs in a file; returns how to run it and the count."""
    runs, source = tmp_path / "runs.txt", tmp_path / "source.txt"
    source.write_text("a")

    def run(extra: str = "", status: int = 0) -> int:
        code = f"open({str(runs)!r}, 'a').write('x'); {extra or 0}; raise SystemExit({status})"
        run_once(tmp_path, "count up", [sys.executable, "-c", code], [source], [runs])
        return len(runs.read_text())

    return run


def test_a_step_runs_once(count, tmp_path, capfd):
    assert [count(), count(), count()] == [1, 1, 1]
    assert capfd.readouterr().out.count("count up: already done") == 2
    assert (tmp_path / "steps" / "count_up.json").is_file()


def test_it_runs_again_when_anything_changed(count, tmp_path):
    count()
    assert count("1 + 1") == 2
    (tmp_path / "source.txt").write_text("ab")
    assert count("1 + 1") == 3
    (tmp_path / "runs.txt").unlink()
    assert count("1 + 1") == 1
    (tmp_path / "steps" / "count_up.json").write_text("{ cut")
    assert count("1 + 1") == 2


def test_a_failure_ends_the_run_and_is_not_recorded(count):
    with pytest.raises(SystemExit) as stopped:
        count(status=3)
    assert stopped.value.code == 3
    assert count() == 2


def test_output_folders_are_emptied_first(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "old.txt").write_text("")
    code = f"import os; os.makedirs({str(folder)!r}); open(os.path.join({str(folder)!r}, 'new.txt'), 'w')"
    run_once(tmp_path, "write", [sys.executable, "-c", code], [], [folder])
    assert [path.name for path in folder.iterdir()] == ["new.txt"]
