"""Several devices, or several machines, that train on one batch together (tf.distribute)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from sfmlearner_tf.errors import UserError, first_line

# What TensorFlow raises where another worker has ended or cannot be reached.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


@dataclass(frozen=True)
class Workers:
    """The processes of a run.

    strategy: of TensorFlow, the default one for a single device.
    index: which of them this one is, from 0 on.
    count: how many there are.
    """

    strategy: tf.distribute.Strategy
    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes: checkpoints, records and the console."""
        return self.index == 0

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Where the learner has to be made."""
        with self.strategy.scope(), tf.variable_creator_scope(_synchronize_on_write):
            yield

    @contextmanager
    def explain_loss(self) -> Iterator[None]:
        """Makes a UserError of what TensorFlow raises when another worker is gone."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            reasons = [line for line in error.message.splitlines() if "aborted by: " in line]
            reason = reasons[0].split("aborted by: ")[1][:200] if reasons else first_line(error)
            raise UserError(
                f"another worker has ended or cannot be reached ({reason}); once all are started again, as many as you "
                "like, continue_train goes on from the last checkpoint"
            ) from None

    def any(self, value: bool) -> bool:
        """Whether `value` is true in one of the workers, all of which must ask."""
        return value if self.count == 1 else bool(_any(self.strategy, tf.constant(value)))

    def part(self) -> None:
        """Waits until all have come this far: one that ended earlier could leave another without the last sum."""
        with suppress(*_LOST):
            self.any(True)


def join(kind: str, batch_size: int) -> Workers:
    """Joins the other workers of a run, and waits for them.

    Args:
        kind: "none", "mirrored" (all GPUs of this machine) or "multi_worker" (TF_CONFIG says which).
        batch_size: that of the whole run.

    Raises:
        UserError: TF_CONFIG is not as TensorFlow expects it, or batch_size cannot be shared out evenly.
    """
    index, count = _read_tf_config() if kind == "multi_worker" else (0, 1)
    if count > 1:
        workers = Workers(tf.distribute.MultiWorkerMirroredStrategy(), index, count)
    elif kind == "none" or len(devices := _list_devices()) == 1:
        return Workers(tf.distribute.get_strategy())
    else:
        workers = Workers(tf.distribute.MirroredStrategy(devices))
    replicas = workers.strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise UserError(f"batch_size must be a multiple of the {replicas} devices that share it, got {batch_size}")
    return workers


def split(strategy: tf.distribute.Strategy, values: Any) -> Any:
    """Gives each device of this worker its part of tensors [B, ...], in any structure."""
    if strategy.num_replicas_in_sync == 1:
        return values
    count = len(strategy.extended.worker_devices)
    flat = [tf.split(value, count) for value in tf.nest.flatten(values)]

    def part_of(context: tf.distribute.ValueContext) -> Any:
        index = context.replica_id_in_sync_group % count
        return tf.nest.pack_sequence_as(values, [parts[index] for parts in flat])

    return strategy.experimental_distribute_values_from_function(part_of)


def make_counter(name: str, first: int = 0) -> tf.Variable:
    """A whole number that all replicas change together."""
    # int64, since TensorFlow keeps int32 variables on the host, where XLA on a GPU cannot reach them.
    aggregation = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(first, dtype=tf.int64, trainable=False, name=name, aggregation=aggregation)


def add_over_replicas(scalars: Any) -> Any:
    """The sums over all replicas of scalars in any structure; each replica calls it. Differentiable."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return scalars
    flat = tf.nest.flatten(scalars)
    tensors = [value for value in flat if tf.is_tensor(value)]
    context = tf.distribute.get_replica_context()
    sums = iter(tf.unstack(context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stack(tensors))))
    added = [next(sums) if tf.is_tensor(value) else value * replicas for value in flat]
    return tf.nest.pack_sequence_as(scalars, added)


def mean_over_replicas(tensors: Any) -> Any:
    """The means over all replicas of tensors in any structure; each replica calls it."""
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
        return tensors
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, tensors)


def _list_devices() -> list[str]:
    """The GPUs of this machine, or its CPUs."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]


def _synchronize_on_write(create: Callable[..., tf.Variable], **options: Any) -> tf.Variable:
    """Makes a variable such as a moving average equal on all replicas at once, so that one worker may read it alone."""
    if options.get("synchronization") == tf.VariableSynchronization.ON_READ:
        options["synchronization"] = tf.VariableSynchronization.ON_WRITE
    return create(**options)


@tf.function
def _any(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    counts = strategy.run(lambda: add_over_replicas(tf.cast(value, tf.float32)))
    return strategy.experimental_local_results(counts)[0] > 0


_TF_CONFIG = '{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 0}}'


def _read_tf_config() -> tuple[int, int]:
    """Which worker this is, and of how many; a chief, where there is one, is the first."""
    text = os.environ.get("TF_CONFIG", "")
    try:
        found = json.loads(text)
        tasks = [(job, index) for job in ("chief", "worker") for index in range(len(found["cluster"].get(job, ())))]
        return tasks.index((found["task"]["type"], found["task"]["index"])), len(tasks)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"distribute=multi_worker: expected TF_CONFIG such as {_TF_CONFIG}, found {text[:200] or 'nothing'}"
        ) from None
