"""The training loop: data, learner, summaries, checkpoints and progress."""

from __future__ import annotations

import math
import signal
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from sfmlearner_tf import checkpoint
from sfmlearner_tf.checkpoint import Checkpoints
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.curves import Curves
from sfmlearner_tf.data import batches
from sfmlearner_tf.data.formatted import Example, read_split
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.learner import SfMLearner
from sfmlearner_tf.summaries import Summaries
from sfmlearner_tf.validation import Validator
from sfmlearner_tf.watchdogs import Watchdogs

# What a checkpoint says about the data: the seed of its order, how many examples were seen, and which there are.
SEED = "train_op/seed"
DATA_POSITION = "train_op/data_position"
DATA_CHECKSUM = "train_op/data_checksum"


class Trainer:
    """Trains as the 2017 release does: steps 1 to max_steps - 1, saving every epoch and every save_latest_freq steps.

    Raises:
        UserError: the data or a checkpoint is not as it must be, or the loss is not finite.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        if not config.dataset_dir:
            raise UserError("--dataset_dir is required: the folder with train.txt that prepare_train_data wrote")
        self.examples = read_split(config.dataset_dir, "train")
        self.steps_per_epoch = max(1, len(self.examples) // config.batch_size)
        try:
            self.learner = SfMLearner(config)
        except ImportError as error:
            raise UserError(f"--sampler=addons needs tensorflow-addons: {error}") from None
        self.data_state = {
            SEED: tf.Variable(config.seed, dtype=tf.int64, trainable=False),
            DATA_POSITION: tf.Variable(0, dtype=tf.int64, trainable=False),
            DATA_CHECKSUM: tf.Variable(_checksum(self.examples), dtype=tf.int64, trainable=False),
        }
        state = {**self.learner.state(), **self.data_state}
        self.checkpoints = Checkpoints(
            config.checkpoint_dir, state, config.max_to_keep, forget=not config.continue_train
        )
        self._start_from()
        self.validator = self._make_validator()
        self.watchdogs = Watchdogs(config.watch_after)

    @property
    def step(self) -> int:
        """The last step that was taken."""
        return int(self.learner.global_step)

    @property
    def position(self) -> int:
        """How many examples were seen."""
        return int(self.data_state[DATA_POSITION])

    def run(self) -> None:
        """Trains to the end, or until Ctrl-C or SIGTERM, after which it saves and raises KeyboardInterrupt."""
        self._introduce()
        last = self.config.max_steps - 1
        if self.step >= last:
            print(f"nothing to do: step {self.step} is reached, and --max_steps={self.config.max_steps} ends at {last}")
            return
        summaries = Summaries(self.config.checkpoint_dir, self.learner)
        bar = tqdm(total=last, initial=self.step, unit="step", disable=None, dynamic_ncols=True)
        try:
            with _catch_stop_signals() as stopped:
                self._loop(last, summaries, bar, stopped)
        finally:
            bar.close()
            summaries.close()
        path = self.checkpoints.save_latest()
        print(f"saved {path} at step {self.step}")
        if stopped:
            print("stopped; --continue_train with the same flags goes on from here")
            raise KeyboardInterrupt

    def _loop(self, last: int, summaries: Summaries, bar: tqdm, stopped: list[int]) -> None:
        config = self.config
        data = iter(batches.make_batches(config, self.examples, self.step, self.position))
        curves = Curves(config.checkpoint_dir, last_step=self.step)
        started = time.time()
        while self.step < last and not stopped:
            batch = self._next_batch(data)
            step = self.step + 1
            if step % config.summary_freq == 0:
                summaries.write(step, *batch)
            losses = self._train(step, batch)
            self.data_state[DATA_POSITION].assign_add(config.batch_size)
            bar.update()
            bar.set_postfix(losses, refresh=False)
            if step % config.summary_freq == 0:
                self._report(losses["total"], (time.time() - started) / config.summary_freq)
                started = time.time()
            if step % config.save_latest_freq == 0:
                self.checkpoints.save_latest()
            if step % self.steps_per_epoch == 0:
                self.checkpoints.save_step(step)
            if self.validator and step % config.val_freq == 0:
                self._validate(self.validator, curves, summaries)

    def _train(self, step: int, batch: tuple[tf.Tensor, ...]) -> dict[str, float]:
        """One step; its losses."""
        if step % self.config.watch_freq:
            losses = _to_floats(self.learner.train_step(*batch))
            self._check_finite(losses)
            return losses
        losses, signs = map(_to_floats, self.learner.watched_step(*batch))
        self._check_finite(losses)
        for alarm in self.watchdogs.look(step, signs):
            if self.config.on_collapse == "stop":
                raise UserError(f"{alarm} (stopped by --on_collapse=stop; the last checkpoint stays as it is)")
            tqdm.write(f"warning: {alarm}")
        return losses

    def _validate(self, validator: Validator, curves: Curves, summaries: Summaries) -> None:
        """Measures, tells, draws, and keeps the best weights."""
        metrics, metric = validator.measure(), self.config.best_metric
        is_best = metrics.get(metric, math.inf) < curves.best(metric)
        kept = f", the best {metric} so far: kept as {self.checkpoints.save_best()}" if is_best else ""
        curves.add(self.step, metrics)
        summaries.write_validation(self.step, metrics)
        found = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        tqdm.write(f"validation at step {self.step}: {found}{kept}")

    def _make_validator(self) -> Validator | None:
        """What validates on the way; nothing where none is due or, as it can be in small data, val.txt is empty."""
        config = self.config
        if not 0 < config.val_freq < config.max_steps:
            return None
        try:
            examples = read_split(config.dataset_dir, "val")
        except UserError as error:
            print(f"no validation: {error}")
            return None
        return Validator(config, self.learner, examples)

    def _start_from(self) -> None:
        config, learner = self.config, self.learner
        if config.continue_train:
            if config.init_checkpoint_file:
                self._go_on_from(config.init_checkpoint_file)
            else:
                self.checkpoints.restore_newest(self._go_on_from)
        elif config.init_checkpoint_file:
            checkpoint.restore(config.init_checkpoint_file, learner.weights)

    def _go_on_from(self, path: str) -> None:
        """Restores a checkpoint and the place in the data where it left off; says what is not as it was."""
        config = self.config
        seed = int(checkpoint.read_scalar(path, SEED, config.seed))
        if seed != config.seed:
            raise UserError(
                f"checkpoint {path} was trained with --seed={seed}, got --seed={config.seed}: going on would take "
                "another order of the data"
            )
        if not self.learner.restore(path):
            print(f"{path} has no state of Adam: its moments start from zero")
        usual = self.step * config.batch_size
        position = int(checkpoint.read_scalar(path, DATA_POSITION, usual))
        self.data_state[DATA_POSITION].assign(position)
        if position != usual:
            print(f"--batch_size was not always {config.batch_size}: the data goes on after {position:,} examples")
        ours = _checksum(self.examples)
        if checkpoint.read_scalar(path, DATA_CHECKSUM, ours) != ours:
            print(f"train.txt of {config.dataset_dir} was another: from here on so is the order of the data")

    def _introduce(self) -> None:
        nets = (self.learner.disp_net, self.learner.pose_exp_net)
        counts = {type(net).__name__: net.count_params() for net in nets}
        for name, count in counts.items():
            print(f"{name}: {count:,} parameters")
        print(f"parameter_count = {sum(counts.values())}")
        print(f"{len(self.examples):,} examples, {self.steps_per_epoch:,} steps per epoch, from step {self.step}")

    def _next_batch(self, data: Iterator) -> tuple[tf.Tensor, ...]:
        try:
            return next(data)
        except tf.errors.OpError as error:
            batches.diagnose(self.config, self.examples, self.position)
            raise UserError(f"cannot read the batch of step {self.step + 1}: {error.message}") from None

    def _check_finite(self, losses: dict[str, float]) -> None:
        if all(np.isfinite(value) for value in losses.values()):
            return
        examples = batches.batch_examples(self.config, self.examples, self.position)
        paths = [example.image_path(self.config.dataset_dir) for example in examples]
        found = ", ".join(f"{name} {value}" for name, value in losses.items())
        raise UserError(
            f"the loss of step {self.step} must be finite, got {found}; its batch: {', '.join(paths)}; "
            "nothing was saved of it (a smaller --learning_rate often helps)"
        )

    def _report(self, loss: float, seconds_per_step: float) -> None:
        """Prints the release's line."""
        epoch = math.ceil(self.step / self.steps_per_epoch)
        step_in_epoch = self.step - (epoch - 1) * self.steps_per_epoch
        progress = f"Epoch: [{epoch:2d}] [{step_in_epoch:5d}/{self.steps_per_epoch:5d}]"
        tqdm.write(f"{progress} time: {seconds_per_step:4.4f}/it loss: {loss:.3f}")


def _to_floats(scalars: dict[str, tf.Tensor]) -> dict[str, float]:
    return {name: float(value) for name, value in scalars.items()}


def _checksum(examples: list[Example]) -> int:
    """Tells lists of examples apart, wherever they lie."""
    return zlib.crc32("\n".join(f"{example.folder} {example.frame}" for example in examples).encode())


@contextmanager
def _catch_stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying of the first one; a second one kills."""
    stopped: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, _: FrameType | None) -> None:
        stopped.append(number)
        tqdm.write("finishing this step, then saving ...")
        for caught in before:
            signal.signal(caught, signal.SIG_DFL)

    for number in before:
        signal.signal(number, stop)
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
