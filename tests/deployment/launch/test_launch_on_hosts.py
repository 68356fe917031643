"""The launcher on CPU and GPU: addresses, ports, hosts, restarts; small programs are the ranks."""

import os
import signal
import socket
import time

import pytest

from deployment.launch import cluster_environment, hosts, supervisor
from options.launch import LaunchOptions
from tests import launching
from tests.launching import finish, log
from utils.errors import OptionError, UserError

pytestmark = pytest.mark.once

OWN = ("CUDA_VISIBLE_DEVICES", "DEEPLAB_RANK", "DEEPLAB_ADDRESSES", "DEEPLAB_LOCAL_RANK")
SHOW = f"""
import os
print(*(os.environ.get(name) for name in {OWN}), len(os.sched_getaffinity(0)))
"""


def start(tmp_path, program, *arguments, **settings):
    """Starts the launcher over a program of ranks on CPU; returns the process."""
    settings = {"device": "cpu", **settings}
    return launching.start(tmp_path, program, *arguments, without=OWN, **settings)


@pytest.fixture
def taken():
    """A port in use."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_processes_on_one_host_know_each_other_by_free_ports_and_share_the_cores(tmp_path):
    status, _, errors = finish(start(tmp_path, SHOW))
    assert status == 0, errors
    cores = len(os.sched_getaffinity(0))
    addresses = log(tmp_path, 0).split()[2].split(",")
    assert len(set(addresses)) == 2
    assert all(address.startswith("127.0.0.1:") for address in addresses)
    for rank in range(2):
        expected = ["None", str(rank), ",".join(addresses), str(rank)]
        assert log(tmp_path, rank).split() == [*expected, str(max(cores // 2, 1))]


def test_a_single_process_gets_no_group(tmp_path):
    environment = {"DEEPLAB_RANK": "1", "DEEPLAB_ADDRESSES": "a:1,b:2"}
    status, output, errors = finish(start(tmp_path, SHOW, devices=1, environment=environment))
    assert status == 0, errors
    assert output.split()[:4] == ["None"] * 4


def _environments(base=(), **options):
    return cluster_environment.environments(LaunchOptions(**options), dict(base))


def test_each_process_sees_a_gpu_of_its_own():
    found = _environments(device="gpu", devices=2)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["0", "1"]
    found = _environments(device="gpu", devices=2, device_ids=("3", "1"))
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["3", "1"]
    found = _environments({"CUDA_VISIBLE_DEVICES": "GPU-a, GPU-b"}, device="gpu", devices=2)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["GPU-a", "GPU-b"]
    assert _environments({"CUDA_VISIBLE_DEVICES": "2,3"}, device="gpu") == [
        {"CUDA_VISIBLE_DEVICES": "2,3"}
    ]


def test_a_host_of_several_starts_its_own_ranks():
    options = {"device": "cpu", "hosts": ("10.1.0.1:1", "127.0.0.1:2"), "port": 31000}
    found = _environments(**options)
    assert [one["DEEPLAB_RANK"] for one in found] == ["1", "2"]
    assert [one["DEEPLAB_LOCAL_RANK"] for one in found] == ["0", "1"]
    assert {one["DEEPLAB_ADDRESSES"] for one in found} == {
        "10.1.0.1:31000,127.0.0.1:31000,127.0.0.1:31001"
    }
    assert "DEEPLAB_INTERFACE" not in found[0]
    found = _environments(**options, interface="lo", host_index=0)
    assert [one["DEEPLAB_RANK"] for one in found] == ["0"]
    assert {one["DEEPLAB_INTERFACE"] for one in found} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hosts": ("a",)}, "--hosts: 'a' .*NAME:PROCESSES"),
        ({"hosts": ("a:0",)}, "--hosts: 'a:0' "),
        ({"hosts": ("::1:2",)}, "--hosts: '::1:2' "),
        ({"hosts": ("a:1", "a:2")}, "--hosts .*a twice"),
        ({"hosts": ("10.1.0.1:1", "10.1.0.2:1")}, "10.1.0.2: .* none; .*--host_index"),
        ({"hosts": ("127.0.0.1:1", "127.0.0.2:1")}, "127.0.0.1, 127.0.0.2; .*--host_index"),
        ({"hosts": ("127.0.0.1:1",), "host_index": 1}, "--host_index=1, .*--hosts .* 1: 0 to 0"),
        ({"hosts": ("127.0.0.1:2",), "devices": 3}, "--devices=3, .*--hosts .*127.0.0.1 2"),
        ({"host_index": 0}, "--host_index .*--hosts"),
        ({"device_ids": ("0",)}, "--device_ids .*--device=cpu"),
        ({"interface": "eth77"}, r"--interface=eth77 .*\(lo"),
        ({"interface": "10.9.8.7"}, "--interface=10.9.8.7 "),
    ],
)
def test_invalid_hosts_and_interfaces_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        _environments(**{"device": "cpu", **options})


def test_an_address_of_another_machine_is_refused_before_anything_starts():
    with pytest.raises(UserError, match="rank 0 .* 10.1.0.1:31000 .Cannot assign requested"):
        _environments(device="cpu", hosts=("10.1.0.1:1", "b:1"), host_index=0, port=31000)


def test_gpus_that_are_not_visible_are_refused():
    with pytest.raises(OptionError, match="CUDA_VISIBLE_DEVICES=5 .* 1 GPUs, .*number 1 "):
        _environments({"CUDA_VISIBLE_DEVICES": "5"}, device="gpu", devices=2)
    with pytest.raises(OptionError, match="--device_ids .* 1 GPUs .* 2 processes"):
        _environments(device="gpu", hosts=("127.0.0.1:2",), device_ids=("0",))


def test_a_name_that_cannot_be_resolved_is_refused(monkeypatch):
    def unknown(_):
        raise socket.gaierror

    monkeypatch.setattr(socket, "gethostbyname", unknown)
    with pytest.raises(UserError, match="host nowhere "):
        _environments(device="cpu", hosts=("nowhere:1",))


def test_an_interface_is_resolved_to_its_address():
    assert hosts.address_of("lo") == "127.0.0.1"
    assert hosts.address_of("127.0.0.3") == "127.0.0.3"


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path, taken):
    status, _, errors = finish(start(tmp_path, SHOW, port=taken))
    assert status == 1
    assert f"127.0.0.1:{taken} (Address already in use)" in errors
    assert not (tmp_path / "logs" / "rank_0.log").exists()


def test_a_port_beyond_the_largest_is_refused():
    with pytest.raises(UserError, match="port 65536 of rank 1 "):
        _environments(device="cpu", devices=2, port=65535)


# Rank 1 fails with a status in its first runs.
FAIL = """
import os, sys, time
rank = int(os.environ["DEEPLAB_RANK"])
if rank == 1:
    with open(sys.argv[1], "a+") as file:
        file.write("x")
        file.seek(0)
        tries = len(file.read())
    if tries <= int(sys.argv[2]):
        sys.exit(int(sys.argv[3]))
