"""What the benchmarks share: timing calls, naming the machine, and the rows of one table."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

HEADER = "| measured | median, ms | middle half, ms | |\n| --- | --- | --- | --- |"
# What a CPU must know for a matrix product to be fast, in low precision too.
_UNITS = ("avx2", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "asimd")


def time_calls(function: Callable[[], object], rounds: int, calls: int = 1, warm_up: int = 2) -> list[float]:
    """The seconds of a call, one figure for each round of so many calls, after further rounds to warm up."""
    seconds = []
    for _ in range(warm_up + rounds):
        started = time.perf_counter()
        for _ in range(calls):
            function()
        seconds.append((time.perf_counter() - started) / calls)
    return seconds[warm_up:]


def time_in_turns(functions: Sequence[Callable[[], object]], rounds: int, warm_up: int = 3) -> list[list[float]]:
    """The seconds of each call of each function, one after the other, so that a busy machine slows all alike."""
    turns = [[time_calls(function, 1, warm_up=0)[0] for function in functions] for _ in range(warm_up + rounds)]
    return [list(seconds) for seconds in zip(*turns[warm_up:])]


def row(name: str, seconds: Sequence[float], note: str = "") -> str:
    """A row of the table; half of the times lie in the range that it names."""
    lower, _, upper = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [seconds[0]] * 3
    return f"| {name} | {1e3 * statistics.median(seconds):.1f} | {1e3 * lower:.1f} to {1e3 * upper:.1f} | {note} |"


def describe_machine() -> str:
    """The processor, its cores in use and its vector units, the GPUs, and the versions that compute."""
    import keras
    import tensorflow as tf

    from sfmlearner_tf.device import list_gpus

    cpu = _read_cpu()
    known = cpu.get("flags", cpu.get("Features", "")).split()
    units = ", ".join(unit for unit in _UNITS if unit in known)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpus = ", ".join(list_gpus()) or "no GPU"
    name = cpu.get("model name", platform.machine())
    return f"{name}, {cores} cores ({units}); {gpus}; TensorFlow {tf.__version__}, Keras {keras.__version__}"


def _read_cpu() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if path.exists() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
