"""What counts as a change between two runs of a benchmark."""

import json

import pytest

from benchmarks import comparison
from benchmarks.comparison import FASTER, SLOWER, TOO_FEW, WITHIN
from benchmarks.report import Row
from utils.errors import UserError

MACHINE = {"processor": "A", "cores": 2, "load_average": 0.0, "system": "Linux"}


def figure(values, unit="s", name="step"):
    return Row(name, unit, tuple(values)).to_dict()


def content(rows=(), ratios=(), **changed):
    return {
        "schema": comparison.SCHEMA,
        "what": "some",
        "time": "2026-01-01",
        "machine": MACHINE,
        "versions": {"tensorflow": "2.21.0"},
        "commit": "abc",
        "options": {"crop": 257},
        "rows": list(rows),
        "ratios": list(ratios),
        **changed,
    }


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        # Apart by 2, more than half of the spread of 2.
        ([10, 11, 12], [14, 15, 16], SLOWER),
        ([14, 15, 16], [10, 11, 12], FASTER),
        # Apart by no more than half of the wider spread.
        ([10, 11, 12], [13, 14, 15], WITHIN),
        ([10, 11, 12], [14, 15, 20], WITHIN),
        ([10, 11, 20], [21, 22, 23], WITHIN),
        # One repetition among those of the other run.
        ([10.0, 10.1, 10.2], [10.2, 15.0, 15.1], WITHIN),
        # Apart, but by less than the smallest change.
        ([10.00, 10.01, 10.02], [10.20, 10.21, 10.22], WITHIN),
        ([10.00, 10.01, 10.02], [10.40, 10.41, 10.42], SLOWER),
        ([10, 11], [20, 21, 22], TOO_FEW),
        ([10, 11, 12], [20, 21], TOO_FEW),
    ],
)
def test_a_change_is_a_gap_between_the_runs_beyond_half_of_the_wider_spread(before, now, said):
    assert comparison.verdict(figure(before), figure(now)) == said


@pytest.mark.parametrize(
    ("unit", "said"), [("images/s", FASTER), ("ratio", FASTER), ("s", SLOWER), ("MB", SLOWER)]
)
def test_larger_is_better_for_rates_and_ratios_only(unit, said):
    assert comparison.verdict(figure([1, 1, 1], unit), figure([2, 2, 2], unit)) == said


def test_a_run_compared_with_itself_has_no_change():
    run = content([figure([1, 2, 3])], [figure([1, 2, 3], "ratio", "a / b")])
    rows = comparison.compared(run, run)
    assert [row["verdict"] for row in rows] == [WITHIN, WITHIN]
    assert "Outside the noise: none of 2." in comparison.text("old.json", run, run)


def test_a_changed_figure_is_named_with_its_change():
    before, now = content([figure([1.0, 1.0, 1.0])]), content([figure([1.5, 1.5, 1.5])])
    said = comparison.text("old.json", before, now)
    assert "Outside the noise: 1 of 1: step (s) SLOWER, +50.0 %." in said
    assert "OTHER" not in said


def test_a_machine_that_is_slower_as_a_whole_is_told_from_a_change():
    ratios = [figure([1.0, 1.0, 1.0], "ratio", "a / b")]
    before = content([figure([1.0, 1.0, 1.0])], ratios)
    now = content([figure([1.5, 1.5, 1.5])], ratios)
    assert "No ratio is, as when the machine itself" in comparison.text("x", before, now)
    changed = content([figure([1.5, 1.5, 1.5])], [figure([0.5, 0.5, 0.5], "ratio", "a / b")])
    assert "No ratio" not in comparison.text("x", before, changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"machine": {**MACHINE, "processor": "B"}}, "OTHER MACHINE: processor was A, is B"),
        ({"machine": {**MACHINE, "cores": 4}}, "OTHER MACHINE: cores was 2, is 4"),
        ({"options": {"crop": 513}}, "OTHER OPTIONS: --crop was 257, is 513"),
    ],
)
def test_between_other_machines_or_options_only_ratios_are_compared(changed, said):
    both = [figure([1, 1, 1])], [figure([1, 1, 1], "ratio", "a / b")]
    before, now = content(*both), content(*both, **changed)
    assert said in comparison.text("old.json", before, now)
    assert [row["name"] for row in comparison.compared(before, now)] == ["a / b"]


def test_load_system_and_new_options_do_not_keep_figures_from_being_compared():
    machine = {**MACHINE, "load_average": 1.0, "system": "Linux 7"}
    before, now = content([figure([1, 1, 1])]), content([figure([1, 1, 1])], machine=machine)
    now["options"] = {"crop": 257, "new": 1}
    assert len(comparison.compared(before, now)) == 1


def test_a_tuple_of_options_equals_the_list_that_a_file_makes_of_it():
    run = content([figure([1, 1, 1])], options={"nested": [(1, 2)]})
    assert not comparison.differences(json.loads(json.dumps(run)), run)["options"]


def test_figures_of_one_run_only_are_named():
    before, now = content([figure([1, 1, 1], name="old")]), content([figure([1, 1, 1], name="new")])
    said = comparison.text("old.json", before, now)
    assert "Only before: old." in said
    assert "Only now: new." in said
    assert "Nothing can be compared." in said


def test_a_figure_with_another_unit_is_not_compared():
    before, now = content([figure([1, 1, 1], "s")]), content([figure([1, 1, 1], "ms")])
    assert comparison.compared(before, now) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "is no file of a benchmark"),
        ('{"schema": 0, "what": "some"}', "is no file of a benchmark"),
        (json.dumps(content(what="other")), "is of other, not of some"),
    ],
)
def test_a_file_that_cannot_be_compared_is_refused(tmp_path, text, said):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        comparison.load(str(path), "some")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        comparison.load(str(tmp_path / "none.json"), "some")
