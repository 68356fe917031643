"""The launcher: environments, logs, and how processes end; small programs are the ranks."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from absl import flags

from commands import running
from deployment import rank_table
from deployment.devices import npu_environment
from deployment.launch import launcher
from options.launch import LaunchOptions
from tests import launching
from tests.launching import ROOT, finish, log
from utils.errors import UserError

pytestmark = pytest.mark.once

TABLE = ROOT / "scripts" / "8p.json"
# The beginning of every program below.
START = "import os, signal, subprocess, sys, time\nrank = int(os.environ['RANK_ID'])\n"


def start(tmp_path, program, *arguments, **settings):
    """Starts the launcher over a program of ranks on NPU; returns the process."""
    settings = {"rank_table": TABLE, **settings}
    return launching.start(tmp_path, START + program, *arguments, without=("JOB_ID",), **settings)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


SHOW = """
names = ("JOB_ID", "RANK_ID", "RANK_SIZE", "DEVICE_ID", "ASCEND_DEVICE_ID", "DEVICE_INDEX")
print(*(os.environ.get(name) for name in names))
print(os.environ.get("RANK_TABLE_FILE"), sys.argv[1:], sorted(os.sched_getaffinity(0)))
"""


def test_each_rank_gets_its_environment_its_cores_and_the_arguments(tmp_path):
    status, output, errors = finish(start(tmp_path, SHOW, "--steps=3", devices=8))
    assert status == 0, errors
    for rank in range(8):
        first, second = log(tmp_path, rank).splitlines()
        assert first == f"10087 {rank} 8 {rank} {rank} {rank}"
        assert second.startswith(f"{TABLE} ['--steps=3'] ")
    assert output == log(tmp_path, 0)


def test_each_process_gets_an_equal_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 2, 3, 5, 7, 8, 9})
    assert launcher._core_shares(3) == [(1, 2), (3, 5), (7, 8)]
    assert launcher._core_shares(8) == [()] * 8


def test_the_first_devices_of_a_larger_table_are_used_and_logs_appended_to(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "rank_0.log").write_text("earlier\n")
    assert finish(start(tmp_path, SHOW, devices=2))[0] == 0
    assert log(tmp_path, 0).startswith("earlier\n10087 0 2 0 0 0\n")
    smaller = tmp_path / "logs" / "rank_table.json"
    devices = rank_table.read(str(smaller)).devices
    assert [device.device_ip for device in devices] == ["192.168.100.101", "192.168.101.101"]
    assert log(tmp_path, 1).startswith(f"10087 1 2 1 1 1\n{smaller} ")


def test_a_single_device_ignores_an_exported_rank_table(tmp_path):
    exported = {"RANK_TABLE_FILE": str(TABLE), "RANK_SIZE": "8", "JOB_ID": "my-job"}
    options = {"devices": 1, "rank_table": None, "device_ids": 3}
    status, output, errors = finish(start(tmp_path, SHOW, environment=exported, **options))
    assert status == 0, errors
    assert output.startswith("my-job 0 1 3 3 0\nNone ")


FAIL = """
if rank == 1:
    print("the disk is full")
    sys.exit(7)
time.sleep(60)
"""


def test_the_first_failure_is_reported_and_stops_the_others(tmp_path):
    begin = time.monotonic()
    status, _, errors = finish(start(tmp_path, FAIL))
    assert status == 7
    assert "rank 1 (device 1) ended with status 7" in errors
    assert "rank_1.log:\n  the disk is full\n" in errors
    assert time.monotonic() - begin < 20


HANG = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1] + str(rank), "w").write(f"{os.getpid()} {child.pid}")
if rank == 1:
    while not os.path.exists(sys.argv[1] + "0"):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGSEGV)
time.sleep(60)
"""


def test_a_rank_that_ignores_signals_is_killed_with_its_children(tmp_path):
    process = start(tmp_path, HANG, tmp_path / "pids", failure_seconds=0.5)
    status, _, errors = finish(process)
    assert status == 128 + signal.SIGSEGV
    assert "rank 1 (device 1) ended with status 139" in errors
    for rank in range(2):
        for pid in (tmp_path / f"pids{rank}").read_text().split():
            wait_for(lambda pid=pid: not is_alive(pid))


SAVE = """
def save(number, frame):
    print("saved", flush=True)
    sys.exit(128 + number)
signal.signal(signal.SIGINT, save)
signal.signal(signal.SIGTERM, save)
open(sys.argv[1] + str(rank), "w").write(str(os.getpid()))
time.sleep(60)
"""


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_reaches_all_ranks_and_they_may_save(tmp_path, number):
    process = start(tmp_path, SAVE, tmp_path / "pids")
    wait_for(lambda: all((tmp_path / f"pids{rank}").exists() for rank in range(2)))
    time.sleep(0.2)
    process.send_signal(number)
    status, _, errors = finish(process)
    assert status == 128 + number
    assert "Ended by SIG" in errors
    assert log(tmp_path, 0) == log(tmp_path, 1) == "saved\n"


def test_a_second_signal_ends_at_once(tmp_path):
    program = SAVE.replace("sys.exit(128 + number)", "time.sleep(60)")
    process = start(tmp_path, program, tmp_path / "pids")
    wait_for(lambda: all((tmp_path / f"pids{rank}").exists() for rank in range(2)))
    process.send_signal(signal.SIGINT)
    wait_for(lambda: "saved" in log(tmp_path, 1))
    process.send_signal(signal.SIGINT)
    assert finish(process, seconds=20)[0] == 130


