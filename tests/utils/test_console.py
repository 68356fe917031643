"""A command goes on, and ends with its own status, when nobody reads its output any more."""

import os
import pathlib
import subprocess
import sys

import pytest

import common

pytestmark = pytest.mark.once

ROOT = pathlib.Path(common.__file__).parent

COMMAND = """
import sys
from absl import logging
import common

def main(unused_flags):
    for number in range(3000):
        print("a line", number, flush=number % 7 == 0)
        print("another", number, file=sys.stderr)
        logging.info("a message")
    sys.stdout.buffer.write(b"bytes")
    sys.stdout.buffer.flush()
    with open(sys.argv[0] + ".done", "w"):
        pass
    raise common.UserError("the end")

common.run(main)
"""


def pipe_without_reader():
    read, write = os.pipe()
    os.close(read)
    return write


def closed_terminal():
    master, slave = os.openpty()
    os.close(master)
    return slave


def status_of(arguments, stdout, stderr, **environment):
    try:
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            stdout=stdout,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=str(ROOT),
            timeout=60,
            check=False,
        ).returncode
    finally:
        os.close(stdout)


@pytest.mark.parametrize("gone", [pipe_without_reader, closed_terminal])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_command_whose_console_goes_away_runs_to_its_end(tmp_path, gone, unbuffered):
    command = tmp_path / "command.py"
    command.write_text(COMMAND)
    stream = gone()
    status = status_of([command], stream, stream, PYTHONUNBUFFERED=unbuffered)
    assert status == common.STATUS_FAILURE
    assert (tmp_path / "command.py.done").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["seg.py"],
        ["seg.py", "train", "--help"],
        ["eval.py", "--helpfull"],
        ["-m", "datasets.convert", "--help"],
        ["-m", "datasets.fetch", "list"],
        ["-m", "deployment.launch", "--help"],
    ],
)
def test_help_that_nobody_reads_ends_quietly(tmp_path, arguments):
    with open(tmp_path / "stderr", "w+", encoding="utf-8") as errors:
        assert status_of(arguments, pipe_without_reader(), errors) == 0
        errors.seek(0)
        assert errors.read() == ""


def test_a_full_disk_is_an_error():
    with open(os.devnull, "w", encoding="utf-8") as null:
        code = "from utils import console\nwith console.may_go_away(): print('text')"
        assert status_of(["-c", code], os.open("/dev/full", os.O_WRONLY), null) != 0


def test_work_goes_on_when_the_disk_of_the_console_is_full(tmp_path):
    code = (
        "import sys\nfrom utils import console\n"
        "with console.may_go_away():\n"
        "    print('text', flush=True)\n"
        f"    open({str(tmp_path / 'done')!r}, 'w').close()\n"
        "    sys.exit(0)"
    )
    with open(os.devnull, "w", encoding="utf-8") as null:
        assert status_of(["-c", code], os.open("/dev/full", os.O_WRONLY), null) == 1
    assert (tmp_path / "done").exists()


def test_characters_that_the_console_cannot_show_are_escaped():
    code = "from utils import console\nwith console.may_go_away(): print('Stra\\xdfe \\udce9')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=str(ROOT),
        check=True,
    )
    assert result.stdout == b"Stra\\xdfe \\udce9\n"
