"""The training loop: from the data to the learner, and what a run remembers."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator, Sequence
from typing import NoReturn

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from kitti_eval.locks import lock_folder
from sfmlearner_tf import checkpoint, device, distribution, resuming, run_config
from sfmlearner_tf.batch import Batch
from sfmlearner_tf.checkpoint_folder import BEST, LATEST, CheckpointFolder
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.data import mixture
from sfmlearner_tf.data.augmentation import Share
from sfmlearner_tf.data.calibration import UNKNOWN
from sfmlearner_tf.data.feed import BAD_EXAMPLES_NAME, Feed, read_left_out
from sfmlearner_tf.data.formatted import Example
from sfmlearner_tf.data.prepare import OPTIONS_FILE, read_options
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.learner import SfMLearner
from sfmlearner_tf.options import split_list
from sfmlearner_tf.records import Records, Step
from sfmlearner_tf.stop_signals import catch_stop_signals
from sfmlearner_tf.validation import Validator
from sfmlearner_tf.watchdogs import Watchdogs


class Trainer:
    """Trains as the 2017 release does: steps 1 to max_steps - 1, saving every epoch and every save_latest_freq steps.

    Raises:
        UserError: the data, the folder or a checkpoint is not as it must be, or the loss is not finite.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(config.precision == "tensorfloat32")
        if not config.dataset_dir:
            raise UserError("dataset_dir is required: the folder with train.txt that prepare_train_data wrote")
        _check_intrinsics(config)
        self.workers = distribution.join(config.distribute, config.batch_size)
        if self.workers.is_chief:
            resuming.check_folder(config)
        self.examples = mixture.read_mixture(config.dataset_dir, "train")
        self.steps_per_epoch = max(1, len(self.examples) // config.batch_size)
        try:
            with self.workers.scope():
                self.learner = SfMLearner(config)
        except ImportError as error:
            raise UserError(f"sampler=addons needs tensorflow-addons: {error}") from None
        # Counted on the host, so that no step waits for the device to tell.
        self.step = 0  # the last one that was taken
        self.position = 0  # how many examples were seen
        self._position = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoints = self._open_checkpoints()
        left_out = self._start()
        self.feed = Feed(config, self.examples, left_out, Share(self.workers.index, self.workers.count))
        self.validator = self._make_validator() if self.workers.is_chief else None
        self.watchdogs = Watchdogs(config.watch_after, split_list(config.watches_off))
        self.alarms = 0  # how many the watchdogs have raised

    def run(self) -> None:
        """Trains to the end, or until Ctrl-C or SIGTERM: then it saves, and does what that signal did before."""
        last = self.config.max_steps - 1
        if self.workers.is_chief:
            self._introduce()
        if self.step >= last:
            self._say(
                f"nothing to do: step {self.step} is reached, and max_steps={self.config.max_steps} ends at {last}"
            )
            return
        with catch_stop_signals() as stopped:
            for _ in self.steps(stopped):
                pass
        if stopped:
            self._say("stopped; continue_train with the same options continues from here")
            signal.raise_signal(stopped[0])
            raise KeyboardInterrupt  # where the signal was ignored before
        self._conclude()

    def steps(self, stopped: Sequence[int] = ()) -> Iterator[Step]:
        """Takes the steps one after the other and gives each; then saves, and validates what was not yet validated.

        Args:
            stopped: ends before the next step once something is in it, without validation.
        """
        with self.workers.explain_loss():
            if not self.workers.is_chief:
                yield from self._loop(stopped, None)
                return
            with lock_folder(self.config.checkpoint_dir):
                self._claim_folder()
                records = Records(
                    self.config, self.learner, self.checkpoints, self.validator, self.steps_per_epoch, self.step
                )
                try:
                    yield from self._loop(stopped, records)
                finally:
                    records.close()

    def _loop(self, stopped: Sequence[int], records: Records | None) -> Iterator[Step]:
        last, failure = self.config.max_steps - 1, None
        while self.step < last:
            batch = None
            if not stopped:
                try:
                    batch = self.feed.next_batch(self.step, self.position)
                except UserError as error:
                    failure = error
            # All workers end after the same step, whichever of them has to.
            if self.workers.any(batch is None) or batch is None:
                break
            if records:
                records.before_step(self.step + 1, batch)
            step = self._take_step(batch)
            if records:
                records.after_step(step)
            yield step
        self.workers.part()
        if self.step < last and not stopped:
            self._fail(failure or UserError("another worker was stopped, or failed: its own output says why"), records)
        if records:
            records.finish(self.step, validate=not stopped)

    def _fail(self, error: UserError, records: Records | None) -> NoReturn:
        """Ends a run, but saves what was learned."""
        if records is None or self.step == records.first_step:
            raise error
        saved = f"saved {records.save_latest(self.step)} at step {self.step}, from where continue_train goes on"
        raise UserError(f"{error}; {saved}") from None

    def _take_step(self, batch: Batch) -> Step:
        config, readings = self.config, {}
        if (self.step + 1) % config.watch_freq:
            losses = self.learner.train_step(batch)
        else:
            losses, seen = self.learner.watched_step(batch)
            readings = _to_floats(seen)
        self.step += 1
        self.position += config.batch_size
        # TensorFlow keeps each Python number that it is given for good, 0.7 kB a piece; those of NumPy it does not.
        self._position.assign(np.int64(self.position))
        # The one value that the host reads at every step; where a term is not finite, neither is the sum.
        if not math.isfinite(float(losses["total"])):
            self._refuse(_to_floats(losses))
        if readings:
            self._watch(readings)
        return Step(self.step, losses, readings)

    def _watch(self, readings: dict[str, float]) -> None:
        for alarm in self.watchdogs.look(self.step, readings):
            self.alarms += 1
            if self.config.on_collapse == "stop":
                raise UserError(f"{alarm}; stopped by on_collapse=stop, the last checkpoint stays as it is")
            self._say(f"warning: {alarm}")

    def _make_validator(self) -> Validator | None:
        """None where val_freq is 0 or, as can be with little data, val.txt is empty."""
        config = self.config
        if config.val_freq == 0:
            return None
        try:
            examples = mixture.read_mixture(config.dataset_dir, "val")
        except UserError as error:
            print(f"no validation: {error}")
            return None
        return Validator(config, self.learner, examples)

    def _open_checkpoints(self) -> CheckpointFolder:
        state = {**self.learner.state(), **resuming.make_data_state(self.config, self.examples, self._position)}
        return CheckpointFolder(self.config.checkpoint_dir, state, self.config.max_to_keep)

    def _start(self) -> dict[Example, str]:
        """Sets the weights; returns the examples that the run has left out so far, and why."""
        config = self.config
        if config.continue_train:
            return self._continue()
        if config.init_checkpoint_file:
            self.learner.restore_weights(config.init_checkpoint_file)
        return {}

    def _continue(self) -> dict[Example, str]:
        """Restores a checkpoint and the place in the data where it left off."""
        config, path = self.config, self.config.init_checkpoint_file
        before = run_config.read_beside(path) if path else run_config.read(config.checkpoint_dir)
        resuming.check_architecture(before, config)
        if path:
            self._restore(path)
        else:
            path = self.checkpoints.restore_newest(self._restore)
        changes = resuming.list_changes(path, before, config, self.examples)
        if changes:
            self._say("\n  ".join([f"continuing from {path} with changes:", *changes]))
        self.step = int(self.learner.global_step.numpy())
        self.position = int(checkpoint.read_scalar(path, resuming.DATA_POSITION, self.step * config.batch_size))
        self._position.assign(np.int64(self.position))  # for a run that is stopped before its first step
        return read_left_out(os.path.dirname(path))

    def _restore(self, path: str) -> None:
        if not self.learner.restore(path):
            self._say(f"{path} has no state of Adam: its moments start from zero")

    def _claim_folder(self) -> None:
        """Makes the folder this run's: deletes an earlier run if asked to, and writes what it begins with."""
        self.checkpoints.check_unchanged()
        if self.config.overwrite:
            run_config.remove_run(self.config.checkpoint_dir)
            self.checkpoints = self._open_checkpoints()
        folder = self.config.checkpoint_dir
        run_config.write(self.config, folder, run_config.read_intrinsics(folder))
        self.feed.write_left_out()

    def _say(self, text: str) -> None:
        """Of several workers only the chief speaks."""
        if self.workers.is_chief:
            tqdm.write(text)

    def _introduce(self) -> None:
        print(device.describe(self.config))
        counts = {type(net).__name__: net.count_params() for net in self.learner.networks}
        for name, count in counts.items():
            print(f"{name}: {count:,} parameters")
        print(f"parameter_count = {sum(counts.values())}")
        for line in mixture.describe(self.config.dataset_dir):
            print(line)
        print(f"{len(self.examples):,} examples, {self.steps_per_epoch:,} steps per epoch, from step {self.step}")
        if self.feed.left_out:
            print(f"left out because they are damaged: {len(self.feed.left_out):,}, see {BAD_EXAMPLES_NAME}")
        folder = self.config.checkpoint_dir
        print(f"checkpoints and curves go to {folder} (tensorboard --logdir={folder} shows them)")

    def _conclude(self) -> None:
        """Says what to do with the weights."""
        newest, best = (os.path.join(self.config.checkpoint_dir, name) for name in (LATEST, BEST))
        has_best = os.path.exists(f"{best}.index")
        chosen = best if has_best else newest
        self._say(
            f"done: {newest}{f'; the best of the validations: {best}' if has_best else ''}\n"
            f"evaluate: python -m sfmlearner_tf.tools.test_kitti_depth --ckpt_file={chosen} --dataset_dir=<KITTI raw> "
            "--output_dir=predictions\n"
            f"predict:  python -m sfmlearner_tf.tools.predict --ckpt_file={chosen} --input=<pictures or a video> "
            "--output_dir=out\n"
            f"export:   python -m sfmlearner_tf.tools.export_saved_model --ckpt_file={chosen} --output_dir=exported "
            "--verify"
        )

    def _refuse(self, losses: dict[str, float]) -> None:
        """Ends a run whose loss is not finite."""
        examples = self.feed.batch_examples(self.position - self.config.batch_size)
        root = mixture.find_root(self.config.dataset_dir)
        paths = [example.image_path(root) for example in examples]
        found = ", ".join(f"{name} {value}" for name, value in losses.items())
        raise UserError(
            f"the loss of step {self.step} must be finite, got {found}; its batch: {', '.join(paths)}; "
            "nothing was saved of it (a smaller learning_rate often helps)"
        )


def _check_intrinsics(config: TrainConfig) -> None:
    """Raises UserError where the data has none and they are not learned either."""
    if config.learn_intrinsics:
        return
    for part in mixture.find_parts(config.dataset_dir):
        has_options = os.path.exists(os.path.join(part.folder, OPTIONS_FILE))
        if has_options and read_options(part.folder).get("intrinsics") == UNKNOWN:
            needed = f"expected true with data prepared with intrinsics={UNKNOWN}, {part.folder}"
            raise UserError(f"learn_intrinsics: {needed}, found false")


def _to_floats(scalars: dict[str, tf.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in scalars.items()}
