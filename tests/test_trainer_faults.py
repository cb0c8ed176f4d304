"""What becomes of a training run when something goes wrong: its folder, its data or its disk."""

import resource

import numpy as np
import pytest
import tensorflow as tf

from formatted_data import write_formatted_data
from kitti_eval.locks import lock_folder
from sfmlearner_tf import TrainConfig, run_config
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.trainer import Trainer

pytestmark = pytest.mark.usefixtures("small_depth_network")


@pytest.fixture
def dataset_dir(tmp_path):
    write_formatted_data(tmp_path / "formatted", count=20)
    return tmp_path / "formatted"


def trainer(dataset_dir, run, **options):
    settings = {"batch_size": 2, "img_height": 32, "img_width": 64, "num_scales": 1, "val_freq": 0, "num_threads": 1}
    return Trainer(TrainConfig(dataset_dir=str(dataset_dir), checkpoint_dir=str(run), **{**settings, **options}))


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same_state(one, other):
    for name, variable in one.checkpoints.variables.items():
        np.testing.assert_array_equal(other.checkpoints.variables[name], variable, err_msg=name)


def test_a_folder_that_another_run_works_in_is_left_alone(dataset_dir, tmp_path):
    run = tmp_path / "run"
    first = trainer(dataset_dir, run, max_steps=4, save_latest_freq=1)
    steps = first.steps()
    next(steps)
    next(steps)
    before = files_of(run)
    for options in ({}, {"continue_train": True}, {"overwrite": True}):
        with pytest.raises(UserError, match=r"run: another process works in this folder \(process \d+\)"):
            trainer(dataset_dir, run, **options)
    assert files_of(run) == before
    assert [step.number for step in steps] == [3]
    assert ".lock" not in files_of(run)
    assert trainer(dataset_dir, run, continue_train=True).step == 3


def save_at_once(run):
    """All that a run does but for the steps."""
    assert list(run.steps()) == []


def test_the_lock_of_a_killed_run_holds_nobody_up(dataset_dir, tmp_path):
    for options in ({}, {"continue_train": True}, {"overwrite": True}):
        (tmp_path / ".lock").write_text("12345")
        if not options:
            assert run_config.holds_run(str(tmp_path)) is None
        save_at_once(trainer(dataset_dir, tmp_path, max_steps=1, **options))
        assert not (tmp_path / ".lock").exists()
        assert (tmp_path / "model.latest.index").exists()


@pytest.mark.parametrize("option", [None, "continue_train", "overwrite"])
def test_what_another_run_saved_meanwhile_is_kept(dataset_dir, tmp_path, option):
    """Two runs that begin at the same time: the second finds the folder free once the first has ended."""
    run = tmp_path / "run"
    if option:
        save_at_once(trainer(dataset_dir, run, max_steps=1))
    late = trainer(dataset_dir, run, max_steps=3, **({option: True} if option else {}))
    save_at_once(trainer(dataset_dir, run, max_steps=1, **({"continue_train": True} if option else {})))
    before = files_of(run)
    with pytest.raises(UserError, match="run: another run saved there after this one had looked into it"):
        late.run()
    assert files_of(run) == before


def test_a_trainer_may_run_twice(dataset_dir, tmp_path):
    again = trainer(dataset_dir, tmp_path / "run", max_steps=1)
    save_at_once(again)
    with lock_folder(tmp_path / "run"), pytest.raises(UserError, match="another process works in this folder"):
        save_at_once(again)
    save_at_once(again)


