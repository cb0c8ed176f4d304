"""Surface textures of a generated street: functions of a point (p, q) on an infinite plane, in metres.

Textures are filtered in the image with a Gaussian. For a plane wave the result has a closed form, the wave times
exp(-sigma^2 |gradient of its phase|^2 / 2), so no surface, however slanted or far, shows detail finer than the pixels.
`moments` [3, n] holds the factors of x x, x y and y y in that exponent, for a wave vector (x, y).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_FILTER_PX = 0.75  # standard deviation of the Gaussian filter in the image
_WINDOW_M = (2.7, 2.9)  # spacing of windows across and up; the latter is one storey
# Fewer waves per octave would show as stripes; five in random directions look like plaster or leaves.
# Longer waves would hide the edges between objects.
_WAVELENGTHS_M = np.repeat(2.0 * 0.5 ** np.arange(5), 5)


class Waves(NamedTuple):
    """K plane waves on the texture plane; their sum is the random pattern of every surface."""

    vectors: np.ndarray  # [K, 2] rad/m
    phases: np.ndarray  # [K] rad
    amplitudes: np.ndarray  # [K, 2]: of the fine pattern and the coarse tint, each of unit variance in total


def make_waves(rng: np.random.Generator) -> Waves:
    """Random waves with lengths of 2 m down to 0.12 m."""
    count = len(_WAVELENGTHS_M)
    length_m = _WAVELENGTHS_M * 2 ** rng.uniform(-0.5, 0.5, count)
    direction = rng.uniform(0, 2 * np.pi, count)
    vectors = 2 * np.pi / length_m[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=-1)
    # Nearly equal contrast at every scale, so that near and far surfaces both show structure a few pixels wide; the
    # tint uses the coarse waves only.
    fine = length_m**0.3
    coarse = np.where(_WAVELENGTHS_M >= 1, 1.0, 0.0) * np.where(np.arange(count) % 2, 1.0, -1.0)
    amplitudes = np.stack([a / np.sqrt((a**2).sum() / 2) for a in (fine, coarse)], axis=-1)
    return Waves(vectors, rng.uniform(0, 2 * np.pi, count), amplitudes)


def moments(p_u: np.ndarray, q_u: np.ndarray, p_v: np.ndarray, q_v: np.ndarray) -> np.ndarray:
    """[3, n] from the derivatives of p and q, metres per pixel [n], to the right (u) and downwards (v)."""
    squares = np.stack([p_u * p_u + p_v * p_v, 2 * (p_u * q_u + p_v * q_v), q_u * q_u + q_v * q_v])
    squares *= -0.5 * _FILTER_PX**2
    return squares


def pattern_and_tint(waves: Waves, p: np.ndarray, q: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The filtered fine pattern and coarse tint [n] at the texture points p, q [n]."""
    pattern, tint = np.zeros_like(p), np.zeros_like(p)
    phase, damping, term = np.empty_like(p), np.empty_like(p), np.empty_like(p)
    for (x, y), start, (fine, coarse) in zip(waves.vectors.tolist(), waves.phases.tolist(), waves.amplitudes.tolist()):
        np.multiply(p, x, out=phase)
        phase += np.multiply(q, y, out=term)
        phase += start
        np.multiply(moments[0], x * x, out=damping)
        damping += np.multiply(moments[1], x * y, out=term)
        damping += np.multiply(moments[2], y * y, out=term)
        # Never above 0, but by rounding where a face is seen along itself and its terms are huge.
        np.minimum(damping, 0, out=damping)
        np.sin(phase, out=phase)
        phase *= np.exp(damping, out=damping)
        pattern += np.multiply(phase, fine, out=term)
        if coarse:
            tint += np.multiply(phase, coarse, out=term)
    return pattern, tint


def windows(p: np.ndarray, q: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """[n] from 0 between the windows to 1 inside them, with soft edges, filtered in the image."""
    x, y = (2 * np.pi / metres for metres in _WINDOW_M)
    across = np.cos(x * p) * np.exp(moments[0] * (x * x))
    upwards = np.cos(y * q) * np.exp(moments[2] * (y * y))
    return 0.25 * (1 + np.tanh(2 * across)) * (1 + np.tanh(2 * upwards))
