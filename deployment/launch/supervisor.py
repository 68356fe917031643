"""Runs one process per rank until all have ended, or one fails and the others are stopped.

The output of rank 0 is shown on the terminal, and that of every rank is in its own log. No process
is left behind: each rank leads its process group, which is killed as a whole, and the kernel kills
a rank whose launcher has died.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time

from utils.errors import Interrupted, UserError

_POLL_SECONDS = 0.1
_TAIL_LINES = 20
# From <sys/prctl.h>: the signal that the kernel sends to a process whose parent dies.
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class Rank:
    """One process to run.

    Attributes:
      number: Its rank.
      name: Its name in messages, such as "rank 3 (device 3)".
      command: Program and arguments.
      environment: All its environment variables.
      cores: Numbers of the processor cores that it is bound to; empty for all.
    """

    number: int
    name: str
    command: tuple
    environment: dict
    cores: tuple = ()


def run(ranks, log_folder: str, *, failure_seconds: float, signal_seconds: float) -> int:
    """Runs all ranks.

    Args:
      ranks: The ranks of this machine; the first is shown on the terminal.
      log_folder: Existing folder of the `rank_N.log`; output is appended.
      failure_seconds: Time between the failure of a rank and killing the others.
      signal_seconds: Time between SIGTERM or SIGINT and killing all; a second signal kills them at
        once.

    Returns:
      0, or the exit status of the rank that failed first (128 + number after a signal).

    Raises:
      Interrupted: After SIGTERM or SIGINT.
      UserError: If a program cannot be started or a log cannot be written.
    """
    with _Signals() as signals:
        processes = _start(ranks, log_folder)
        try:
            failed = _wait(processes, signals)
            if signals.number:
                _stop(processes, signals.number, signal_seconds, signals)
                raise Interrupted(signals.number)
            if failed is None:
                return 0
            _report(failed)
            return failed.status()
        finally:
            _stop(processes, signal.SIGTERM, failure_seconds, signals)
            for process in processes:
                process.close()


class _Process:
    """A running rank."""

    def __init__(self, rank: Rank, log_folder: str, *, shown: bool):
        self.rank = rank
        self.log_path = os.path.join(log_folder, f"rank_{rank.number}.log")
        try:
            # Closed by close(), since the process writes to it until it ends.
            self._log = open(self.log_path, "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise UserError(f"cannot write {self.log_path}: {error.strerror}.") from error
        try:
            self._popen = subprocess.Popen(
                rank.command,
                env=rank.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if shown else self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_prepare(rank.cores),
            )
        except OSError as error:
            self._log.close()
            raise UserError(f"cannot start {rank.command[0]}: {error.strerror}.") from error
        self._copier = None

    def show(self):
        """Also copies the output to the terminal; called after all processes have been started."""
        self._copier = threading.Thread(target=self._copy, daemon=True)
        self._copier.start()

    def _copy(self):
        while True:
            block = self._popen.stdout.read1(1 << 16)
            if not block:
                return
            self._log.write(block)
            sys.stdout.buffer.write(block)
            sys.stdout.buffer.flush()

    def status(self) -> int | None:
        """Returns the exit status as in a shell, None while the process runs.

        The process is not reaped, so that its id is not reused and its group can be signalled
        until close().
        """
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        ended = os.waitid(os.P_PID, self._popen.pid, how)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status

    def has_ended(self) -> bool:
        return self.status() is not None

    def signal_group(self, number: int):
        """Sends a signal to the process and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    def close(self):
        self._popen.wait()
        if self._copier is not None:
            # Children may keep the pipe open for a moment, but have been killed.
            self._copier.join(timeout=1.0)
            self._popen.stdout.close()
        self._log.close()

    def tail(self) -> str:
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "".join(f"  {line}" for line in file.readlines()[-_TAIL_LINES:])


def _prepare(cores: tuple):
    """Returns the function that a new process calls before it executes the program."""
    # Loaded before the fork: after it the child should do as little as possible.
    library = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare():
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # The parent died before the line above.
            os._exit(1)
        if cores:
            os.sched_setaffinity(0, cores)

    return prepare


def _start(ranks, log_folder: str) -> list:
    processes = []
    try:
        for rank in ranks:
            processes.append(_Process(rank, log_folder, shown=rank is ranks[0]))
    except BaseException:
        for process in processes:
            process.signal_group(signal.SIGKILL)
        raise
    # Threads are started after the last fork.
    processes[0].show()
    return processes


def _wait(processes, signals) -> _Process | None:
    """Returns the first process that fails; None if all succeed or a signal arrives."""
    running = list(processes)
    while running and not signals.number:
        statuses = [(process.status(), process) for process in running]
        failed = [process for status, process in statuses if status]
        if failed:
            # If several fail at once, a killed one is the cause of the others.
            return max(failed, key=lambda process: process.status() > 128)
        running = [process for status, process in statuses if status is None]
        time.sleep(_POLL_SECONDS)
    return None


def _stop(processes, number: int, seconds: float, signals):
    """Signals the running processes; kills them after some seconds or another signal."""
    count = signals.count
    for process in processes:
        if not process.has_ended():
            process.signal_group(number)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and signals.count == count:
        if all(process.has_ended() for process in processes):
            break
        time.sleep(_POLL_SECONDS)
    for process in processes:
        # Also if the rank has ended: processes of its group may still run.
        process.signal_group(signal.SIGKILL)


def _report(failed: _Process):
    print(
        f"Error: {failed.rank.name} ended with status {failed.status()}; stopping the other ranks. "
        f"The last lines of {failed.log_path}:\n{failed.tail()}",
        file=sys.stderr,
        flush=True,
    )


class _Signals:
    """Counts SIGTERM and SIGINT, which otherwise would end this process."""

    def __init__(self):
        self.number = 0
        self.count = 0
        self._previous = {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *unused_error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, unused_frame):
        self.number = self.number or number
        self.count += 1
