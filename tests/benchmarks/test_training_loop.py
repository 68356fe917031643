"""The benchmark of loops runs as a command and measures each way."""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_the_command_prints_a_rate_for_each_way():
    result = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.training_loop", "--loop_steps=2"),
            *("--crop_size=33,33", "--depth_multiplier=0.25", "--aspp_convs_filters=8"),
            *("--batch_size=1", "--repetitions=1"),
        ],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    rows = [line for line in result.stdout.decode().splitlines() if line.startswith("| ")]
    # Four ways, three ratios, and the heads of both tables.
    assert len(rows) == 6 + 5
    assert all(float(row.split("|")[3].replace(",", "")) > 0 for row in (*rows[2:6], *rows[8:]))
