"""Two processes on this machine that train as one."""

import json

import numpy as np
import pytest

from deployment.backend import Backend
from deployment.ranks import collectives
from options.device import DeviceOptions
from tests.deployment.ranks import cluster_worker, processes
from utils.compat import tf


@pytest.fixture(scope="module")
def reports():
    """What two ranks print that do everything once."""
    addresses = processes.free_addresses(2)
    ranks = [processes.start(rank, addresses, cluster_worker.__file__) for rank in (0, 1)]
    outputs = []
    for process in ranks:
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


def test_two_ranks_with_synchronized_batch_norm_take_the_steps_of_one(reports):
    single = Backend(DeviceOptions(device="cpu"))
    losses, state = cluster_worker.gradients(single, sync_batch_norm=False)
    np.testing.assert_allclose(reports[0]["losses"], losses, rtol=1e-5)
    assert set(state) == set(reports[0]["state"])
    for name, value in state.items():
        np.testing.assert_allclose(
            reports[0]["state"][name], value, rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_all_ranks_name_a_fact_that_differs(reports):
    for report in reports:
        assert "--option is 1 on rank 1, but 0 on rank 0" in report["disagreement"]


def test_buckets_hold_tensors_of_one_type_in_order():
    with tf.Graph().as_default():
        tensors = [tf.zeros([size]) for size in (9, 9, 9, 10, 9, 9, 9, 9, 9, 9, 9)]
        tensors.insert(1, tf.zeros([1], tf.float64))
    # Numbers of four bytes: 8 tensors of 9 fill the first bucket, the one of 10 is separate.
    assert collectives.buckets(tensors, 320) == [[0, 2, 3, 5, 6, 7, 8, 9], [1], [4], [10, 11]]
