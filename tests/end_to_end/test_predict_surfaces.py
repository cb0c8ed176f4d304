"""Pictures of normals and of edges, by the command."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from forked import run_forked
from sfmlearner_tf import SfMLearner, TrainConfig, run_config
from sfmlearner_tf.networks.building import load_network

HEIGHT, WIDTH = 32, 64
CAMERA = "--intrinsics=60,60,45,25"


@pytest.fixture(scope="module")
def ckpt_file(tmp_path_factory):
    """Of a run that learned edges."""
    folder = str(tmp_path_factory.mktemp("run"))
    config = TrainConfig(edges=True, img_height=HEIGHT, img_width=WIDTH)
    run_config.write(config, folder)
    return SfMLearner(config).save(folder)


@pytest.fixture
def picture(tmp_path):
    pixels = np.random.RandomState(0).randint(0, 256, (50, 90, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "street.png")
    return tmp_path / "street.png"


def predict(picture, folder, *flags):
    return run_forked("-m", "sfmlearner_tf.tools.predict", f"--input={picture}", f"--output_dir={folder}", *flags)


def test_normals_and_edges_are_those_of_the_network(picture, tmp_path, ckpt_file):
    out = tmp_path / "out"
    done = predict(picture, out, f"--ckpt_file={ckpt_file}", "--output=normals,edges,npy", CAMERA)
    assert done.returncode == 0, done.stderr
    names = ["street_depth.npy", "street_edges.npy", "street_edges.png", "street_normals.npy", "street_normals.png"]
    assert sorted(path.name for path in out.iterdir()) == names
    normals, edges = np.load(out / "street_normals.npy"), np.load(out / "street_edges.npy")
    assert normals.dtype == edges.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, rtol=1e-5)
    # Every surface that is seen faces the camera.
    columns, rows = np.meshgrid(np.arange(90), np.arange(50))
    rays = np.stack([(columns - 45) / 60, (rows - 25) / 60, np.ones((50, 90))], axis=-1)
    assert (np.sum(normals * rays, axis=-1) < 0).mean() > 0.99
    drawn = np.asarray(Image.open(out / "street_normals.png"))
    np.testing.assert_allclose(drawn, 127.5 * (normals * [1, -1, -1] + 1), atol=0.51)
    network = load_network(ckpt_file, "depth", edges=True)
    seen = np.asarray(Image.open(picture).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), np.float32)
    expected = network(seen[np.newaxis] / 127.5 - 1)[4][0, ..., 0].numpy()
    assert edges.shape == (50, 90)
    assert [edges.min(), edges.max()] == pytest.approx([expected.min(), expected.max()], abs=0.02)
    assert edges.mean() == pytest.approx(expected.mean(), abs=1e-3)
    drawn = np.asarray(Image.open(out / "street_edges.png"))
    np.testing.assert_allclose(drawn, 255 * edges, atol=0.51)


def test_what_they_need_is_told(picture, tmp_path, ckpt_file, learner_without_edges):
    out = tmp_path / "out"

    def error_of(*flags):
        done = predict(picture, out, *flags)
        assert done.returncode == 1
        assert not out.exists()
        return done.stderr

    assert "normals: expected --intrinsics=fx,fy,cx,cy" in error_of(f"--ckpt_file={ckpt_file}", "--output=normals")
    told = "--output=edges: expected a checkpoint that was trained with --edges, found"
    assert f"{told} none in {learner_without_edges}" in error_of(
        f"--ckpt_file={learner_without_edges}", "--output=edges"
    )
    assert f"{told} --saved_model" in error_of(f"--saved_model={tmp_path}", "--output=edges")
    assert "expected no --refine_steps" in error_of(
        f"--ckpt_file={ckpt_file}", "--output=edges", "--refine_steps=2", CAMERA
    )


@pytest.fixture(scope="module")
def learner_without_edges(tmp_path_factory):
    return SfMLearner(TrainConfig(img_height=HEIGHT, img_width=WIDTH)).save(str(tmp_path_factory.mktemp("plain")))
