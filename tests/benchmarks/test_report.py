"""The report of a benchmark: its ratios, its table, its file."""

import dataclasses
import json

import pytest

from benchmarks import report
from benchmarks.report import Report, ReportOptions, Row
from common import Options
from utils.errors import OptionError, UserError


@dataclasses.dataclass(frozen=True)
class Sizes(Options):
    """Options of a benchmark."""

    sizes: tuple = (1, 2)


def test_a_ratio_relates_speeds_repetition_by_repetition():
    fast, slow = Row("fast", "s", (1.0, 2.0)), Row("slow", "s", (2.0, 8.0))
    assert report.ratio(fast, slow) == Row("fast / slow", "ratio", (2.0, 4.0))


def test_a_ratio_of_rates_has_the_same_direction():
    fast, slow = Row("fast", "images/s", (8.0,)), Row("slow", "images/s", (2.0,))
    assert report.ratio(fast, slow, factor=3.0).values == (12.0,)


def test_rates_are_counts_over_seconds():
    assert report.rates("a", [0.5, 2.0], 8, "images/s", MB=1) == Row(
        "a", "images/s", (16.0, 4.0), {"MB": 1}
    )


def test_the_file_holds_figures_conditions_and_options(tmp_path, capsys):
    path = tmp_path / "figures.json"
    run = Report("some", ReportOptions(json_path=str(path)), Sizes())
    rows = [Row("a", "s", (3.0, 1.0, 2.0), {"MB": 7}), Row("b", "s", (1.0, 1.0, 1.0))]
    run.publish(rows, [report.ratio(*rows)], heading="Two.", missing={"c": "no such processor."})
    content = json.loads(path.read_text())
    assert content["what"] == "some"
    assert content["machine"]["cores"] >= 1
    assert set(content["versions"]) == {"deeplabv3", "python", "tensorflow", "numpy"}
    # How often, and where it is written, does not keep two runs from being compared.
    assert content["options"] == {"sizes": [1, 2]}
    assert content["rows"][0] == {
        "name": "a",
        "unit": "s",
        "median": 2.0,
        "lowest": 1.0,
        "highest": 3.0,
        "values": [3.0, 1.0, 2.0],
        "besides": {"MB": 7},
    }
    assert content["ratios"][0]["values"] == [1 / 3, 1.0, 0.5]
    assert content["missing"] == {"c": "no such processor."}
    printed = capsys.readouterr().out
    assert "| a | s | 2 | 1 | 3 | 7 |" in printed
    assert "c: not here: no such processor." in printed


def test_a_run_is_compared_with_the_file_of_an_earlier_one(tmp_path, capsys):
    path = str(tmp_path / "old.json")
    row = Row("a", "s", (1.0, 1.0, 1.0))
    Report("some", ReportOptions(json_path=path)).publish([row], heading="Before.")
    slower = dataclasses.replace(row, values=(2.0, 2.0, 2.0))
    Report("some", ReportOptions(compare=path)).publish([slower], heading="After.")
    assert "a (s) SLOWER, +100.0 %" in capsys.readouterr().out


def test_paths_are_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(OptionError, match="is a folder"):
        Report("some", ReportOptions(json_path=str(tmp_path)))
    with pytest.raises(UserError, match="cannot be read"):
        Report("some", ReportOptions(compare=str(tmp_path / "none.json")))
