"""The benchmark of several processes: its rows, and that it runs as a command."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import scaling, scaling_model

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_the_row_of_a_group_has_the_slowest_process_and_each_one_s_processor_time():
    answers = [{"seconds": 2.0, "processor_seconds": 3.0, "peak_mb": 1.0}]
    row = scaling._step_row("together", answers, processes=2)
    assert (row.values, row.besides) == ((2.0,), {"processor s per process": 1.5})


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
def test_the_command_writes_steps_and_all_reduces(tmp_path):
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.scaling", "--crop=33", "--batch_size=1"),
            *("--repetitions=1", "--sizes_mb=1", "--buckets_mb=16"),
            f"--json_path={tmp_path / 'scaling.json'}",
            "--extra_flags=--model_variant=mobilenet_v2,--depth_multiplier=0.25",
        ],
        check=True,
        cwd=ROOT,
    )
    found = json.loads((tmp_path / "scaling.json").read_text())
    assert [row["name"] for row in found["rows"]] == [
        "alone",
        "independent",
        "together",
        "all-reduce 1 MB, 1 tensor(s), bucket 1 MB",
        "all-reduce 64 MB, 256 tensor(s), bucket 16 MB",
    ]
    # The efficiency is against the independent processes.
    seconds = {row["name"]: row["median"] for row in found["rows"]}
    efficiency = {row["name"]: row["median"] for row in found["ratios"]}
    assert efficiency == {
        "alone / independent": pytest.approx(seconds["independent"] / seconds["alone"]),
        "together / independent": pytest.approx(seconds["independent"] / seconds["together"]),
    }
