"""Figures of a benchmark: ratios, table, file, and the comparison with an earlier run."""

import dataclasses
import json

import pytest

from benchmarks import runner
from benchmarks.runner import BenchmarkOptions, Row, Run
from common import Options
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.once

MACHINE = {"processor": "A", "cores": 2, "load_average": 0.0, "system": "Linux"}


@dataclasses.dataclass(frozen=True)
class Sizes(Options):
    """Options of a benchmark."""

    sizes: tuple = (1, 2)


def figure(values, unit="s", name="step"):
    return Row(name, unit, tuple(values)).to_dict()


def content(rows=(), ratios=(), **changed):
    return {
        "what": "some",
        "time": "2026-01-01",
        "machine": MACHINE,
        "versions": {"tensorflow": "2.21.0"},
        "commit": "abc",
        "options": {"crop": 257, "sizes": [1, 2]},
        "rows": list(rows),
        "ratios": list(ratios),
        **changed,
    }


def test_functions_are_timed_in_turn_after_an_untimed_call():
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = runner.interleaved(functions, 2)
    assert calls == ["a", "b"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_ratios_relate_speeds_repetition_by_repetition():
    fast, slow = Row("fast", "s", (1.0, 2.0)), Row("slow", "s", (2.0, 8.0))
    assert runner.ratio(fast, slow) == Row("fast / slow", "ratio", (2.0, 4.0))
    fast, slow = Row("fast", "images/s", (8.0,)), Row("slow", "images/s", (2.0,))
    assert runner.ratio(fast, slow, factor=3.0).values == (12.0,)


def test_rates_are_counts_over_seconds():
    expected = Row("a", "images/s", (16.0, 4.0), {"MB": 1})
    assert runner.rates("a", [0.5, 2.0], 8, "images/s", MB=1) == expected


def test_the_file_holds_figures_conditions_and_options(tmp_path, capsys):
    path = tmp_path / "figures.json"
    rows = [Row("a", "s", (3.0, 1.0, 2.0), {"MB": 7}), Row("b", "s", (1.0, 1.0, 1.0))]
    run = Run("some", BenchmarkOptions(json_path=str(path)), Sizes())
    run.publish(rows, [runner.ratio(*rows)], heading="Two.", missing={"c": "no processor"})
    found = json.loads(path.read_text())
    assert (found["what"], found["options"]) == ("some", {"sizes": [1, 2]})
    assert {"processor", "cores"} <= set(found["machine"])
    assert found["rows"][0] == {
        **{"name": "a", "unit": "s", "median": 2.0, "lowest": 1.0, "highest": 3.0},
        **{"values": [3.0, 1.0, 2.0], "besides": {"MB": 7}},
    }
    assert found["missing"] == {"c": "no processor"}
    shown = capsys.readouterr().out
    assert "| a | s | 2 | 1 | 3 | 7 |" in shown
    assert "c: not measured: no processor" in shown
    # Compared with itself: nothing changed, also not the tuple that a file makes a list.
    again = Run("some", BenchmarkOptions(compare=str(path)), Sizes())
    again.publish(rows, heading="Two.")
    assert "| a | s | 2 | 2 | 0 |  |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        # The gap is 2, more than half of the spread of 2.
        ([10, 11, 12], [14, 15, 16], "SLOWER"),
        ([14, 15, 16], [10, 11, 12], "FASTER"),
        # The gap is at most half of the wider spread.
        ([10, 11, 12], [13, 14, 15], ""),
        ([10, 11, 12], [14, 15, 20], ""),
        ([10, 11, 20], [21, 22, 23], ""),
        # The values overlap.
        ([10.0, 10.1, 10.2], [10.2, 15.0, 15.1], ""),
        # A gap, but less than the smallest change.
        ([10.00, 10.01, 10.02], [10.20, 10.21, 10.22], ""),
        ([10.00, 10.01, 10.02], [10.40, 10.41, 10.42], "SLOWER"),
        ([10, 11], [20, 21, 22], "too few repetitions"),
    ],
)
def test_a_change_is_a_gap_beyond_half_of_the_wider_spread(before, now, expected):
    assert runner.verdict(figure(before), figure(now)) == expected


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("images/s", "FASTER"), ("ratio", "FASTER"), ("s", "SLOWER"), ("MB", "SLOWER")],
)
def test_larger_is_better_for_rates_and_ratios_only(unit, expected):
    assert runner.verdict(figure([1, 1, 1], unit), figure([2, 2, 2], unit)) == expected


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"machine": {**MACHINE, "processor": "B"}}, "processor was A, is B"),
        ({"options": {"crop": 513}}, "--crop was 257, is 513"),
    ],
)
def test_only_ratios_are_compared_with_other_machines_or_options(changed, named):
    both = [figure([1, 1, 1])], [figure([1, 1, 1], "ratio", "a / b")]
    shown = runner.compare(content(*both), content(*both, **changed))
    assert named in shown
    assert "| a / b |" in shown
    assert "| step |" not in shown


def test_load_and_new_options_do_not_prevent_a_comparison():
    now = content(
        [figure([1, 1, 1])], machine={**MACHINE, "load_average": 1.0}, options={"crop": 257, "x": 1}
    )
    assert "| step |" in runner.compare(content([figure([1, 1, 1])]), now)


def test_a_figure_of_one_run_or_another_unit_is_not_compared():
    before = content([figure([1, 1, 1], "s"), figure([1, 1, 1], name="old")])
    now = content([figure([1, 1, 1], "ms"), figure([1, 1, 1], name="new")])
    assert "| " not in runner.compare(before, now)


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps(content(what="other"))])
def test_a_file_that_cannot_be_compared_is_refused(tmp_path, text):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(UserError, match=f"--compare={path}"):
        runner.load(str(path), "some")


def test_a_folder_for_the_file_is_refused_before_measuring(tmp_path):
    with pytest.raises(OptionError, match=f"--json_path={tmp_path}"):
        Run("some", BenchmarkOptions(json_path=str(tmp_path)))
