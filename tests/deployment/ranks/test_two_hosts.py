"""Two hosts on one machine: network namespaces with a link between them that can go down."""

import json
import os
import re
import shutil
import subprocess

import pytest

from tests.deployment.ranks import cluster_worker, monitor_worker, processes

pytestmark = pytest.mark.once

ADDRESSES = ("10.213.7.1:7400", "10.213.7.2:7400")


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts():
    """Names of two namespaces that are connected."""
    names = [f"deeplab-{os.getpid()}-{index}" for index in (0, 1)]
    try:
        for name in names:
            ip("netns", "add", name)
        devices = [f"v{os.getpid()}-{index}" for index in (0, 1)]
        ip("link", "add", devices[0], "type", "veth", "peer", "name", devices[1])
        for name, device, address in zip(names, devices, ADDRESSES):
            ip("link", "set", "dev", device, "netns", name)
            ip("-n", name, "link", "set", "dev", device, "name", "eth0")
            ip("-n", name, "addr", "add", address.split(":")[0] + "/24", "dev", "eth0")
            ip("-n", name, "link", "set", "dev", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", b"") or str(error).encode()
        _remove(names)
        pytest.skip(f"no network namespaces here: {detail.decode().strip()}")
    yield names
    _remove(names)


def _remove(names):
    for name in names:
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.PIPE)


@pytest.fixture
def launch(hosts):
    """Starts a program as two ranks, one on each host."""
    started = []

    def start(*command):
        for rank, host in enumerate(hosts):
            prefix = ("ip", "netns", "exec", host)
            started.append(processes.start(rank, ADDRESSES, *command, prefix=prefix))
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_both_hosts_name_the_other_when_the_link_goes_down(hosts, launch):
    ranks = launch(monitor_worker.__file__, "sleeps")
    for process in ranks:
        assert process.stdout.readline() == "connected\n", process.stderr.read()
    ip("-n", hosts[0], "link", "set", "dev", "eth0", "down")
    for rank, process in enumerate(ranks):
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1, errors
        silence = f"{monitor_worker.SILENCE_SECONDS:g} s"
        assert re.search(rf"rank {1 - rank} \(.*\) .* {silence}", errors), errors


@pytest.mark.slow
def test_ranks_on_two_hosts_hold_the_same_bits(hosts, launch):
    if shutil.which("tc"):
        slow = ("qdisc", "add", "dev", "eth0", "root", "netem", "delay", "2ms", "loss", "1%")
        # Not every kernel has it; without it the link is fast.
        subprocess.run(["tc", "-n", hosts[0], *slow], check=False, stderr=subprocess.PIPE)
    reports = []
    for process in launch(cluster_worker.__file__):
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        reports.append(json.loads(output.splitlines()[-1]))
    assert reports[0]["state"] == reports[1]["state"]
    assert reports[0]["sums"] == reports[1]["sums"]
