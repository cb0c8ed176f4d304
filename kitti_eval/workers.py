"""Parallel maps over processes or threads, in order and with bounded memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Callable, TypeVar

from kitti_eval.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], num_processes: int
) -> Generator[tuple[Item, Result], None, None]:
    """Yields (item, function(item)) in order, with only a few items in progress at a time.

    `function` must be picklable. One process means the calling one. Raises UserError if a worker is killed.
    """
    if num_processes == 1:
        for item in items:
            yield item, function(item)
        return
    # Spawned, because forked workers would inherit the caller's threads and locks.
    executor = ProcessPoolExecutor(num_processes, multiprocessing.get_context("spawn"), _start_worker)
    under_way: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            with _interrupts_blocked():
                under_way.append((item, executor.submit(function, item)))
            if len(under_way) > 2 * num_processes:
                done, future = under_way.popleft()
                yield done, future.result()
        for done, future in under_way:
            yield done, future.result()
    except BrokenProcessPool:
        raise UserError(
            "a worker process was killed, perhaps for lack of memory: run again with fewer processes"
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """Yields function(item) in order; threads work up to `ahead` items ahead."""
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor() as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Keeps Ctrl-C from workers that still start; this process gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """Leaves Ctrl-C to the main process, and ends the worker if the main process is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()
