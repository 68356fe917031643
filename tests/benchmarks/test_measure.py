"""The helpers of benchmarks."""

import json
import time

import pytest

from benchmarks import measure


def test_functions_are_timed_in_turn_after_one_run_that_does_not_count():
    calls = []
    functions = {"slow": lambda: (calls.append("slow"), time.sleep(0.02))}
    functions["fast"] = lambda: calls.append("fast")
    seconds = measure.interleaved(functions, 2)
    assert calls == ["slow", "fast"] * 3
    assert {name: len(values) for name, values in seconds.items()} == {"slow": 2, "fast": 2}
    assert min(seconds["slow"]) > max(seconds["fast"])


def test_the_conditions_are_what_a_figure_depends_on(tmp_path):
    found = measure.conditions()
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["tensorflow"] in measure.in_words(found)
    measure.write_json(str(tmp_path / "figures.json"), found)
    assert json.loads((tmp_path / "figures.json").read_text()) == found


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1,234"), (0.02816, "0.0282"), (7, "7")])
def test_tables_have_short_numbers_to_the_right(value, text):
    lines = measure.table([{"what": "a", "rate": value}]).split("\n")
    assert lines == ["| what | rate |", "| --- | ---: |", f"| a | {text} |"]
