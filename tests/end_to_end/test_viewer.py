"""The page that shows the depth of what is dropped on it, used over HTTP as a browser does."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forked import run_forked
from kitti_eval.resize import resize_bilinear
from sfmlearner_tf import prediction
from sfmlearner_tf.data.video import decode_video
from sfmlearner_tf.tools.predict_output import colour_disparity, find_range, open_video
from tiny_saved_model import HEIGHT, WIDTH, write_tiny_saved_model

COMMAND = Path(__file__).parents[2] / "tools" / "viewer.py"
SCALE, FOCAL_LENGTH, FARTHEST = 3.0, 0.5, 20.0

client = pytest.importorskip("gradio_client", reason="gradio needs Python 3.10")
AppError = pytest.importorskip("gradio_client.exceptions").AppError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_tiny_saved_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def page(model):
    """A client of the page, which works beside a proxy that cannot reach it."""
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9"}
    flags = [f"--saved_model={model}", "--port=0", "--noopen"]
    process = subprocess.Popen([sys.executable, COMMAND, *flags], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        said = process.stdout.readline()
        assert "shows the depth of what you drop there; Ctrl-C ends it" in said
        yield client.Client(said.split()[0], verbose=False)
    finally:
        process.terminate()
        process.stdout.close()
        assert process.wait() == 143


@pytest.fixture
def picture(tmp_path):
    """A photo with the alpha of a screenshot, of twice the network's width and three times its height."""
    path = tmp_path / "photo.png"
    pixels = np.random.RandomState(1).randint(0, 256, (3 * HEIGHT, 2 * WIDTH, 4), np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(path)
    return path


def predict_depth(model, picture):
    """The depth of a picture, at the network's size."""
    network = prediction.SavedModel(model).depth()
    with Image.open(picture) as image:
        pixels = prediction.make_resizers(depth=network)["depth"](image.convert("RGB"))
    return network.predict(pixels[None]).numpy()[0]


def test_a_picture_becomes_depth_and_a_cloud_of_points(page, model, picture):
    depth = predict_depth(model, picture)
    dropped = client.handle_file(picture)
    page.predict(dropped, api_name="/predict")
    with Image.open(page.predict(dropped, api_name="/depth")) as shown:
        disparity = resize_bilinear(1 / depth, 3 * HEIGHT, 2 * WIDTH)
        expected = colour_disparity(disparity, find_range([disparity])).astype(int)
        # The page sends WebP.
        assert np.abs(np.asarray(shown.convert("RGB")) - expected).mean() < 8
    nearest, median, farthest = SCALE * np.percentile(depth, (1, 50, 99))
    said = page.predict(SCALE, api_name="/describe")
    assert said.startswith(f"Depth: {nearest:.3g} m (nearest hundredth), {median:.3g} m (median), {farthest:.3g} m")

    answer = page.predict(dropped, SCALE, FOCAL_LENGTH, FARTHEST, api_name="/cloud")
    assert "scatter3d" in str(answer)


def test_a_clip_becomes_a_video_of_its_depth(page, tmp_path):
    path = tmp_path / "clip.mp4"
    with open_video(path, 5) as write:
        for seed in range(4):
            write(np.random.RandomState(seed).randint(0, 256, (48, 64, 3), np.uint8))
    answer = page.predict(client.handle_file(path), api_name="/clip")
    frames = list(decode_video(answer["video"] if isinstance(answer, dict) else answer, []))
    assert [frame.size for frame in frames] == [(64, 96)] * 4


def test_what_is_no_video_is_said_on_the_page(page, tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"damaged")
    with pytest.raises(AppError, match=r"clip.mp4"):
        page.predict(client.handle_file(path), api_name="/clip")


def test_mistakes_end_with_one_line(model, tmp_path):
    def fail(*flags):
        found = run_forked(str(COMMAND), "--noopen", *flags)
        assert found.returncode == 1, found.stderr
        assert found.stderr.count("\n") == 1
        return found.stderr

    assert "expected one of --ckpt_file and --saved_model, found none" in fail()
    assert f"{tmp_path}: expected the folder of a SavedModel" in fail(f"--saved_model={tmp_path}")
    assert "intrinsics: expected four numbers" in fail(f"--saved_model={model}", "--intrinsics=1,2")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port={port}: expected a port that is free" in fail(f"--saved_model={model}", f"--port={port}")


def test_without_gradio_it_says_what_to_install(model):
    code = f"import sys; sys.modules['gradio'] = None; sys.argv = ['viewer', '--saved_model={model}']\n"
    found = run_forked("-c", code + "from sfmlearner_tf.tools import viewer; viewer.cli()")
    assert found.returncode == 1
    assert found.stderr == "error: the viewer needs gradio: pip install 'sfmlearner_tf[viewer]'\n"
