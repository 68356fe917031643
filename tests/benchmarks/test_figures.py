"""What the figures of single benchmarks are computed from."""

import sys

import pytest

from benchmarks import evaluation, networks, runner, training_step
from benchmarks.training_step import TrainingStepOptions
from benchmarks.worker import Worker
from core import layers
from options import averaging
from options.evaluation import EvalOptions
from utils.compat import tf
from utils.errors import UserError

pytestmark = pytest.mark.once


def test_a_convolution_counts_two_operations_per_multiply_add():
    images = tf.zeros([1, 8, 8, 3])
    layers.conv2d(images, 5, 3, stride=2)
    layers.depthwise_conv2d(images, 3)
    layers.conv2d_transpose(images, 7, 4, stride=2)
    counted = [networks.operations_of(op) for op in tf.get_default_graph().get_operations()]
    assert list(filter(None, counted)) == [
        2 * 4 * 4 * 5 * 9 * 3,
        2 * 8 * 8 * 3 * 9,
        2 * 8 * 8 * 3 * 16 * 7,
    ]


def test_six_scales_with_mirrored_images_have_17_times_the_arithmetic():
    options = EvalOptions(eval_scales=evaluation._SCALES, add_flipped_images=True)
    assert averaging.of(options, evaluation._SCALES).cost == pytest.approx(17.4, abs=0.05)
    assert averaging.of(EvalOptions(), (1.0,)).cost == 1.0


def test_ratios_of_evaluation_include_the_arithmetic():
    cases = {"bare network": (None, 8, 1.0), "six + flip": (None, 4, 10.0)}
    seconds = {"bare network": [(4.0, 8.0), (4.0, 8.0)], "six + flip": [(20.0, 50.0), (10.0, 25.0)]}
    rows, ratios = evaluation._rows(cases, seconds)
    assert [row.values for row in rows] == [(2.0, 2.0), (0.2, 0.4)]
    by_time, by_processor = (row.values for row in ratios)
    assert by_time == (pytest.approx(1.0), pytest.approx(2.0))
    assert by_processor == (pytest.approx(0.8), pytest.approx(1.6))


def test_a_worker_describes_itself_and_runs_on_request():
    serve = "from benchmarks import worker; worker.serve(lambda: None, {'gflop': 1.0})"
    worker = Worker([sys.executable, "-c", serve])
    try:
        assert worker.description == {"gflop": 1.0}
        assert set(worker.run()) == {"seconds", "processor_seconds", "peak_mb"}
    finally:
        worker.close()
    with pytest.raises(UserError, match="status 1: no such thing"):
        Worker([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_what_cannot_be_measured_is_named_and_the_rest_is_measured(monkeypatch):
    monkeypatch.setattr(runner, "has_module", lambda python, name: False)
    monkeypatch.setattr(training_step, "Worker", lambda command: command)
    options = TrainingStepOptions(variants=("ours", "torch", "ours_ranks"), processes=1000)
    workers, missing = training_step._start(options)
    assert list(workers) == ["ours"]
    assert "requirements/benchmarks.txt" in missing["torch"]
    assert "--processes=1000" in missing["ours_ranks"]


def test_other_tensorflows_measure_our_fp32_variants():
    options = TrainingStepOptions(variants=("ours", "ours_bf16"), more_pythons=("old/python",))
    names = [name for name, _ in training_step._commands(options)]
    assert names == ["ours", "ours old/python", "ours_bf16"]


def test_ratios_of_steps_are_of_images_and_of_ours_over_others():
    def steps(seconds, gflop=10.0):
        step = {"seconds": seconds, "processor_seconds": 3.0, "peak_mb": 100.0}
        return {"gflop": gflop, "versions": "A", "steps": [step]}

    found = {
        "ours": steps(2.0),
        "ours_bf16": steps(1.0),
        "ours_ranks": steps(4.0),
        "torch": steps(5.0, gflop=None),
        "torch_bf16": steps(3.0, gflop=None),
        "product": steps(0.5, gflop=4.0),
    }
    rows, ratios = training_step.figures(found, processes=2)
    efficiency = {name: found[name] for name in ("ours", "ours_ranks")}
    efficiency["ours_independent"] = steps(3.0)
    pairs = [row.name for row in training_step.figures(efficiency, processes=2)[1]]
    assert pairs == ["ours_ranks / ours_independent", "ours_independent / ours"]
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
