"""What a term of the objective is, and how terms are added up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Union

import tensorflow as tf

from sfmlearner_tf.losses.view import View

# Of the pixels, that a mean over some of them counts at the least.
_LEAST_SHARE = 0.05


class Mean(NamedTuple):
    """A weighted mean before the division, so that parts of a batch can be joined by adding each field.

    total: sum of the weighted values. normalizer: sum of the weights. least: the division is by this where the
    normalizer is smaller. All are scalars.
    """

    total: tf.Tensor
    normalizer: tf.Tensor | float
    least: tf.Tensor | float = 0.0

    @classmethod
    def of(cls, values: tf.Tensor) -> Mean:
        """The mean of all values of a tensor; of a scalar it is the scalar."""
        size = values.shape.num_elements()
        return cls(tf.reduce_sum(values), tf.cast(tf.size(values), values.dtype) if size is None else float(size))

    @classmethod
    def where(cls, values: tf.Tensor, counted: tf.Tensor) -> Mean:
        """The mean of the values [B, H, W, C] where `counted` [B, H, W, 1] is 1, not 0.

        Where few pixels count, under 5 %, it is held down instead of blown up.
        """
        normalizer = cls.of(values).normalizer
        share = tf.reduce_mean(counted)
        return cls(tf.reduce_sum(values * counted), normalizer * share, normalizer * _LEAST_SHARE)

    def summed_over(self, count: int) -> Mean:
        """The sum of the means of `count` equal parts of the values."""
        return self._replace(normalizer=self.normalizer / count, least=self.least / count)

    def value(self) -> tf.Tensor:
        """The mean itself, a scalar."""
        if isinstance(self.normalizer, float) and self.least == 0.0:  # as almost always, and cheaper
            return self.total / self.normalizer
        return self.total / tf.maximum(
            tf.cast(self.normalizer, self.total.dtype), tf.cast(self.least, self.total.dtype)
        )


# A scalar, a map of which the mean counts, or several of either, such as one a scale, of which the sum counts.
TermValue = Union[tf.Tensor, Mean, Sequence[Union[tf.Tensor, Mean]]]


class Term(NamedTuple):
    """One idea of the objective.

    name: the key among the losses; the summary is <name>_loss.
    weight: with 0 the term is not computed.
    compute: from the views, from the finest scale on, to what TermValue says.
    """

    name: str
    weight: float
    compute: Callable[[Sequence[View]], TermValue]


def compute_means(terms: Sequence[Term], views: Sequence[View]) -> dict[str, list[Mean]]:
    """The means that the terms consist of, weighted, by the terms' names."""
    return {term.name: _weighted_means(term, views) for term in terms}


def add_up(means: Mapping[str, Sequence[Mean]]) -> dict[str, tf.Tensor]:
    """The losses, scalars: "total" and each term by its name."""
    losses = {
        name: tf.add_n([part.value() for part in parts]) if parts else tf.zeros([]) for name, parts in means.items()
    }
    present = [losses[name] for name, parts in means.items() if parts]
    return {"total": tf.add_n(present) if present else tf.zeros([]), **losses}


def _weighted_means(term: Term, views: Sequence[View]) -> list[Mean]:
    if term.weight == 0:
        return []
    value = term.compute(views)
    parts = [value] if isinstance(value, (tf.Tensor, Mean)) else value
    means = [part if isinstance(part, Mean) else Mean.of(part) for part in parts]
    return [mean._replace(total=term.weight * mean.total) for mean in means]
