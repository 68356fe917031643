"""Two hosts on one machine: network namespaces with a link between them that can be cut."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.deployment.ranks.test_cluster import ROOT

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
    """Starts a program as the two ranks, one on each host."""
    started = []

    def start(*command):
        for rank, host in enumerate(hosts):
            variables = {"DEEPLAB_RANK": str(rank), "DEEPLAB_ADDRESSES": ",".join(ADDRESSES)}
            process = subprocess.Popen(
                ["ip", "netns", "exec", host, sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": ROOT, **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                universal_newlines=True,
            )
            started.append(process)
        return started

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_both_hosts_name_the_other_when_the_link_is_cut(hosts, launch):
    processes = launch("tests/deployment/ranks/monitor_worker.py", "sleeps", "20", "2.21")
    for process in processes:
        assert process.stdout.readline() == "met\n", process.stderr.read()
    ip("-n", hosts[0], "link", "set", "dev", "eth0", "down")
    for rank, process in enumerate(processes):
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 1, errors
        assert re.search(rf"rank {1 - rank} \(.*\) has given no sign of life for 2 s", errors)


@pytest.mark.slow
def test_ranks_on_two_hosts_hold_the_same_bits(hosts, launch):
    if shutil.which("tc"):
        slow = ("qdisc", "add", "dev", "eth0", "root", "netem", "delay", "2ms", "loss", "1%")
        # Not in every kernel; without it the link is fast.
        subprocess.run(["tc", "-n", hosts[0], *slow], check=False, stderr=subprocess.PIPE)
    reports = []
    for process in launch("tests/deployment/ranks/cluster_worker.py"):
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        reports.append(json.loads(output.splitlines()[-1]))
    assert reports[0]["state"] == reports[1]["state"]
    assert reports[0]["sums"] == reports[1]["sums"]
