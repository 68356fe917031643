"""The launcher with a small program that a test writes."""

import os
import pathlib
import subprocess
import sys

from deployment.launch import launcher

ROOT = pathlib.Path(launcher.__file__).parents[2]


def start(tmp_path, program, *arguments, environment=(), without=(), **flags):
    """Starts the launcher with a program; returns the process.

    Args:
      tmp_path: Folder for the program and, in `logs`, the ranks' logs.
      program: Its source.
      *arguments: Of the program.
      environment: Variables to set.
      without: Names of variables that are not inherited.
      **flags: Of the launcher; None leaves one out.
    """
    script = tmp_path / "program.py"
    script.write_text(program)
    flags = {"devices": 2, "rank_logs": tmp_path / "logs", **flags}
    command = [sys.executable, "-m", "deployment.launch"]
    command += [f"--{name}={value}" for name, value in flags.items() if value is not None]
    base = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.Popen(
        [*command, "--", str(script), *map(str, arguments)],
        cwd=ROOT,
        env={**base, **dict(environment)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, seconds=60):
    """Returns exit status, standard output and standard error."""
    output, errors = process.communicate(timeout=seconds)
    return process.returncode, output, errors


def log(tmp_path, rank):
    """Returns the log of a rank."""
    return (tmp_path / "logs" / f"rank_{rank}.log").read_text()
