"""One training at a time in a folder."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest
from absl import logging

from core.runs import lock as run_lock
from utils.errors import UserError

_HOLD = "import sys\nfrom core.runs import lock as run_lock\nwith run_lock.hold(sys.argv[1]):\n"
_ROOT = pathlib.Path(__file__).resolve().parents[3]


def _start(folder, then):
    command = [sys.executable, "-c", _HOLD + "    " + then, str(folder)]
    return subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE)


def test_a_second_process_is_refused_and_told_who_owns_the_folder(tmp_path):
    process = _start(tmp_path, "print('held', flush=True); sys.stdin.read()")
    assert process.stdout.readline() == b"held\n"
    owner = rf"process {process.pid} on host {socket.gethostname()} .since 20.* trains there"
    with pytest.raises(UserError, match=owner), run_lock.hold(str(tmp_path)):
        pass
    process.communicate()
    with run_lock.hold(str(tmp_path)):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert (tmp_path / ".lock").read_text() == ""


def test_the_lock_of_a_killed_process_is_free(tmp_path, monkeypatch):
    process = _start(tmp_path, f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})")
    process.communicate()
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == process.pid
    shown = []
    monkeypatch.setattr(logging, "info", lambda text, *values: shown.append(text % values))
    with run_lock.hold(str(tmp_path)):
        pass
    assert f"process {process.pid} on host" in shown[0]


def test_a_lock_left_by_another_host_is_taken_with_a_warning(tmp_path, monkeypatch):
    left = {"pid": 7, "host": "elsewhere", "since": "yesterday"}
    (tmp_path / ".lock").write_text(json.dumps(left))
    shown = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: shown.append(text % values))
    with run_lock.hold(str(tmp_path)):
        pass
    assert "process 7 on host elsewhere (since yesterday)" in shown[0]


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "run")
    message = "cannot write to --train_logdir=.*Not a directory"
    with pytest.raises(UserError, match=message), run_lock.hold(folder):
        pass


def test_a_run_that_is_refused_leaves_neither_lock_nor_folder(tmp_path):
    folder = tmp_path / "new" / "run"
    with pytest.raises(UserError, match="refused"), run_lock.hold(str(folder)):
        raise UserError("refused")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="refused"), run_lock.hold(str(tmp_path)):
        raise UserError("refused")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_keeps_what_it_wrote(tmp_path):
    def fail():
        (tmp_path / "training.log").write_text("a line")
        raise UserError("failed")

    with pytest.raises(UserError, match="failed"), run_lock.hold(str(tmp_path)):
        fail()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "training.log"]


def test_a_lock_whose_file_was_removed_meanwhile_is_taken_anew(tmp_path, monkeypatch):
    lock, removed = run_lock._lock, []

    def after_a_refused_run(file, path):
        if not removed:
            removed.append(path)
            (tmp_path / ".lock").unlink()
        lock(file, path)

    monkeypatch.setattr(run_lock, "_lock", after_a_refused_run)
    with run_lock.hold(str(tmp_path)):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert removed
