"""The benchmark of training steps: its processes, and what it says of those it cannot start."""

import sys

import pytest

from benchmarks import training_step
from benchmarks.training_step import TrainingStepOptions
from benchmarks.worker import Worker
from utils.errors import UserError

_SERVES = "from benchmarks import worker; worker.serve(lambda: None, {'gflop': 1.0})"


def test_a_worker_says_what_it_is_and_runs_on_request():
    worker = Worker([sys.executable, "-c", _SERVES])
    try:
        assert worker.description == {"gflop": 1.0}
        answers = [worker.run() for _ in range(2)]
    finally:
        worker.close()
    assert set(answers[0]) == {"seconds", "processor_seconds", "peak_mb"}
    assert answers[1]["peak_mb"] > 1.0


def test_a_worker_that_ends_is_an_error_with_its_last_words():
    with pytest.raises(UserError, match="ended with status 1: no such thing"):
        Worker([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_without_pytorch_the_others_are_measured(monkeypatch):
    monkeypatch.setattr(training_step, "_has_torch", lambda python: False)
    monkeypatch.setattr(training_step, "Worker", lambda command: command)
    workers, missing = training_step._start(TrainingStepOptions(variants=("ours", "torch")))
    assert list(workers) == ["ours"]
    assert missing == ["torch: PyTorch is not installed; see requirements/benchmarks.txt."]


def test_other_tensorflows_measure_our_fp32_variants():
    options = TrainingStepOptions(variants=("ours", "ours_bf16"), more_pythons=("old/python",))
    names = [name for name, _ in training_step._commands(options)]
    assert names == ["ours", "ours old/python", "ours_bf16"]


def test_rows_compare_with_the_first_variant():
    step = {"seconds": 2.0, "processor_seconds": 3.0, "peak_mb": 100.0}
    found = {
        "ours": {"gflop": 10.0, "versions": "A", "steps": [step]},
        "torch": {"gflop": None, "versions": "B", "steps": [{**step, "seconds": 5.0}]},
    }
    ours, torch = training_step._rows(found)
    assert (ours["GFLOP/s"], torch["GFLOP/s"]) == (5.0, 2.0)
    assert torch["times the first"] == 2.5
