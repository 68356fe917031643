"""How ranks end together; in processes without TensorFlow, which start quickly."""

import re
import signal
import time

import pytest

from tests.deployment.ranks import monitor_worker, processes

pytestmark = pytest.mark.once

WORKER = monitor_worker.__file__


@pytest.fixture
def group():
    """Starts connected ranks with an action each; those that a test leaves behind are killed."""
    started = []

    def launch(*actions):
        addresses = processes.free_addresses(len(actions))
        for rank, action in enumerate(actions):
            started.append(processes.start(rank, addresses, WORKER, action))
        if "fails" not in actions:
            for process in started:
                assert process.stdout.readline() == "connected\n", process.stderr.read()
        return started

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def check_all_report(pattern, group, seconds=15.0):
    """Checks that processes end in time with status 1 and a message."""
    deadline = time.monotonic() + seconds
    for process in group:
        _, errors = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        assert process.returncode == 1, errors
        assert re.search(pattern, errors), errors


def test_a_killed_rank_is_named_by_all_others(group):
    ranks = group("sleeps", "waits", "sleeps")
    ranks[2].send_signal(signal.SIGKILL)
    check_all_report(rf"rank 2 \(process {ranks[2].pid} on \S+\)", ranks[:2])


@pytest.mark.parametrize("hanging", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_rank_that_hangs_is_named_by_all_and_ends_when_it_continues(group, hanging):
    ranks = group("sleeps", "sleeps", "waits")
    ranks[hanging].send_signal(signal.SIGSTOP)
    name = rf"rank {hanging} \(process {ranks[hanging].pid} on \S+\)"
    others = [process for process in ranks if process is not ranks[hanging]]
    check_all_report(rf"{name} .* {monitor_worker.SILENCE_SECONDS:g} s", others)
    ranks[hanging].send_signal(signal.SIGCONT)
    check_all_report(r"rank \d", [ranks[hanging]])


def test_the_message_of_a_rank_that_fails_is_that_of_all(group):
    # It may fail before the others have printed that they are connected.
    ranks = group("sleeps", "fails", "waits")
    check_all_report("rank 1 stopped: no space left", [ranks[0], ranks[2]])
