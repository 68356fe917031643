"""Ranks that connect and exchange values; threads of this process stand in for processes."""

import concurrent.futures
import re
import socket
import time

import pytest

from deployment.ranks import handshake, membership, monitor
from tests.deployment.ranks import processes
from utils.errors import UserError

pytestmark = pytest.mark.once


@pytest.fixture
def threads():
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        yield executor


def place(rank, addresses):
    return membership.Membership(rank, len(addresses), tuple(addresses), rank)


def connect(rank, addresses, *, version="2.21", seconds=20.0, use=monitor.RankMonitor.leave):
    """Connects a rank; returns what `use` returns for its monitor.

    It must leave the group: a monitor that loses its group ends the process.
    """
    return use(
        handshake.connect(
            place(rank, addresses),
            {"TensorFlow": version},
            join_seconds=seconds,
            silence_seconds=5.0,
        )
    )


def check_refused(results, pattern):
    """Checks that all ranks raise the same sentence."""
    for result in results:
        error = result.exception(timeout=20)
        assert isinstance(error, UserError)
        assert re.search(pattern, str(error)), error


def test_ranks_exchange_values_and_end_together(threads):
    addresses = processes.free_addresses(3)

    def use(connected):
        total = connected.exchange("numbers", connected._rank, sum)
        assert not connected.has_left
        connected.leave()
        assert connected.has_left
        return total

    results = [threads.submit(connect, rank, addresses, use=use) for rank in range(3)]
    assert [result.result(timeout=20) for result in results] == [3, 3, 3]


def test_missing_ranks_are_named(threads):
    addresses = processes.free_addresses(4)
    results = [threads.submit(connect, rank, addresses, seconds=0.5) for rank in (0, 1)]
    check_refused(results, r"ranks 2, 3 .* within 0.5 s; .* --join_timeout_secs")


def test_a_rank_without_rank_0_gives_up():
    addresses = processes.free_addresses(2)
    with pytest.raises(UserError, match=rf"rank 1 .*rank 0 at {addresses[0]} within 0.3 s"):
        connect(1, addresses, seconds=0.3)


def test_a_rank_of_another_group_size_ends_all(threads):
    addresses = processes.free_addresses(2)
    leader = threads.submit(connect, 0, addresses)
    other = threads.submit(connect, 1, [*addresses, "127.0.0.1:1"])
    check_refused([leader, other], r"rank 1 \(.*\) .* 3 ranks, rank 0 .* 2")


def test_a_rank_that_connects_twice_ends_all(threads):
    addresses = processes.free_addresses(3)
    results = [threads.submit(connect, rank, addresses) for rank in (0, 1, 1)]
    check_refused(results, r"rank 1 \(.*\) and rank 1 \(.*\)")


def test_another_tensorflow_ends_all(threads):
    addresses = processes.free_addresses(2)
    leader = threads.submit(connect, 0, addresses)
    other = threads.submit(connect, 1, addresses, version="1.15.5")
    check_refused([leader, other], r"rank 1 .* TensorFlow 1\.15\.5, rank 0 has 2\.21")


def test_a_port_in_use_is_named():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"rank 0 .* {address} \(.*in use\)"):
            connect(0, [address, *processes.free_addresses(1)])


def test_unexpected_messages_are_ignored(threads):
    addresses = processes.free_addresses(2)
    leader = threads.submit(connect, 0, addresses)
    host, port = addresses[0].split(":")
    for words in (b"GET / HTTP/1.0\r\n\r\n", b"{}\n", b""):
        deadline = time.monotonic() + 10
        while True:
            try:
                connection = socket.create_connection((host, int(port)), timeout=5)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        connection.sendall(words)
        connection.close()
    other = threads.submit(connect, 1, addresses)
    assert [result.exception(timeout=20) for result in (leader, other)] == [None, None]
