"""The place of a process in its group, from the variables of each launcher."""

import json
import re

import pytest

from deployment.ranks.membership import Membership, from_environment
from utils.errors import UserError

pytestmark = pytest.mark.once

OURS = {"DEEPLAB_ADDRESSES": "10.0.0.1:71,10.0.0.1:72,b:71", "DEEPLAB_RANK": "1"}
WORLD = {"RANK": "2", "WORLD_SIZE": "4", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
SLURM = {
    "SLURM_PROCID": "3",
    "SLURM_NTASKS": "4",
    "SLURM_JOB_NODELIST": "node[09-10]",
    "SLURM_LOCALID": "1",
    "SLURM_JOB_ID": "123456",
}


def tf_config(kind="worker", index=0, **cluster):
    cluster = cluster or {"worker": ["a:1", "b:1"]}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def test_without_variables_there_is_one_process():
    assert from_environment({}) == Membership()


def test_our_launchers_variables_take_precedence():
    addresses = ("10.0.0.1:71", "10.0.0.1:72", "b:71")
    environment = {**SLURM, **tf_config(), **OURS, "DEEPLAB_LOCAL_RANK": "1"}
    assert from_environment(environment) == Membership(1, 3, addresses, 1)
    environment["DEEPLAB_INTERFACE"] = "10.0.0.9"
    assert from_environment(environment).interface == "10.0.0.9"


def test_tf_config_counts_the_chief_first():
    cluster = {"worker": ["a:2", "b:2"], "chief": ["a:1"]}
    addresses = ("a:1", "a:2", "b:2")
    assert from_environment(tf_config("chief", 0, **cluster)) == Membership(0, 3, addresses, 0)
    assert from_environment(tf_config("worker", 0, **cluster)) == Membership(1, 3, addresses, 1)
    assert from_environment(tf_config("worker", "1", **cluster)) == Membership(2, 3, addresses, 0)


def test_a_tf_config_without_a_cluster_is_one_process():
    assert from_environment({"TF_CONFIG": "{}"}) == Membership()
    assert from_environment({"TF_CONFIG": ""}) == Membership()
    assert from_environment(tf_config(worker=["a:1"])) == Membership()


def test_ranks_with_a_master_connect_there():
    assert from_environment(WORLD) == Membership(2, 4, ("10.0.0.1:29500",), 0)
    assert from_environment({**WORLD, "LOCAL_RANK": "1"}).local_rank == 1
    assert from_environment({"RANK": "0", "WORLD_SIZE": "1"}) == Membership()


def test_tasks_of_slurm_connect_at_its_first_host():
    assert from_environment(SLURM) == Membership(3, 4, ("node09:23456",), 1)
    step = {"SLURM_STEP_ID": "2", "SLURM_STEP_NUM_TASKS": "5", "SLURM_STEP_NODELIST": "node10"}
    assert from_environment({**SLURM, **step}) == Membership(3, 5, ("node10:23458",), 1)


def test_a_single_task_or_a_batch_script_of_slurm_is_one_process():
    assert from_environment({**SLURM, "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}) == Membership()
    assert from_environment({**SLURM, "ENVIRONMENT": "BATCH"}) == Membership()
    step = {"ENVIRONMENT": "BATCH", "SLURM_STEP_ID": "0"}
    assert from_environment({**SLURM, **step}).ranks == 4
    # The shell of salloc.
    assert from_environment({"SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}) == Membership()


def test_sources_that_agree_are_read():
    slurm_environment = {**SLURM, "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}
    environment = {**slurm_environment, **tf_config("worker", 1)}
    assert from_environment(environment) == Membership(1, 2, ("a:1", "b:1"), 0)


@pytest.mark.parametrize(
    ("environment", "parts"),
    [
        ({**OURS, "DEEPLAB_RANK": "3"}, ("DEEPLAB_RANK is 3", "DEEPLAB_ADDRESSES", "3; ranks")),
        ({"DEEPLAB_ADDRESSES": "a:1,b:1"}, ("DEEPLAB_RANK is not set",)),
        ({**OURS, "DEEPLAB_ADDRESSES": "a:1,a:1"}, ("DEEPLAB_ADDRESSES", "a:1 twice")),
        ({**OURS, "DEEPLAB_ADDRESSES": "a,b"}, ("DEEPLAB_ADDRESSES", "'a'", "HOST:PORT")),
        ({"TF_CONFIG": "{"}, ("TF_CONFIG", '{"cluster"')),
        ({"TF_CONFIG": "[]"}, ("TF_CONFIG", '{"cluster"')),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, ("TF_CONFIG", '{"cluster"')),
        (tf_config("worker", 2), ("TF_CONFIG", "worker 2", "ranks are 0 to 1")),
        (tf_config("ps", 0, ps=["c:1"], worker=["a:1"]), ("TF_CONFIG", "ps 0")),
        (tf_config("evaluator"), ("TF_CONFIG", "evaluator 0")),
        (tf_config(worker=["a:1", "a:1"]), ("TF_CONFIG", "a:1 twice")),
        (tf_config(worker=["[::1]:1", "a:1"]), ("TF_CONFIG", "'[::1]:1'")),
        ({**WORLD, "RANK": "4"}, ("RANK is 4", "WORLD_SIZE is 4", "0 to 3")),
        ({**WORLD, "RANK": "-1"}, ("RANK is '-1'",)),
        ({"WORLD_SIZE": "2"}, ("RANK is not set",)),
        ({"RANK": "2"}, ("WORLD_SIZE is not set",)),
        ({"RANK": "0", "WORLD_SIZE": "2"}, ("WORLD_SIZE is 2", "MASTER_ADDR is not set")),
        ({**SLURM, "SLURM_PROCID": "4"}, ("SLURM_PROCID is 4", "SLURM_NTASKS is 4")),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, ("SLURM_JOB_NODELIST is not set",)),
        ({**SLURM, **WORLD}, ("rank 2 of 4 by WORLD_SIZE", "rank 3 of 4 by SLURM")),
    ],
)
def test_contradicting_variables_are_named(environment, parts):
    with pytest.raises(UserError) as error:
        from_environment(environment)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("login", "login"),
        ("a,b.example.org", "a"),
        ("n[1-3]", "n1"),
        ("node[008-010,100],login", "node008"),
        ("r[1-2]n[01-02]-ib", "r1n01-ib"),
    ],
)
def test_ranks_of_slurm_connect_at_the_first_host(text, host):
    (address,) = from_environment({**SLURM, "SLURM_JOB_NODELIST": text}).addresses
    assert address == f"{host}:23456"


@pytest.mark.parametrize("text", ["", "a,,b", "n[a]", "n[1", "n[,1]"])
def test_a_list_of_hosts_that_is_not_slurms_is_refused(text):
    with pytest.raises(UserError, match=re.escape(f"{text!r} cannot be read")):
        from_environment({**SLURM, "SLURM_JOB_NODELIST": text})
