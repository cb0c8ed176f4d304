import csv
import json
import re
from pathlib import Path

import pytest

from kitti_eval import published, report, reproduction
from kitti_eval.depth_metrics import DepthErrors

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(
    ("metric", "ours", "verdict"),
    [
        ("abs_rel", 0.2004, "equal"),
        ("abs_rel", 0.209, "close"),
        ("abs_rel", 0.22, "worse"),
        ("abs_rel", 0.15, "better"),
        ("a1", 0.15, "worse"),
        ("a1", 0.25, "better"),
    ],
)
def test_verdicts(metric, ours, verdict):
    cell = report.judge(metric, ours, 0.2)
    assert cell.verdict == verdict
    assert cell.difference == pytest.approx(ours - 0.2)


def test_the_table_as_text():
    comparison = report.compare_depth("80 m", DepthErrors(*[0.5] * 7), "K", DepthErrors(*[0.25] * 7))
    lines = report.format_comparison(comparison).splitlines()
    assert lines[0] == "80 m, against K"
    assert lines[2].split() == ["abs_rel", "0.500", "0.250", "+0.250", "worse"]
    assert lines[8].split() == ["a3", "0.500", "0.250", "+0.250", "better"]


def test_the_page_needs_no_other_file():
    comparison = report.compare_depth("<80 m>", DepthErrors(*[0.5] * 7), "K & CS", DepthErrors(*[0.25] * 7))
    section = report.Section("Depth", ["a < b"], [comparison], [report.Picture("best", b"\x89PNG")])
    page = report.render_report("Report", [section])
    assert "data:image/png;base64,iVBORw==" in page
    assert "&lt;80 m&gt;" in page
    assert "K &amp; CS" in page
    assert "a &lt; b" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_published_numbers_equal_the_facts():
    facts = json.loads((GOLDEN / "paper_numbers.json").read_text())
    for cap in (80, 50):
        expected = {
            re.sub(r" \((abs_rel |un)verified\)", "", model): tuple(errors.values())
            for model, errors in facts[f"kitti_eigen_depth_cap_{cap}"].items()
        }
        assert published.read_published_depth(cap) == expected
    for sequence in ("09", "10"):
        expected_ate = {method: tuple(row[sequence]) for method, row in facts["kitti_odometry_5_frame_ate"].items()}
        assert published.read_published_ate(sequence) == expected_ate
        odometry = facts["full_trajectory_of_the_original (third party)"]
        assert published.read_published_odometry()[sequence] == (
            odometry["t_err_percent"][sequence],
            odometry["r_err_deg_per_100m"][sequence],
        )


def test_the_table_tells_which_numbers_are_from_memory_and_none_of_these_is_compared_with():
    facts = json.loads((GOLDEN / "paper_numbers.json").read_text())
    found = {"": "all", " (unverified)": "nothing", " (abs_rel verified)": "abs_rel"}
    with Path(published.__file__).with_name("published_depth.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    for row in rows:
        models = facts[f"kitti_eigen_depth_cap_{row['max_depth_m']}"]
        assert [row["found_in_a_source"]] == [text for mark, text in found.items() if row["model"] + mark in models]
        assert row["found_in_a_source"] == "all" or row["model"] not in reproduction.DEPTH_ROWS