else:
    time.sleep(float(sys.argv[4]))
print("done")
"""


def _fail(tmp_path, failures, status, sleep=0.3, **options):
    arguments = (tmp_path / "tries", failures, status, sleep)
    result = finish(start(tmp_path, FAIL, *arguments, **options))
    return (*result, len((tmp_path / "tries").read_text()))


def test_ranks_are_restarted_until_all_succeed(tmp_path):
    status, output, errors, tries = _fail(tmp_path, 2, 7, max_restarts=3)
    assert (status, tries) == (0, 3)
    assert errors.count("rank 1 ended with status 7") == 2
    assert "Restart 2 of 3" in errors
    assert "Restart 3 of 3" not in errors
    assert output == "done\n"


def test_restarts_end_after_max_restarts(tmp_path):
    status, _, errors, tries = _fail(tmp_path, 9, 7, sleep=60, max_restarts=2)
    assert (status, tries) == (7, 3)
    assert "after 2 restarts" in errors


def test_wrong_flags_restart_nothing(tmp_path):
    status, _, errors, tries = _fail(tmp_path, 9, 2, sleep=60, max_restarts=2)
    assert (status, tries) == (2, 1)
    assert "Restart" not in errors


def test_a_signal_to_the_launcher_restarts_nothing(tmp_path):
    program = "import sys, time\nopen(sys.argv[1], 'w').close()\ntime.sleep(60)"
    process = start(tmp_path, program, tmp_path / "begun", max_restarts=2)
    deadline = time.monotonic() + 30
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    status, _, errors = finish(process)
    assert status == 143
    assert "Restart" not in errors


class _Ended:
    def __init__(self, status):
        self._status = status

    def status(self):
        return self._status


class _NoSignal:
    number = 0


def test_if_several_ranks_fail_at_once_the_killed_one_is_reported():
    killed = _Ended(137)
    assert supervisor._wait([_Ended(0), _Ended(1), killed, _Ended(None)], _NoSignal) is killed
