import subprocess
import sys

from kitti_eval.locks import lock_folder


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path):
    command = [sys.executable, "-m", "sfmlearner_tf.tools.demo", f"--output_dir={tmp_path}"]
    with lock_folder(tmp_path):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {tmp_path}: another process works in this folder")
        assert len(done.stderr.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
