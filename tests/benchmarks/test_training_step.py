"""The benchmark of training steps: its processes, and what it says of those it cannot start."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import training_step
from benchmarks.training_step import TrainingStepOptions
from benchmarks.worker import Worker
from utils.errors import UserError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
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
    assert missing == {"torch": "PyTorch is not installed; see requirements/benchmarks.txt."}


def test_other_tensorflows_measure_our_fp32_variants():
    options = TrainingStepOptions(variants=("ours", "ours_bf16"), more_pythons=("old/python",))
    names = [name for name, _ in training_step._commands(options)]
    assert names == ["ours", "ours old/python", "ours_bf16"]


STEP = {"seconds": 2.0, "processor_seconds": 3.0, "peak_mb": 100.0}


def steps(seconds, gflop=10.0):
    return {"gflop": gflop, "versions": "A", "steps": [{**STEP, "seconds": seconds}]}


def test_ratios_are_of_images_and_of_ours_over_what_is_not_ours():
    found = {
        "ours": steps(2.0),
        "ours_bf16": steps(1.0),
        "ours_ranks": steps(4.0),
        "torch": steps(5.0, gflop=None),
        "torch_bf16": steps(3.0, gflop=None),
        "product": steps(0.5, gflop=4.0),
    }
    rows, ratios = training_step.figures(found, processes=2)
    assert [row.besides["GFLOP/s"] for row in rows] == [5.0, 10.0, 5.0, 2.0, 10.0 / 3.0, 8.0]
    assert {row.name: row.values[0] for row in ratios} == {
        "ours_bf16 / ours": 2.0,
        # Two batches in twice the time.
        "ours_ranks / ours": 1.0,
        "ours / torch": 2.5,
        "ours_bf16 / torch_bf16": 3.0,
        # 5 of 8 GFLOP/s.
        "ours / product": 0.625,
    }


def test_more_processes_than_cores_are_said_and_not_started(monkeypatch):
    monkeypatch.setattr(training_step, "Worker", lambda command: command)
    options = TrainingStepOptions(variants=("ours", "ours_ranks"), processes=1000)
    workers, missing = training_step._start(options)
    assert list(workers) == ["ours"]
    assert "--processes=1000" in missing["ours_ranks"]


@pytest.mark.slow
def test_what_the_processor_cannot_do_is_a_reason_and_the_rest_is_measured(tmp_path):
    path = tmp_path / "steps.json"
    small = "--model_variant=mobilenet_v2,--depth_multiplier=0.25,--aspp_convs_filters=8"
    command = [sys.executable, "-m", "benchmarks.training_step", "--crop=33", "--batch_size=1"]
    command += ["--variants=ours,ours_bf16", f"--extra_flags={small}", "--repetitions=2"]
    # Without oneDNN bf16 is refused on any processor.
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    subprocess.run([*command, f"--json_path={path}"], check=True, cwd=ROOT, env=environment)
    found = json.loads(path.read_text())
    assert [row["name"] for row in found["rows"]] == ["ours"]
    assert len(found["rows"][0]["values"]) == 2
    assert "--precision_mode=bf16" in found["missing"]["ours_bf16"]
