"""Two processes on this machine that train as one."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from deployment.backend import Backend
from deployment.ranks import collectives, ports
from options.device import DeviceOptions
from tests.deployment.ranks import cluster_worker
from utils.compat import tf

ROOT = str(pathlib.Path(__file__).resolve().parents[3])


def start(rank, addresses, *command, **variables):
    """Starts a rank in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": ROOT,
        "DEEPLAB_RANK": str(rank),
        "DEEPLAB_ADDRESSES": ",".join(addresses),
        **variables,
    }
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )


def addresses(ranks):
    """Returns free addresses on this machine."""
    return [f"127.0.0.1:{port}" for port in ports.find_free("127.0.0.1", ranks)]


@pytest.fixture(scope="module")
def reports():
    """What two ranks print that do everything once."""
    where = addresses(2)
    processes = [start(rank, where, "tests/deployment/ranks/cluster_worker.py") for rank in (0, 1)]
    outputs = []
    for process in processes:
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        outputs.append(json.loads(output.splitlines()[-1]))
    return outputs


def test_arrays_are_summed_and_values_shared(reports):
    for report in reports:
        assert report["sums"] == [[[(1 << 41) + 1] * 2] * 2, 1]
        assert report["shared"] == 7


def test_ranks_hold_the_same_bits(reports):
    assert reports[0]["losses"] == reports[1]["losses"]
    assert reports[0]["state"] == reports[1]["state"]


def test_two_ranks_with_synchronised_batch_norm_take_the_steps_of_one(reports):
    alone = Backend(DeviceOptions(device="cpu"))
    losses, state = cluster_worker.gradients(alone, sync_batch_norm=False)
    np.testing.assert_allclose(reports[0]["losses"], losses, rtol=1e-5)
    assert set(state) == set(reports[0]["state"])
    for name, value in state.items():
        np.testing.assert_allclose(
            reports[0]["state"][name], value, rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_ranks_with_different_options_all_say_so(reports):
    sentence = "rank 1 has another --option than rank 0 (1, not 0); start all ranks"
    for report in reports:
        assert sentence in report["disagreement"]


def test_buckets_hold_tensors_of_one_type_in_order():
    with tf.Graph().as_default():
        tensors = [tf.zeros([size]) for size in (9, 9, 9, 10, 9, 9, 9, 9, 9, 9, 9)]
        tensors.insert(1, tf.zeros([1], tf.float64))
    # Numbers of four bytes: the first bucket is full at 8 tensors of 9, the one of 10 is alone.
    assert collectives.buckets(tensors, 320) == [[0, 2, 3, 5, 6, 7, 8, 9], [1], [4], [10, 11]]
