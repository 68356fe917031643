"""Who is in the group, by the variables of each launcher."""

import json

import pytest

from deployment.ranks import slurm
from deployment.ranks.membership import Membership, from_environment
from utils.errors import UserError

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


def test_our_launchers_variables_are_read_and_win():
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


def test_ranks_with_a_master_meet_there():
    assert from_environment(WORLD) == Membership(2, 4, ("10.0.0.1:29500",), 0)
    assert from_environment({**WORLD, "LOCAL_RANK": "1"}).local_rank == 1
    assert from_environment({"RANK": "0", "WORLD_SIZE": "1"}) == Membership()


def test_tasks_of_slurm_meet_at_its_first_host():
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
    ("environment", "message"),
    [
        ({**OURS, "DEEPLAB_RANK": "3"}, "DEEPLAB_RANK is 3, but DEEPLAB_ADDRESSES names 3; ranks"),
        ({"DEEPLAB_ADDRESSES": "a:1,b:1"}, "DEEPLAB_RANK is not set, though others"),
        ({**OURS, "DEEPLAB_ADDRESSES": "a:1,a:1"}, "DEEPLAB_ADDRESSES names a:1 twice"),
        ({**OURS, "DEEPLAB_ADDRESSES": "a,b"}, "DEEPLAB_ADDRESSES holds 'a', but must hold HOST"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG is not of the form"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG is not of the form"),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1"]}}'}, "TF_CONFIG is not of the form"),
        (tf_config("worker", 2), "TF_CONFIG makes this worker 2, but names 2"),
        (
            tf_config("ps", 0, ps=["c:1"], worker=["a:1"]),
            "TF_CONFIG makes this process ps 0, but only a chief",
        ),
        (tf_config("evaluator"), "TF_CONFIG makes this process evaluator 0"),
        (tf_config(worker=["a:1", "a:1"]), "TF_CONFIG names a:1 twice"),
        (tf_config(worker=["[::1]:1", "a:1"]), "TF_CONFIG holds '[::1]:1'"),
        ({**WORLD, "RANK": "4"}, "RANK is 4, but WORLD_SIZE is 4; ranks are numbered from 0"),
        ({**WORLD, "RANK": "-1"}, "RANK is '-1', but must be a number"),
        ({"WORLD_SIZE": "2"}, "RANK is not set, though others of its launcher's variables are"),
        ({"RANK": "2"}, "WORLD_SIZE is not set, though others"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "WORLD_SIZE is 2, but MASTER_ADDR is not set; all"),
        ({**SLURM, "SLURM_PROCID": "4"}, "SLURM_PROCID is 4, but SLURM_NTASKS is 4"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, "but SLURM_JOB_NODELIST is not set"),
        ({**SLURM, "SLURM_JOB_NODELIST": "node[1"}, "list of hosts 'node[1' cannot be read"),
        (
            {**SLURM, **WORLD},
            "WORLD_SIZE says that this is rank 2 of 4, SLURM that it is rank 3 of 4; unset",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(environment, message):
    with pytest.raises(UserError) as error:
        from_environment(environment)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("login", ["login"]),
        ("a,b.example.org", ["a", "b.example.org"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("node[008-010,100],login", ["node008", "node009", "node010", "node100", "login"]),
        ("r[1-2]n[01-02]-ib", ["r1n01-ib", "r1n02-ib", "r2n01-ib", "r2n02-ib"]),
    ],
)
def test_lists_of_hosts_are_those_of_slurm(text, names):
    assert slurm.hosts_of(text) == names


@pytest.mark.parametrize("text", ["", "a,,b", "n[3-1]", "n[a]", "n[1", "n[1-]", "n[0-99999999]"])
def test_what_is_no_list_of_hosts_is_refused(text):
    with pytest.raises(UserError, match="list of hosts"):
        slurm.hosts_of(text)