def test_no_rank_outlives_a_killed_launcher(tmp_path):
    process = start(tmp_path, SAVE, tmp_path / "pids")
    wait_for(lambda: all((tmp_path / f"pids{rank}").exists() for rank in range(2)))
    time.sleep(0.2)
    process.kill()
    process.communicate()
    for rank in range(2):
        pid = (tmp_path / f"pids{rank}").read_text()
        wait_for(lambda pid=pid: not is_alive(pid))


@pytest.mark.parametrize(
    ("options", "environment", "message"),
    [
        ({"rank_table": None}, {}, "--devices=2 .*--rank_table"),
        ({"rank_table": "absent.json"}, {}, "absent.json: No such file"),
        ({"devices": 16}, {}, "--devices=16, .* 8 devices on server 127.0.0.1"),
        ({"server": "10.0.0.9"}, {}, "--server is 10.0.0.9, .*127.0.0.1"),
        ({"device_ids": "0,1"}, {}, "--device_ids and a rank table"),
        ({"device_ids": "3", "rank_table": None}, {}, "--device_ids .* 1 devices, .*--devices=2"),
        ({"device_ids": "3,3", "rank_table": None}, {}, "--device_ids .* twice"),
        ({}, {"JOB_ID": "007"}, "JOB_ID is '007'"),
        ({}, {"CM_CHIEF_IP": "10.0.0.1"}, "CM_CHIEF_IP "),
        ({"device": "gpu"}, {}, "--rank_table .*--device=gpu"),
        ({"hosts": "a:1,b:1"}, {}, "--hosts .*--device=npu"),
        ({"rank_logs": "/proc/logs"}, {}, "--rank_logs=/proc/logs: "),
    ],
)
def test_what_cannot_start_is_refused(tmp_path, monkeypatch, options, environment, message):
    for name in (*npu_environment.TABLE_VARIABLES, *npu_environment.CHIEF_VARIABLES, "JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chosen = {"devices": 2, "rank_table": TABLE, "rank_logs": tmp_path, **options}
    words = [f"--{name}={value}" for name, value in chosen.items() if value is not None]
    argv = ["launch", *words, "--", "no-such-program"]
    with pytest.raises(UserError, match=message):
        running.act(running.parse("launch", "launch", False, flags.FlagValues(), argv))


def test_a_missing_command_is_refused(tmp_path):
    command = [sys.executable, "-m", "deployment.launch", "--devices=1"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert "the command to start" in result.stderr
    absent = [*command, f"--rank_logs={tmp_path}", "--", "no-such-program"]
    result = subprocess.run(absent, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "no-such-program: No such file" in result.stderr


CHIEF = {
    "CM_CHIEF_IP": "10.0.0.1",
    "CM_CHIEF_PORT": "6000",
    "CM_CHIEF_DEVICE": "0",
    "CM_WORKER_SIZE": "16",
    "CM_WORKER_IP": "10.0.0.2",
}


def test_without_a_table_processes_connect_to_the_chief():
    base = {**CHIEF, "RANK_SIZE": "1", "RANK_TABLE_FILE": "old.json"}
    environments = npu_environment.with_chief(base, range(8), first_rank=8)
    assert [environment["DEVICE_INDEX"] for environment in environments] == [
        str(rank) for rank in range(8, 16)
    ]
    for number, environment in enumerate(environments):
        assert environment["ASCEND_DEVICE_ID"] == str(number)
        assert environment["CM_WORKER_SIZE"] == "16"
        assert not set(npu_environment.TABLE_VARIABLES) & set(environment)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"CM_CHIEF_PORT": "65521"}, "CM_CHIEF_PORT is 65521"),
        ({"CM_CHIEF_PORT": "http"}, "CM_CHIEF_PORT is 'http'"),
        ({"CM_WORKER_SIZE": "8"}, "CM_WORKER_SIZE is 8, .* ranks 8 to 15"),
        ({"CM_WORKER_SIZE": "40000"}, "CM_WORKER_SIZE is 40000, .* 32768"),
        ({"CM_WORKER_IP": None}, "CM_WORKER_IP "),
    ],
)
def test_each_variable_of_a_start_without_table_is_checked(change, message):
    base = {name: value for name, value in {**CHIEF, **change}.items() if value is not None}
    with pytest.raises(UserError, match=message):
        npu_environment.with_chief(base, range(8), first_rank=8)


def test_a_server_of_several_starts_its_own_ranks(tmp_path):
    addresses = [{number: f"10.1.{server}.{number}" for number in range(8)} for server in range(2)]
    table = rank_table.make([("a", addresses[0]), ("b", addresses[1])], range(8))
    path = tmp_path / "16p.json"
    path.write_text(json.dumps(rank_table.render(table, rank_table.VERSION_1)))
    options = LaunchOptions(devices=8, rank_table=str(path), server="b")
    environments = launcher._environments(options, {})
    assert [environment["RANK_ID"] for environment in environments] == [
        str(rank) for rank in range(8, 16)
    ]
    assert {environment["RANK_SIZE"] for environment in environments} == {"16"}
