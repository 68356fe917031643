"""The benchmark of several processes: its rows, and that it runs as a command."""

import os
import subprocess
import sys

import pytest

from benchmarks import scaling, scaling_model

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_efficiency_is_against_the_independent_processes():
    found = {
        "alone": {"seconds": [1.0, 1.0, 9.0], "processor_seconds": [1.0]},
        "independent": {"seconds": [2.0], "processor_seconds": [1.0]},
        "together": {"seconds": [2.5], "processor_seconds": [1.0]},
    }
    rows = {row["processes"]: row["efficiency %"] for row in scaling._step_rows(found)}
    assert rows == {"alone": 200.0, "independent": 100.0, "together": 80.0}


def test_the_model_of_a_step_has_the_time_of_the_ring():
    link = scaling_model.Link(bytes_per_second=1e9, seconds_per_message=1e-3)
    # Two ranks send half of it twice; in one bucket there are two messages.
    assert scaling_model.all_reduce_seconds(2, 4e9, 1, link) == pytest.approx(4.0 + 0.002)
    # Many ranks send nearly all of it twice, in many messages.
    seconds = scaling_model.all_reduce_seconds(512, 4e9, 10, link)
    assert seconds == pytest.approx(8.0 * 511 / 512 + 10 * 2 * 511 * 1e-3)


def test_what_the_backward_pass_covers_costs_nothing():
    link = scaling_model.Link(bytes_per_second=1e9, seconds_per_message=0.0)
    step = scaling_model.step_seconds(8, 3.0, 1e9, 1, link, overlap=0.6)
    assert step == pytest.approx(3.0)
    step = scaling_model.step_seconds(8, 3.0, 2e9, 1, link, overlap=0.6)
    assert step == pytest.approx(3.0 + 3.5 - 1.8)


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_command_prints_steps_and_all_reduces():
    result = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.scaling", "--crop=33", "--batch_size=1"),
            *("--repetitions=1", "--sizes_mb=1", "--buckets_mb=16"),
            "--extra_flags=--model_variant=mobilenet_v2,--depth_multiplier=0.25",
        ],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    rows = [line for line in result.stdout.decode().splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 3 + 2 + 2
