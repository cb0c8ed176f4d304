import re
import subprocess
import sys
from html.parser import HTMLParser

from forked import run_forked
from kitti_eval.locks import lock_folder


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path):
    command = [sys.executable, "-m", "sfmlearner_tf.tools.demo", f"--output_dir={tmp_path}"]
    with lock_folder(tmp_path):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {tmp_path}: another process works in this folder")
        assert len(done.stderr.splitlines()) == 1
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


class Page(HTMLParser):
    """The text of a page's cells, and its pictures."""

    def __init__(self):
        super().__init__()
        self.cells, self.pictures, self.open = [], [], []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.pictures.append(dict(attrs))
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def test_a_small_demo_ends_with_a_page_of_what_it_printed(tmp_path):
    folder = tmp_path / "a & b"
    sizes = ("--steps=2", "--num_train_scenes=2", "--num_test_scenes=1", "--frames_per_scene=7")
    result = run_forked("-m", "sfmlearner_tf.tools.demo", f"--output_dir={folder}", *sizes, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"page:        {folder}/index.html" in result.stdout
    page = Page()
    page.feed((folder / "index.html").read_text())
    assert page.open == []
    printed = re.findall(
        r"^(mean depth, mean motion|before training|after training) +(\S+) +(\S+)$", result.stdout, re.M
    )
    assert len(printed) == 3
    assert page.cells == [cell for row in printed for cell in row]
    shown = [picture["src"] for picture in page.pictures]
    assert shown == ["prediction.png", "loss.png", "checkpoints/validation.png"]
    assert all((folder / name).stat().st_size > 1000 for name in shown)
    assert all(picture["alt"] for picture in page.pictures)
