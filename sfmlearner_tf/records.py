"""What a run writes while it trains: progress, summaries, checkpoints and validations."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

import tensorflow as tf
from tqdm import tqdm

from sfmlearner_tf import run_config
from sfmlearner_tf.batch import Batch
from sfmlearner_tf.checkpoint_folder import CheckpointFolder
from sfmlearner_tf.config import TrainConfig
from sfmlearner_tf.curves import Curves
from sfmlearner_tf.data.sequences import Intrinsics
from sfmlearner_tf.device import return_freed_memory
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.learner import SfMLearner
from sfmlearner_tf.summaries import Summaries
from sfmlearner_tf.validation import Validator


class Step(NamedTuple):
    """A step that was taken: its number, its losses, and at every watch_freq-th step the readings of the watchdogs."""

    number: int
    losses: dict[str, tf.Tensor]
    readings: dict[str, float]


class Records:
    """The records of a run that begins after `step`. Of several workers, the chief has them.

    Args:
        config: says when what is due.
        learner: the one that trains.
        checkpoints: where its state goes.
        validator: None for a run without validation.
        steps_per_epoch: after so many steps the release saves.
        step: the last one that was taken.

    Raises:
        UserError: the folder cannot be written to, or an earlier run's curves cannot be read.
    """

    def __init__(
        self,
        config: TrainConfig,
        learner: SfMLearner,
        checkpoints: CheckpointFolder,
        validator: Validator | None,
        steps_per_epoch: int,
        step: int,
    ) -> None:
        self.config = config
        self.checkpoints = checkpoints
        self.validator = validator
        self.steps_per_epoch = steps_per_epoch
        self.first_step = step  # from where this run goes on
        self._summaries = Summaries(config.checkpoint_dir, learner)
        self._curves = Curves(config.checkpoint_dir, last_step=step)
        self._bar = tqdm(total=config.max_steps - 1, initial=step, unit="step", disable=None, dynamic_ncols=True)
        self._reported, self._started = step, time.time()

    def before_step(self, number: int, batch: Batch) -> None:
        """Writes the summaries of a batch where they are due, as the networks see it before they learn from it."""
        if number % self.config.summary_freq == 0:
            self._summaries.write(number, batch)

    def after_step(self, step: Step) -> None:
        """Reports, saves and validates where it is due."""
        self._bar.update()
        if step.readings:
            losses = {name: float(value) for name, value in step.losses.items()}
            self._bar.set_postfix(losses, refresh=False)
        if step.number % self.config.summary_freq == 0:
            self._report(step.number, float(step.losses["total"]))
        if step.number % self.config.save_latest_freq == 0:
            self.save_latest(step.number)
        if step.number % self.steps_per_epoch == 0:
            self.checkpoints.save_step(step.number)
        if self.validator and step.number % self.config.val_freq == 0:
            self._validate(self.validator, step.number)

    def finish(self, step: int, validate: bool) -> None:
        """Saves the last step and, unless that has been done, validates it."""
        self._bar.close()
        print(f"saved {self.save_latest(step)} at step {step}")
        if self.validator and validate and step % self.config.val_freq:
            self._validate(self.validator, step)

    def close(self) -> None:
        """Ends the progress bar and the summaries."""
        self._bar.close()
        self._summaries.close()

    def save_latest(self, step: int) -> str:
        """Writes model.latest; returns its path."""
        path = self.checkpoints.save_latest()
        return_freed_memory()
        return path

    def _validate(self, validator: Validator, step: int) -> None:
        """Measures, prints, draws, and keeps the best weights. What fails there is a warning: training goes on."""
        metrics, metric = validator.measure(), self.config.best_metric
        if not metrics:
            return
        found = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        try:
            self._summaries.write_validation(step, metrics)
            is_best = metrics.get(metric, math.inf) < self._curves.best(metric)
            kept = f", the best {metric} so far: kept as {self.checkpoints.save_best()}" if is_best else ""
            tqdm.write(f"validation at step {step}: {found}{kept}")
            self._curves.add(step, metrics)
            if "fx" in metrics:
                learned = {name: metrics[name] for name in metrics if name.split("_")[0] in Intrinsics._fields}
                run_config.write(self.config, self.config.checkpoint_dir, learned)
        except UserError as error:
            tqdm.write(f"warning: validation at step {step}: {error}")

    def _report(self, step: int, loss: float) -> None:
        """Prints the release's line."""
        seconds_per_step = (time.time() - self._started) / (step - self._reported)
        epoch = math.ceil(step / self.steps_per_epoch)
        step_in_epoch = step - (epoch - 1) * self.steps_per_epoch
        progress = f"Epoch: [{epoch:2d}] [{step_in_epoch:5d}/{self.steps_per_epoch:5d}]"
        tqdm.write(f"{progress} time: {seconds_per_step:4.4f}/it loss: {loss:.3f}")
        self._reported, self._started = step, time.time()
