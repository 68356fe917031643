"""The standard set: all run, failures are named, earlier figures are compared."""

import json

import pytest
from absl import flags

import common
from benchmarks import standard
from benchmarks.standard import StandardOptions
from tests.benchmarks.test_comparison import content, figure
from tests.test_documents import option_classes
from utils.errors import OptionError, UserError

QUICK = ("--num_images=40", "--repetitions=3", "--num_workers=1")


def run(*arguments):
    values = flags.FlagValues()
    common.define_flags(StandardOptions, flag_values=values)
    values(["standard", *arguments])
    standard.main(values)


def test_a_failure_is_named_and_the_others_go_on_and_are_compared(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(standard.RUNS, "conversion", QUICK)
    before, after = tmp_path / "before", tmp_path / "after"
    only = "--only=training_step,conversion"
    monkeypatch.setitem(standard.RUNS, "training_step", ("--crop=1",))
    with pytest.raises(UserError, match="failed: training_step; "):
        run(f"--output={before}", only)
    assert [path.name for path in before.iterdir()] == ["conversion.json"]
    printed = capfd.readouterr().out
    assert "| training_step | FAILED, status 2 |" in printed
    assert "| conversion | convert / bound |" in printed
    run(f"--output={after}", "--only=conversion", f"--compare={before}")
    assert "\nconversion: Outside the noise: " in capfd.readouterr().out


def test_figures_of_an_earlier_run_do_not_stand_for_one_that_failed(tmp_path, monkeypatch):
    monkeypatch.setattr(standard, "RUNS", {"conversion": ("--no_such_flag",)})
    (tmp_path / "conversion.json").write_text("{}")
    with pytest.raises(UserError, match="failed: conversion"):
        run(f"--output={tmp_path}", "--only=conversion")
    assert not (tmp_path / "conversion.json").exists()


def test_the_summary_has_ratios_what_they_relate_and_what_is_not_here():
    rows = [figure([1.0], name="a"), figure([2.0], name="b"), figure([3.0], name="stage")]
    ratios = [figure([2.0, 2.5, 3.0], "ratio", "a / b")]
    said = standard.summary({"some": content(rows, ratios, missing={"c": "no bf16."})})
    assert [line.split(" | ")[1:4] for line in said.split("\n")[2:]] == [
        ["a", "1", "1 to 1"],
        ["b", "2", "2 to 2"],
        ["a / b", "2.5", "2 to 3"],
        ["c", "not here", "no bf16."],
    ]


def test_every_run_is_a_command_whose_flags_exist():
    for name, arguments in standard.RUNS.items():
        classes = option_classes(f"benchmarks.{name}")
        values = flags.FlagValues()
        common.define_flags(*classes, flag_values=values)
        values([name, *arguments])
        for record in classes:
            common.from_flags(record, values)


def test_a_comparison_that_would_overwrite_its_baseline_is_refused(tmp_path):
    with pytest.raises(OptionError, match="would be overwritten"):
        StandardOptions(output=str(tmp_path), compare=f"{tmp_path}/.")
    with pytest.raises(OptionError, match="is no folder of an earlier run"):
        StandardOptions(compare=str(tmp_path / "none"))


def test_the_sentences_of_the_comparison_say_another_machine(tmp_path):
    before = content([figure([1, 1, 1])], [figure([1, 1, 1], "ratio", "a / b")])
    (tmp_path / "some.json").write_text(json.dumps(before))
    now = {**before, "machine": {**before["machine"], "processor": "B"}}
    said = standard._compared(str(tmp_path), {"some": now, "new": now})
    assert said.split("\n") == [
        "some: !!! OTHER MACHINE: only ratios. Outside the noise: none of 1.",
        "new: no earlier figures.",
    ]
