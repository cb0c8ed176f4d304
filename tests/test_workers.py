import math
import os

import pytest

from kitti_eval.workers import map_ahead, ordered_map
from sfmlearner_tf.errors import UserError


@pytest.mark.parametrize("num_processes", [1, 2])
def test_results_come_in_the_order_of_the_items(num_processes):
    items = [float(number) for number in range(30)]
    assert list(ordered_map(math.sqrt, iter(items), num_processes)) == [(item, math.sqrt(item)) for item in items]


def test_only_a_few_items_are_taken_ahead():
    taken = []
    results = ordered_map(math.sqrt, (taken.append(item) or item for item in range(1000)), 2)
    next(results)
    results.close()
    assert len(taken) <= 6


def test_a_worker_that_dies_ends_in_one_line():
    with pytest.raises(UserError, match="a worker process was killed"):
        list(ordered_map(os._exit, [1, 1, 1], 2))


def test_threads_keep_the_order_and_work_a_little_ahead():
    taken = []
    results = map_ahead(math.sqrt, (taken.append(item) or float(item) for item in range(100)), ahead=3)
    assert [next(results) for _ in range(10)] == [math.sqrt(item) for item in range(10)]
    assert len(taken) <= 13
    assert len(list(results)) == 90
