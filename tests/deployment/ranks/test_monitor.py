"""How ranks meet and end together; in processes without TensorFlow, which start quickly."""

import re
import signal
import socket
import time

import pytest

from tests.deployment.ranks.test_cluster import addresses, start

WORKER = "tests/deployment/ranks/monitor_worker.py"


@pytest.fixture
def group():
    """Starts ranks; those that a test leaves behind are killed."""
    started = []

    def launch(does, where=None, join=20.0, version="2.21"):
        where = where or addresses(len(does))
        for rank, what in enumerate(does):
            if what is not None:
                arguments = (WORKER, what, str(join), version)
                started.append(start(rank, where, *arguments))
        return started

    yield launch
    for process in started:
        process.kill()
        process.communicate()


def wait_until_met(processes):
    for process in processes:
        assert process.stdout.readline() == "met\n", process.stderr.read()


def endings(processes, seconds=15.0):
    """Returns the status and the last words of processes, which end in time."""
    deadline = time.monotonic() + seconds
    found = []
    for process in processes:
        _, errors = process.communicate(timeout=max(0.1, deadline - time.monotonic()))
        found.append((process.returncode, errors))
    return found


def check_all_say(sentence, found):
    for status, errors in found:
        assert status == 1, errors
        assert re.search(sentence, errors), errors


def test_ranks_exchange_and_end_together(group):
    processes = group(["ends"] * 3)
    for process in processes:
        output, errors = process.communicate(timeout=20)
        assert (process.returncode, output) == (0, "met\n3\n"), errors


def test_a_killed_rank_is_named_by_all_others(group):
    processes = group(["sleeps", "waits", "sleeps"])
    wait_until_met(processes)
    processes[2].send_signal(signal.SIGKILL)
    sentence = rf"rank 2 \(process {processes[2].pid} on \S+\) ended without a word"
    check_all_say(sentence, endings(processes[:2]))


@pytest.mark.parametrize("hanging", [0, 1])
def test_a_rank_that_hangs_is_named_by_all_and_ends_when_it_goes_on(group, hanging):
    processes = group(["sleeps", "sleeps", "waits"])
    wait_until_met(processes)
    processes[hanging].send_signal(signal.SIGSTOP)
    others = [process for process in processes if process is not processes[hanging]]
    found = endings(others)
    sentence = rf"rank {hanging} \(process {processes[hanging].pid} on \S+\) has given no sign of"
    check_all_say(sentence, found)
    processes[hanging].send_signal(signal.SIGCONT)
    status, errors = endings([processes[hanging]])[0]
    assert status == 1, errors
    assert re.search(r"rank \d", errors), errors


def test_the_sentence_of_a_rank_that_fails_is_that_of_all(group):
    # It may fail before the others have said that they met.
    processes = group(["sleeps", "fails", "waits"])
    found = endings([processes[0], processes[2]])
    check_all_say("rank 1 stopped: no space left", found)


def test_ranks_that_do_not_come_are_named(group):
    processes = group(["sleeps", "sleeps", None, None], join=1.0)
    check_all_say(r"ranks 2, 3 did not come within 1 s; start all 4 ranks", endings(processes))


def test_a_rank_that_comes_too_late_ends_too(group):
    processes = group([None, "sleeps"], join=0.5)
    check_all_say(r"rank 1 cannot reach rank 0 at 127.0.0.1:\d+ within 0.5 s", endings(processes))


def test_ranks_of_another_number_end_all(group):
    where = addresses(2)
    group(["sleeps"], where)
    processes = group([None, "sleeps"], [*where, "127.0.0.1:1"])
    check_all_say(
        r"rank 1 \(.*\) was started as one of 3 ranks, rank 0 as one of 2", endings(processes)
    )


def test_another_tensorflow_ends_all(group):
    where = addresses(2)
    group(["sleeps"], where)
    processes = group([None, "sleeps"], where, version="1.15.5")
    check_all_say(r"rank 1 .* has TensorFlow 1.15.5, rank 0 has 2.21", endings(processes))


def test_a_port_in_use_is_named(group):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        where = [f"127.0.0.1:{server.getsockname()[1]}", *addresses(1)]
        processes = group(["sleeps"], where)
        check_all_say(rf"rank 0 cannot listen on {where[0]} \(.*in use\)", endings(processes))


def test_a_strangers_words_do_not_disturb_the_meeting(group):
    where = addresses(2)
    processes = group(["ends", None], where)
    host, port = where[0].split(":")
    for words in (b"GET / HTTP/1.0\r\n\r\n", b"{}\n", b""):
        deadline = time.monotonic() + 10
        while True:
            try:
                connection = socket.create_connection((host, int(port)), timeout=5)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        connection.sendall(words)
        connection.close()
    group([None, "ends"], where)
    for process in processes:
        output, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors
        assert output == "met\n1\n"
