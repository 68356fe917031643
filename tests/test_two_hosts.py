"""Training on two hosts: network namespaces of this machine, joined by a virtual cable."""

import os
import shutil
import subprocess
import time

import pytest

from tests import small_data
from tests.launched_training import Launch, steps

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

    def make(self):
        """Returns why they cannot be made, or None."""
        if shutil.which("ip") is None:
            return "iproute2 is not installed"
        if os.geteuid() != 0:
            return "network namespaces need root"
        results = [_run("ip", "netns", "add", name) for name in self.names]
        results.append(
            _run("ip", "link", "add", self.ends[0], "type", "veth", "peer", "name", self.ends[1])
        )
        for name, end, address in zip(self.names, self.ends, ADDRESSES):
            results.append(_run("ip", "link", "set", end, "netns", name))
            results.append(self.inside(name, "ip", "address", "add", f"{address}/24", "dev", end))
            results.append(self.inside(name, "ip", "link", "set", end, "up"))
            results.append(self.inside(name, "ip", "link", "set", "lo", "up"))
        problems = [result.stderr.strip() for result in results if result.returncode]
        return "; ".join(problems) or None

    def inside(self, name, *words):
        return _run("ip", "netns", "exec", name, *words)

    def start(self, index, folder, records, *arguments):
        prefix = ("ip", "netns", "exec", self.names[index])
        return Launch(folder, records, *arguments, launcher=(HOSTS,), prefix=prefix)

    def cut(self):
        self.inside(self.names[0], "ip", "link", "set", self.ends[0], "down")

    def remove(self):
        for name in self.names:
            _run("ip", "netns", "del", name)


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


# What the cable does: arguments of tc.
CABLES = {
    "quick": None,
    "delayed": ("netem", "delay", "20ms", "5ms"),
    "lossy": ("netem", "loss", "1%"),
}


@pytest.mark.parametrize("cable", CABLES)
def test_two_hosts_train_together(hosts, tmp_path, records, cable):
    if CABLES[cable]:
        for name, end in zip(hosts.names, hosts.ends):
            result = hosts.inside(name, "tc", "qdisc", "add", "dev", end, "root", *CABLES[cable])
            if result.returncode:
                pytest.skip(f"tc {CABLES[cable][0]}: {result.stderr.strip()}")
    for launch in _both(hosts, tmp_path, records, *steps(4, 2), "--rank=2"):
        status, errors = launch.finish()
        assert status == 0, errors
    assert (tmp_path / "0" / "run" / "model.ckpt-4.index").exists()


def test_a_cut_cable_ends_both_after_the_stated_time(hosts, tmp_path, records):
    both = _both(hosts, tmp_path, records, *steps(100000, 10), "--rank_timeout_secs=5")
    both[0].wait_for_checkpoint()
    hosts.cut()
    begin = time.monotonic()
    for rank, launch in enumerate(both):
        status, errors = launch.finish(60)
        assert status != 0
        assert f"rank {1 - rank}" in errors
    assert time.monotonic() - begin < 5 + 25