# At step 9, where training ends, the last save is due as well, or long past.
@pytest.mark.parametrize("save_latest_freq", [9, 100])
def test_a_damaged_example_ends_training_after_a_save(dataset_dir, tmp_path, save_latest_freq):
    run, undisturbed = tmp_path / "run", trainer(dataset_dir, tmp_path / "undisturbed", max_steps=16)
    undisturbed.run()
    disturbed = trainer(dataset_dir, run, max_steps=16, save_latest_freq=save_latest_freq)
    damaged = dataset_dir / "drive" / f"{disturbed.feed.batch_examples(18)[0].frame}.jpg"  # of step 10
    content = damaged.read_bytes()
    damaged.write_bytes(content[:100])
    with pytest.raises(UserError) as error:
        disturbed.run()
    assert str(error.value).startswith(f"{damaged} is damaged: expected a whole JPEG image, found ")
    assert str(error.value).endswith(
        f"(on_bad_example=skip leaves it out); saved {run}/model.latest at step 9, from where continue_train goes on"
    )
    # Nothing more is saved where it is still damaged.
    before = files_of(run)
    with pytest.raises(UserError, match=r"is damaged: .*skip leaves it out\)$"):
        trainer(dataset_dir, run, max_steps=16, continue_train=True).run()
    assert {name: before[name] for name in before if name.startswith("model")} == {
        name: content for name, content in files_of(run).items() if name.startswith("model")
    }
    damaged.write_bytes(content)
    mended = trainer(dataset_dir, run, max_steps=16, continue_train=True)
    mended.run()
    assert_same_state(undisturbed, mended)


def test_a_run_that_skips_goes_on_bit_for_bit(dataset_dir, tmp_path, capsys):
    """Damaged: one example of the first steps, and one that is met only after the run was continued."""
    options = {"on_bad_example": "skip", "max_bad_fraction": 0.1}
    order = trainer(dataset_dir, tmp_path / "unused").feed
    for position in (4, 17):
        (dataset_dir / "drive" / f"{order.batch_examples(position)[0].frame}.jpg").write_bytes(b"damaged")
    whole = trainer(dataset_dir, tmp_path / "whole", max_steps=24, **options)
    whole.run()
    trainer(dataset_dir, tmp_path / "part", max_steps=6, **options).run()
    capsys.readouterr()
    # What was left out stays so in another folder, too.
    other = {"init_checkpoint_file": str(tmp_path / "part" / "model.latest")}
    resumed = trainer(dataset_dir, tmp_path / "moved", max_steps=24, continue_train=True, **other, **options)
    resumed.run()
    printed = capsys.readouterr().out
    assert "\nleft out because they are damaged: 1, see bad_examples.txt\n" in printed
    assert printed.count("warning: left out: ") == 1
    assert_same_state(whole, resumed)
    first, both, moved = ((tmp_path / run / "bad_examples.txt").read_text() for run in ("part", "whole", "moved"))
    assert both == moved
    assert (len(first.splitlines()), len(both.splitlines())) == (1, 2)


def test_a_new_run_leaves_nothing_out(dataset_dir, tmp_path):
    for overwrite in (False, True):
        (tmp_path / "bad_examples.txt").write_text("drive 0000000003: of an earlier run\n")
        run = trainer(dataset_dir, tmp_path, max_steps=1, overwrite=overwrite)
        assert run.feed.left_out == {}
        save_at_once(run)
        assert not (tmp_path / "bad_examples.txt").exists()


def test_a_record_that_is_damaged_ends_in_one_line(dataset_dir, tmp_path):
    save_at_once(trainer(dataset_dir, tmp_path, max_steps=1))
    before = (tmp_path / "model.latest.index").read_bytes()
    for name in ("validation.csv", "bad_examples.txt"):
        (tmp_path / name).write_text("nothing\n1\n")
        with pytest.raises(UserError, match=f"{name}: expected"):
            trainer(dataset_dir, tmp_path, max_steps=4, continue_train=True).run()
        (tmp_path / name).unlink()
    assert (tmp_path / "model.latest.index").read_bytes() == before


def test_summaries_that_cannot_be_written_are_told(dataset_dir, tmp_path):
    from sfmlearner_tf.summaries import Summaries

    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write summaries: .*file is not a directory"):
        Summaries(str(tmp_path / "file" / "run"), trainer(dataset_dir, tmp_path / "run").learner)


def test_a_disk_that_summaries_fill_is_no_lack_of_memory(dataset_dir, tmp_path):
    from sfmlearner_tf.summaries import Summaries

    learner = trainer(dataset_dir, tmp_path / "run").learner
    summaries = Summaries(str(tmp_path / "run"), learner)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"cannot write summaries: .*tfevents"):
            summaries.write_validation(1, {f"metric_{number}": 1.0 for number in range(100)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_too_little_memory_for_summaries_stays_that(tmp_path):
    from sfmlearner_tf import summaries

    with pytest.raises(tf.errors.ResourceExhaustedError), summaries._name_errors(str(tmp_path)):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[4,128,416,32]")
