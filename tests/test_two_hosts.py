"""Training on two hosts: network namespaces of this machine with a virtual link."""

import os
import shutil
import subprocess
import sys
import time

import pytest

from tests import small_data
from tests.launched_training import Launch, steps
from tests.relay import Relay

pytestmark = pytest.mark.slow

ADDRESSES = ("10.77.0.1", "10.77.0.2")
HOSTS = f"--hosts={ADDRESSES[0]}:1,{ADDRESSES[1]}:1"


def _run(*words):
    return subprocess.run(words, capture_output=True, text=True)


class Hosts:
    """Two namespaces, each with its end of the cable."""

    def __init__(self):
        self.names = [f"deeplab-{os.getpid()}-{index}" for index in range(2)]
        self.ends = [f"dl{os.getpid() % 100000}{letter}" for letter in "ab"]
        self.relay = None

    def make(self):
        """Returns why they cannot be made, or None."""
        if shutil.which("ip") is None:
            return "iproute2 is not installed"
        if os.geteuid() != 0:
            return "network namespaces need root"
        return _problems(_run("ip", "netns", "add", name) for name in self.names)

    def join(self, **cable):
        """Joins them by a cable of the kernel, or by one with a delay or losses.

        Args:
          **cable: Of `Relay`.

        Returns:
          Why they cannot be joined, or None.
        """
        first, second = self.ends
        results = []
        if cable:
            try:
                self.relay = Relay(self.ends, **cable)
            except OSError as error:
                return f"no TUN device: {error}"
        else:
            results.append(_run("ip", "link", "add", first, "type", "veth", "peer", "name", second))
        # The name of the far end: a device of IP packets asks nobody for it.
        for name, end, address, far in zip(self.names, self.ends, ADDRESSES, reversed(ADDRESSES)):
            route = [f"{address}/32", "peer", far] if cable else [f"{address}/24"]
            results.append(_run("ip", "link", "set", end, "netns", name))
            results.append(self.inside(name, "ip", "address", "add", *route, "dev", end))
            results.append(self.inside(name, "ip", "link", "set", end, "up"))
            results.append(self.inside(name, "ip", "link", "set", "lo", "up"))
        return _problems(results)

    def inside(self, name, *words):
        return _run("ip", "netns", "exec", name, *words)

    def start(self, index, folder, records, *arguments):
        prefix = ("ip", "netns", "exec", self.names[index])
        return Launch(folder, records, *arguments, launcher=(HOSTS,), prefix=prefix)

    def seconds_of_an_answer(self):
        """Returns how long a packet takes there and back."""
        ping = self.inside(self.names[0], sys.executable, "-c", PING.format(*ADDRESSES[1:]))
        assert ping.returncode == 0, ping.stderr
        return float(ping.stdout)

    def cut(self):
        self.inside(self.names[0], "ip", "link", "set", self.ends[0], "down")

    def remove(self):
        if self.relay is not None:
            self.relay.close()
        for name in self.names:
            _run("ip", "netns", "del", name)


# A refused connection takes one way there and one back.
PING = """
import socket, time
begin = time.monotonic()
socket.socket().connect_ex(("{}", 1))
print(time.monotonic() - begin)
"""


def _problems(results):
    found = [result.stderr.strip() for result in results if result.returncode]
    return "; ".join(found) or None


@pytest.fixture
def hosts():
    both = Hosts()
    try:
        problem = both.make()
        if problem:
            pytest.skip(f"no network namespaces: {problem}")
        yield both
    finally:
        both.remove()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return small_data.make_records(tmp_path_factory.mktemp("data"), train=8, val=2)


def _both(hosts, tmp_path, records, *arguments):
    return [hosts.start(index, tmp_path / str(index), records, *arguments) for index in range(2)]


def _join(hosts, **cable):
    problem = hosts.join(**cable)
    if problem:
        pytest.skip(f"no cable: {problem}")


CABLES = {"quick": {}, "delayed": {"delay_seconds": 0.02}, "lossy": {"loss": 0.01}}


@pytest.mark.parametrize("cable", CABLES)
def test_two_hosts_train_together(hosts, tmp_path, records, cable):
    _join(hosts, **CABLES[cable])
    assert hosts.seconds_of_an_answer() >= 2 * CABLES[cable].get("delay_seconds", 0.0)
    for launch in _both(hosts, tmp_path, records, *steps(4, 2), "--rank=2"):
        status, errors = launch.finish()
        assert status == 0, errors
    assert (tmp_path / "0" / "run" / "model.ckpt-4.index").exists()
    if cable == "lossy":
        assert hosts.relay.lost


def test_a_link_that_goes_down_ends_both_after_the_timeout(hosts, tmp_path, records):
    _join(hosts)
    both = _both(hosts, tmp_path, records, *steps(100000, 10), "--rank_timeout_secs=5")
    both[0].wait_for_checkpoint()
    hosts.cut()
    begin = time.monotonic()
    for rank, launch in enumerate(both):
        status, errors = launch.finish(60)
        assert status != 0
        assert f"rank {1 - rank}" in errors
    assert time.monotonic() - begin < 5 + 25
