"""A page in your browser to try a network: drop a picture or a clip, see its depth, turn its point cloud.

    python tools/viewer.py --ckpt_file=demo/checkpoints/model.latest

The page is at http://127.0.0.1:7860, which only this machine can reach; Ctrl-C ends it. Of a picture it shows the
depth, near is bright; a click there tells how far that place is. Depth is known up to one factor: a slider sets it. The
point cloud turns with the mouse. It needs the camera: --intrinsics, or those that training learned; else a slider gives
the focal length. A clip becomes a video of its depth.

Needs the extra `viewer`, and Python 3.10: pip install 'sfmlearner_tf[viewer]'.
"""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from kitti_eval import command
from sfmlearner_tf import run_config
from sfmlearner_tf.errors import UserError
from sfmlearner_tf.tools.predict_cloud import find_camera
from sfmlearner_tf.tools.predict_networks import check_source

if TYPE_CHECKING:
    from sfmlearner_tf.prediction import DepthPredictor

_CKPT_FILE = flags.DEFINE_string("ckpt_file", None, "Checkpoint, such as folder/model-190532.")
_SAVED_MODEL = flags.DEFINE_string("saved_model", None, "Folder of a SavedModel, instead of a checkpoint.")
_INTRINSICS = flags.DEFINE_string("intrinsics", None, "fx,fy,cx,cy, pixels of the pictures; by default those learned.")
_PORT = flags.DEFINE_integer("port", 7860, "Where the page is; 0 takes the first from 7860 on that is free.", 0, 65535)
_OPEN = flags.DEFINE_bool("open", True, "Open the page in the browser.")


def main() -> None:
    check_source(_CKPT_FILE.value, _SAVED_MODEL.value)
    camera = None
    if _INTRINSICS.value or (_CKPT_FILE.value and run_config.read_intrinsics(os.path.dirname(_CKPT_FILE.value))):
        camera = find_camera("--intrinsics", _INTRINSICS.value, _CKPT_FILE.value)
    with tempfile.TemporaryDirectory() as folder:
        # Nothing that is looked at leaves this machine, and nothing is fetched.
        os.environ.update(GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1", GRADIO_TEMP_DIR=folder)
        # The page asks itself whether it is there, which no proxy can tell.
        os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
        try:
            from sfmlearner_tf.tools import viewer_page
        except ImportError as error:
            raise UserError(f"the viewer needs {error.name}: pip install 'sfmlearner_tf[viewer]'") from None
        from sfmlearner_tf.device import set_up_gpus

        set_up_gpus()
        network, source = _load_network()
        viewer = viewer_page.Viewer(network, camera, source, Path(folder))
        with viewer_page.serve(viewer_page.make_page(viewer), _PORT.value, _OPEN.value) as address:
            print(f"{address} shows the depth of what you drop there; Ctrl-C ends it", flush=True)
            threading.Event().wait()


def _load_network() -> tuple[DepthPredictor, str]:
    """The depth network, and the flag of `predict` that names it."""
    from sfmlearner_tf import prediction

    checkpoint, saved_model = _CKPT_FILE.value, _SAVED_MODEL.value
    if saved_model:
        return prediction.SavedModel(saved_model).depth(), f"--saved_model={saved_model}"
    assert checkpoint
    height, width = run_config.find_image_size(checkpoint)
    return prediction.load_depth_predictor(checkpoint, height, width), f"--ckpt_file={checkpoint}"


def cli() -> None:
    """The console command."""
    command.run(main)


if __name__ == "__main__":
    cli()
