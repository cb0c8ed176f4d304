"""Decoded examples are kept, in memory or on the disk, so that from the second pass on no picture is read or decoded.

A cache belongs to one process and is filled as examples come. It is kept by the example, not by its place in the order,
so it serves any order, any share of a batch and a list that loses examples on the way. All of it is done by TensorFlow:
a thread that reads ahead and waits for Python could hold up the end of the process.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from sfmlearner_tf.batch import Batch
from sfmlearner_tf.data.formatted import Example
from sfmlearner_tf.errors import UserError


class Cache:
    """Decoded examples in memory."""

    place = "memory"
    summary = ""  # what it may take, and what there is

    def __init__(self) -> None:
        self._numbers: dict[Example, int] = {}
        self._table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.string, default_value="")

    def find_free(self) -> float:
        """How many bytes can be kept."""
        return find_free_memory()

    def number(self, examples: Sequence[Example]) -> list[int]:
        """The number of each example in this cache."""
        return [self._numbers.setdefault(example, len(self._numbers)) for example in examples]

    def through(self, load: Callable[[tf.Tensor], Batch]) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Batch]:
        """`load`, from a stem to an example, in a form that loads none twice.

        It also takes the example's number in this cache and its place in the endless order.
        """
        spec = tf.data.Dataset.from_tensors("").map(tf.autograph.experimental.do_not_convert(load)).element_spec
        specs = tf.nest.flatten(spec)

        def load_and_keep(stem: tf.Tensor, number: tf.Tensor, place: tf.Tensor) -> list[tf.Tensor]:
            # The place too, for two threads may load the same example, and a third read what the first has written.
            name = tf.strings.join([tf.strings.as_string(number), tf.strings.as_string(place)], separator="-")
            parts = tf.nest.flatten(load(stem))
            record = tf.io.serialize_tensor(tf.stack([tf.io.serialize_tensor(part) for part in parts]))
            with tf.control_dependencies([self._table.insert(number, self._write(record, name))]):
                return [tf.identity(part) for part in parts]

        def read(kept: tf.Tensor) -> list[tf.Tensor]:
            parts = tf.io.parse_tensor(self._read(kept), tf.string)
            return [tf.io.parse_tensor(parts[i], part.dtype) for i, part in enumerate(specs)]

        def load_once(stem: tf.Tensor, number: tf.Tensor, place: tf.Tensor) -> Batch:
            kept = self._table.lookup(number)
            parts = tf.cond(tf.strings.length(kept) > 0, lambda: read(kept), lambda: load_and_keep(stem, number, place))
            shaped = [tf.ensure_shape(part, known.shape) for part, known in zip(parts, specs)]
            return tf.nest.pack_sequence_as(spec, shaped)

        return load_once

    def _write(self, record: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
        """Keeps the bytes of an example; gives what the table holds of it."""
        return record

    def _read(self, kept: tf.Tensor) -> tf.Tensor:
        return kept


class DiskCache(Cache):
    """A cache of one file an example, in a new folder of the temporary folder; the table holds their paths.

    Raises:
        UserError: no folder can be made there.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            self.place = tempfile.mkdtemp(prefix="sfmlearner-cache-")
        except OSError as error:
            raise UserError(f"cache=disk: expected a temporary folder to write to (TMPDIR); {error.strerror}") from None
        # Whatever ends this process, kill -9 too, closes the pipe; then the shell removes the folder.
        remover = subprocess.Popen(
            ["sh", "-c", 'cat; rm -rf "$0"', self.place],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal goes to all of a session
        )
        # At the end of the process it is too early: files may still be written.
        weakref.finalize(self, remover.communicate).atexit = False

    def find_free(self) -> float:
        return shutil.disk_usage(self.place).free

    def _write(self, record: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
        path = tf.strings.join([self.place, name], separator="/")
        with tf.control_dependencies([tf.io.write_file(path, record)]):
            return tf.identity(path)

    def _read(self, kept: tf.Tensor) -> tf.Tensor:
        return tf.io.read_file(kept)


_CACHES = {"memory": Cache, "disk": DiskCache}


def open_cache(kind: str, count: int, example_bytes: int) -> Cache:
    """An empty cache, "memory" or "disk", for so many examples of so many bytes.

    Raises:
        UserError: there is less memory, or disk, than they need.
    """
    cache = _CACHES[kind]()
    needed, free = count * example_bytes, cache.find_free()
    if needed > free:
        raise UserError(
            f"cache={kind}: expected {needed / 1e6:,.1f} MB in {cache.place} for {count:,} decoded examples, "
            f"found {free / 1e6:,.1f} MB free"
        )
    cache.summary = f"cache={kind}: up to {needed / 1e6:,.1f} MB in {cache.place}, where {free / 1e6:,.1f} MB are free"
    return cache


def find_free_memory(root: str = "/") -> float:
    """How many bytes of memory a process can still take, by the system and by the limits of its control groups.

    Args:
        root: the folder where `proc` and `sys` are. Where they do not tell, there is no limit: infinity.
    """
    free = _read_numbers(Path(root, "proc/meminfo")).get("MemAvailable:", math.inf) * 1024
    return min([free, *_find_free_in_groups(Path(root))])


# The files of a control group and the part of the use that is given back when needed, in its two versions.
_GROUP_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def _find_free_in_groups(root: Path) -> Iterator[float]:
    with contextlib.suppress(OSError):
        for line in Path(root, "proc/self/cgroup").read_text().splitlines():
            _, controller, path = line.split(":", 2)
            top = Path(root, "sys/fs/cgroup", controller)
            limit, used, spare = _GROUP_FILES.get(controller, ("", "", ""))
            # A limit of any group above holds too. In a container the path may be that outside: only its top is there.
            for group in [top / path[1:], *(top / path[1:]).parents] if limit else []:
                # "max" is no number: no limit.
                with contextlib.suppress(OSError, ValueError):
                    free = int((group / limit).read_text()) - int((group / used).read_text())
                    yield free + _read_numbers(group / "memory.stat").get(spare, 0)


def _read_numbers(path: Path) -> dict[str, int]:
    """The first number of each line by the word before it; empty where there is no such file."""
    with contextlib.suppress(OSError):
        return {words[0]: int(words[1]) for words in map(str.split, path.read_text().splitlines())}
    return {}
