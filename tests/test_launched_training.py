"""Training by several ranks through the launcher, also when a rank fails.

The tests wait at most as long as docs/distributed.md promises, plus the start.
"""

import os
import re
import signal
import time

import pytest

from tests import small_data
from tests.launched_training import ROOT, START_SECONDS, Launch, steps

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return small_data.make_records(tmp_path_factory.mktemp("data"), train=8, val=2)


def test_two_ranks_train_and_rank_0_alone_writes(tmp_path, records):
    launch = Launch(tmp_path, records, *steps(4, 2), "--rank=2")
    status, errors = launch.finish()
    assert status == 0, errors
    assert (launch.run / "model.ckpt-4.index").exists()
    assert "Saved" not in (tmp_path / "logs" / "rank_1.log").read_text()


def test_a_killed_rank_ends_all_within_seconds(tmp_path, records):
    launch = Launch(tmp_path, records, *steps(100000, 10))
    launch.wait_for_checkpoint()
    begin = time.monotonic()
    os.kill(launch.pid(1), signal.SIGKILL)
    status, errors = launch.finish(30)
    assert status == 137
    assert "rank 1 ended with status 137" in errors
    assert time.monotonic() - begin < 20


def test_a_rank_that_hangs_ends_all_after_the_timeout(tmp_path, records):
    launch = Launch(tmp_path, records, *steps(100000, 10), "--rank_timeout_secs=5")
    launch.wait_for_checkpoint()
    begin = time.monotonic()
    os.kill(launch.pid(1), signal.SIGSTOP)
    status, errors = launch.finish(60)
    assert status != 0
    assert re.search(r"rank 1\b.* within 5 s|rank 1\b.*heartbeat", errors), errors
    # The timeout, the time to end, and that of the launcher to kill stopped processes.
    assert time.monotonic() - begin < 5 + 25


def test_a_restart_resumes_from_the_last_checkpoint(tmp_path, records):
    launch = Launch(
        tmp_path, records, *steps(200, 10), launcher=("--devices=2", "--max_restarts=1")
    )
    launch.wait_for_checkpoint()
    os.kill(launch.pid(1), signal.SIGKILL)
    status, errors = launch.finish()
    assert status == 0, errors
    assert "rank 1 ended with status 137" in errors
    assert "Restart 1 of 1" in errors
    assert "Continuing from" in (tmp_path / "logs" / "rank_0.log").read_text()
    assert (launch.run / "model.ckpt-200.index").exists()


# A training whose rank 1 gets images of NaN.
SPOILED = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
from datasets.dataset import Dataset
original = Dataset.train_batches

def batches(*arguments, rank=0, **settings):
    dataset = original(*arguments, rank=rank, **settings)
    factor = float("nan") if rank else 1.0
    return dataset.map(lambda batch: dict(batch, image=batch["image"] * factor))

Dataset.train_batches = batches
runpy.run_path({str(ROOT / "train_npu.py")!r}, run_name="__main__")
"""


def test_a_step_that_is_not_finite_ends_all_and_names_the_rank(tmp_path, records):
    program = tmp_path / "spoiled.py"
    program.write_text(SPOILED)
    launch = Launch(tmp_path / "launch", records, *steps(8, 2), program=program)
    status, errors = launch.finish(2 * START_SECONDS)
    assert status == 1
    assert re.search(
        r"step 1 is not finite: .*It came from rank 1; images: train_\d; the images", errors
    ), errors


def test_another_number_of_ranks_than_expected_is_a_wrong_flag(tmp_path, records):
    launch = Launch(tmp_path, records, *steps(4), "--rank=3")
    status, errors = launch.finish()
    assert status == 2
    assert "--rank=3 expects 3 processes, but 2 were started" in errors


HOSTS = ("--hosts=127.0.0.1:1,127.0.0.2:1", "--port=29711")


def test_a_rank_that_never_connects_is_named(tmp_path, records):
    arguments = (*steps(4), "--join_timeout_secs=5")
    launch = Launch(tmp_path, records, *arguments, launcher=(*HOSTS, "--host_index=0"))
    status, errors = launch.finish()
    assert status == 1
    assert "rank 1 did not connect within 5 s" in errors
