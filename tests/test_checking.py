import numpy as np
import pytest
from PIL import Image

from sfmlearner_tf.data.checking import Layout, check_examples
from sfmlearner_tf.data.formatted import Example, write_example

# No multiple of JPEG's blocks, which therefore mix neighbouring frames.
WIDTH, HEIGHT = 90, 33


def noise(seed, width=WIDTH):
    return Image.fromarray(np.random.RandomState(seed).randint(0, 256, (HEIGHT, width, 3), np.uint8))


def found(folder, *strips):
    """What is wrong with strips of frames, each an example."""
    examples = [Example("a", str(number)) for number in range(len(strips))]
    for example, frames in zip(examples, strips):
        write_example(str(folder), example, frames, (60, 60, 45, 16))
    layout = Layout(str(folder), len(strips[0]), HEIGHT, strips[0][0].width)
    return [note and note.kind for _, note in check_examples(examples, layout)]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_frame_of_one_colour_is_found_wherever_it_is(tmp_path, position):
    frames = [noise(seed) for seed in range(3)]
    frames[position] = Image.new("RGB", (WIDTH, HEIGHT), (90, 20, 160))
    assert found(tmp_path, frames) == ["frame of one colour"]


def test_equal_frames_are_found_and_two_of_three_are_not(tmp_path):
    one, other = noise(0, width=96), noise(1, width=96)
    assert found(tmp_path, [one, one, one], [other, one, one]) == ["frames all the same", None]


def test_faint_pictures_are_sound(tmp_path):
    assert found(tmp_path, [Image.fromarray(np.asarray(noise(seed)) // 16) for seed in range(3)]) == [None]


def test_every_copy_but_the_first_is_named(tmp_path):
    one, other = [noise(seed) for seed in range(3)], [noise(seed) for seed in range(3, 6)]
    copy = "same pictures under two names"
    assert found(tmp_path, one, other, one, one, other) == [None, None, copy, copy, copy]
