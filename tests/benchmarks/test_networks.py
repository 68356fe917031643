"""The cost of a network: counted right, by a command that works."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import networks
from core import layers
from utils.compat import tf

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def test_a_convolution_counts_two_operations_per_multiply_add():
    images = tf.zeros([1, 8, 8, 3])
    layers.conv2d(images, 5, 3, stride=2)
    layers.depthwise_conv2d(images, 3)
    counted = [networks.operations_of(op) for op in tf.get_default_graph().get_operations()]
    assert sorted(count for count in counted if count) == [
        2 * 8 * 8 * 3 * 9,
        2 * 4 * 4 * 5 * 9 * 3,
    ]


def test_the_command_prints_and_writes_what_it_measured(tmp_path):
    result = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.networks", "--variants=mobilenet_v2"),
            *("--crop_size=65,65", "--depth_multiplier=0.25", "--aspp_convs_filters=16"),
            f"--json_path={tmp_path / 'networks.json'}",
        ],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    arithmetic, forward, training = json.loads((tmp_path / "networks.json").read_text())["rows"]
    assert arithmetic["name"] == "mobilenet_v2"
    assert arithmetic["besides"]["parameters"] == pytest.approx(1.4e5, rel=0.9)
    assert 0 < arithmetic["median"] < 1
    assert 0 < forward["median"] < training["median"]
    assert "| `mobilenet_v2` |" in result.stdout.decode()
