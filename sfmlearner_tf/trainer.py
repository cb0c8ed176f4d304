"""The training loop: data, learner, summaries, checkpoints, validation and progress."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf
from tqdm import tqdm

from kitti_eval.locks import lock_folder
from sfmlearner_tf import checkpoint, device, resuming, run_config
from sfmlearner_tf.batch import Batch
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.config import TrainConfig, split_list
from sfmlearner_tf.curves import Curves
from sfmlearner_tf.data.feed import BAD_EXAMPLES_NAME, Feed, read_left_out
from sfmlearner_tf.data.formatted import Example, read_split
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.learner import SfMLearner
from sfmlearner_tf.stop_signals import catch_stop_signals
from sfmlearner_tf.summaries import Summaries
from sfmlearner_tf.validation import Validator
from sfmlearner_tf.watchdogs import Watchdogs


class Step(NamedTuple):
    """A step that was taken: its number, its losses, and at every watch_freq-th step the readings of the watchdogs."""

    number: int
    losses: dict[str, tf.Tensor]
    readings: dict[str, float]


class Trainer:
    """Trains as the 2017 release does: steps 1 to max_steps - 1, saving every epoch and every save_latest_freq steps.

    Raises:
        UserError: the data, the folder or a checkpoint is not as it must be, or the loss is not finite.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        if not config.dataset_dir:
            raise UserError("dataset_dir is required: the folder with train.txt that prepare_train_data wrote")
        resuming.check_folder(config)
        self.examples = read_split(config.dataset_dir, "train")
        self.steps_per_epoch = max(1, len(self.examples) // config.batch_size)
        try:
            self.learner = SfMLearner(config)
        except ImportError as error:
            raise UserError(f"sampler=addons needs tensorflow-addons: {error}") from None
        # Counted on the host, so that no step waits for the device to tell.
        self.step = 0  # the last one that was taken
        self.position = 0  # how many examples were seen
        self._saved_step = 0  # none of the steps up to here is lost where training ends
        self._position = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.checkpoints = self._open_checkpoints()
        left_out = self._start()
        self.feed = Feed(config, self.examples, left_out)
        self.validator = self._make_validator()
        self.watchdogs = Watchdogs(config.watch_after, split_list(config.watches_off))
        self.alarms = 0  # how many the watchdogs have raised

    def run(self) -> None:
        """Trains to the end, or until Ctrl-C or SIGTERM: then it saves, and does what that signal did before."""
        last = self.config.max_steps - 1
        self._introduce()
        if self.step >= last:
            print(f"nothing to do: step {self.step} is reached, and max_steps={self.config.max_steps} ends at {last}")
            return
        with catch_stop_signals() as stopped:
            for _ in self.steps(stopped):
                pass
        if stopped:
            print("stopped; continue_train with the same options continues from here")
            signal.raise_signal(stopped[0])
            raise KeyboardInterrupt  # where the signal was ignored before

    def steps(self, stopped: Sequence[int] = ()) -> Iterator[Step]:
        """Takes the steps one after the other and gives each; then saves, and validates what was not yet validated.

        Args:
            stopped: ends before the next step once something is in it, without validation.
        """
        with lock_folder(self.config.checkpoint_dir):
            self._claim_folder()
            summaries = Summaries(self.config.checkpoint_dir, self.learner)
            curves = Curves(self.config.checkpoint_dir, last_step=self.step)
            last = self.config.max_steps - 1
            bar = tqdm(total=last, initial=self.step, unit="step", disable=None, dynamic_ncols=True)
            try:
                yield from self._loop(last, stopped, summaries, curves, bar)
                bar.close()
                print(f"saved {self._save_latest()} at step {self.step}")
                if self.validator and not stopped and self.step % self.config.val_freq:
                    self._validate(self.validator, curves, summaries)
            finally:
                bar.close()
                summaries.close()

    def _loop(
        self, last: int, stopped: Sequence[int], summaries: Summaries, curves: Curves, bar: tqdm
    ) -> Iterator[Step]:
        config = self.config
        reported, started = self.step, time.time()
        while self.step < last and not stopped:
            batch = self._next_batch()
            if (self.step + 1) % config.summary_freq == 0:
                summaries.write(self.step + 1, batch)
            step = self._take_step(batch)
            bar.update()
            if step.readings:
                bar.set_postfix(_to_floats(step.losses), refresh=False)
            if step.number % config.summary_freq == 0:
                self._report(float(step.losses["total"]), (time.time() - started) / (step.number - reported))
                reported, started = step.number, time.time()
            self._save_where_due()
            if self.validator and step.number % config.val_freq == 0:
                self._validate(self.validator, curves, summaries)
            yield step

    def _take_step(self, batch: Batch) -> Step:
        config, readings = self.config, {}
        if (self.step + 1) % config.watch_freq:
            losses = self.learner.train_step(batch)
        else:
            losses, seen = self.learner.watched_step(batch)
            readings = _to_floats(seen)
        self.step += 1
        self.position += config.batch_size
        self._position.assign(self.position)
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
            tqdm.write(f"warning: {alarm}")

    def _save_where_due(self) -> None:
        if self.step % self.config.save_latest_freq == 0:
            self._save_latest()
        if self.step % self.steps_per_epoch == 0:
            self.checkpoints.save_step(self.step)

    def _save_latest(self) -> str:
        path = self.checkpoints.save_latest()
        self._saved_step = self.step
        return path

    def _validate(self, validator: Validator, curves: Curves, summaries: Summaries) -> None:
        """Measures, prints, draws, and keeps the best weights. What fails there is a warning: training goes on."""
        metrics, metric = validator.measure(), self.config.best_metric
        if not metrics:
            return
        summaries.write_validation(self.step, metrics)
        found = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        try:
            is_best = metrics.get(metric, math.inf) < curves.best(metric)
            kept = f", the best {metric} so far: kept as {self.checkpoints.save_best()}" if is_best else ""
            tqdm.write(f"validation at step {self.step}: {found}{kept}")
            curves.add(self.step, metrics)
        except UserError as error:
            tqdm.write(f"warning: validation at step {self.step}: {error}")

    def _make_validator(self) -> Validator | None:
        """None where val_freq is 0 or, as can be with little data, val.txt is empty."""
        config = self.config
        if config.val_freq == 0:
            return None
        try:
            examples = read_split(config.dataset_dir, "val")
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
            print("\n  ".join([f"continuing from {path} with changes:", *changes]))
        self.step = self._saved_step = int(self.learner.global_step)
        self.position = int(checkpoint.read_scalar(path, resuming.DATA_POSITION, self.step * config.batch_size))
        return read_left_out(os.path.dirname(path))

    def _restore(self, path: str) -> None:
        if not self.learner.restore(path):
            print(f"{path} has no state of Adam: its moments start from zero")

    def _claim_folder(self) -> None:
        """Makes the folder this run's: deletes an earlier run if asked to, and writes what it begins with."""
        self.checkpoints.check_unchanged()
        if self.config.overwrite:
            run_config.remove_run(self.config.checkpoint_dir)
            self.checkpoints = self._open_checkpoints()
        run_config.write(self.config, self.config.checkpoint_dir)
        self.feed.write_left_out()

    def _introduce(self) -> None:
        print(device.describe(self.config.jit_compile))
        nets = (self.learner.disp_net, self.learner.pose_exp_net)
        counts = {type(net).__name__: net.count_params() for net in nets}
        for name, count in counts.items():
            print(f"{name}: {count:,} parameters")
        print(f"parameter_count = {sum(counts.values())}")
        print(f"{len(self.examples):,} examples, {self.steps_per_epoch:,} steps per epoch, from step {self.step}")
        if self.feed.left_out:
            print(f"left out because they are damaged: {len(self.feed.left_out):,}, see {BAD_EXAMPLES_NAME}")

    def _next_batch(self) -> Batch:
        try:
            return self.feed.next_batch(self.step, self.position)
        except UserError as error:
            if self.step == self._saved_step:
                raise
            saved = f"saved {self._save_latest()} at step {self.step}, from where continue_train goes on"
            raise UserError(f"{error}; {saved}") from None

    def _refuse(self, losses: dict[str, float]) -> None:
        """Ends a run whose loss is not finite."""
        examples = self.feed.batch_examples(self.position - self.config.batch_size)
        paths = [example.image_path(self.config.dataset_dir) for example in examples]
        found = ", ".join(f"{name} {value}" for name, value in losses.items())
        raise UserError(
            f"the loss of step {self.step} must be finite, got {found}; its batch: {', '.join(paths)}; "
            "nothing was saved of it (a smaller learning_rate often helps)"
        )

    def _report(self, loss: float, seconds_per_step: float) -> None:
        """Prints the release's line."""
        epoch = math.ceil(self.step / self.steps_per_epoch)
        step_in_epoch = self.step - (epoch - 1) * self.steps_per_epoch
        progress = f"Epoch: [{epoch:2d}] [{step_in_epoch:5d}/{self.steps_per_epoch:5d}]"
        tqdm.write(f"{progress} time: {seconds_per_step:4.4f}/it loss: {loss:.3f}")


def _to_floats(scalars: dict[str, tf.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in scalars.items()}
