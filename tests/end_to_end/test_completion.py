"""What the tab key offers in bash."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata

import pytest

from forked import run_forked
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools import completion

MODULE = ("-m", "sfmlearner_tf.tools.completion")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    done = run_forked(*MODULE)
    assert done.returncode == 0, done.stderr
    path = tmp_path_factory.mktemp("completion") / "script"
    path.write_text(done.stdout)
    return path


def press_tab(script, *words):
    """What bash offers for the last of the words of a line."""
    lines = [
        f"source {script}",
        f"COMP_WORDS=({' '.join(words)} ''); COMP_WORDS[{len(words) - 1}]='{words[-1]}'; COMP_CWORD={len(words) - 1}",
        f"function=$(complete -p {words[0]} | sed 's/.*-F \\([^ ]*\\) .*/\\1/')",
        f"$function {words[0]} '{words[-1]}' '{words[-2]}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    ]
    found = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    return set(found.stdout.split())


def test_flags_and_choices_are_offered(script):
    assert press_tab(script, "sfmlearner-train", "--pres") == {"--preset"}
    assert {"release", "recommended"} <= press_tab(script, "sfmlearner-train", "--preset", "re")
    assert press_tab(script, "sfmlearner-train", "--random_f") == {"--random_flip"}
    assert press_tab(script, "sfmlearner-train", "--norandom_f") == {"--norandom_flip"}
    assert press_tab(script, "sfmlearner-eval-depth", "--pred") == {"--pred_file"}
    assert press_tab(script, "sfmlearner-predict", "--layout", "be") == {"beside"}
    assert "--helpfull" not in press_tab(script, "sfmlearner-predict", "--")


def test_every_command_is_completed(script):
    names = {point.name for point in metadata.distribution("sfmlearner_tf").entry_points}
    assert len(names) > 15
    completed = re.findall(r"^complete .* (sfmlearner-\S+)$", script.read_text(), re.MULTILINE)
    assert sorted(completed) == sorted(names)


def test_a_path_is_completed_where_a_flag_takes_one(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "formatted").mkdir()
    assert press_tab(script, "sfmlearner-train", "--dataset_dir", "form") == {"formatted"}


def test_a_command_that_dies_without_a_word_is_told(monkeypatch):
    done = subprocess.CompletedProcess([], -9, stdout="", stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UserError, match=r"^a\.module cannot be loaded: exit status -9$"):
        completion.read_flags("a.module")


def test_without_shtab_it_says_what_to_install():
    code = "import sys; sys.modules['shtab'] = None; sys.argv = ['completion']\n"
    done = run_forked("-c", code + "from sfmlearner_tf.tools import completion; completion.cli()")
    assert done.returncode == 1
    assert done.stderr == "error: completion needs shtab: pip install 'sfmlearner_tf[completion]'\n"
