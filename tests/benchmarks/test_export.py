"""The benchmark of exported networks runs as a command and has every format that is here."""

import json
import os
import subprocess
import sys

import pytest

import common
from tests.small_networks import SMALL, save_checkpoint

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.slow
def test_the_command_measures_each_format_beside_the_bare_network(tmp_path):
    run, path = tmp_path / "run", tmp_path / "export.json"
    run.mkdir()
    save_checkpoint(run, 5)
    common.save_options(str(run), {"model": SMALL, "run": {"num_classes": 5}})
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.export", f"--checkpoint_dir={run}"),
            *("--crop=33", "--images=2", "--repetitions=2", f"--json_path={path}"),
        ],
        check=True,
        cwd=ROOT,
    )
    found = json.loads(path.read_text())
    formats = ["frozen", "savedmodel", "tflite", "tflite_float16", "tflite_int8", "onnx"]
    here = [
        "bare network",
        "checkpoint",
        *(name for name in formats if name not in found["missing"]),
    ]
    assert [row["name"] for row in found["rows"]] == here
    assert {"frozen", "savedmodel", "tflite"} <= set(here)
    assert [row["name"] for row in found["ratios"]] == [
        f"{name} / bare network" for name in here[1:]
    ]
    assert found["rows"][here.index("frozen")]["besides"]["MB"] > 0.1
    assert all(value > 0 for row in found["rows"] for value in row["values"])
