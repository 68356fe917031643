"""Runs one process per rank until all have ended, or one has failed and the others are stopped.

Rank 0 is shown on the terminal, and every rank is written to a log of its own. Nothing is left
behind: a rank is the leader of its process group, which is stopped as a whole, and the kernel ends
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
# From <sys/prctl.h>: the signal that the kernel sends to a process whose parent has died.
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class Rank:
    """One process to run.

    Attributes:
      number: Its rank.
      name: How messages call it, such as "rank 3 (device 3)".
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
      log_folder: Existing folder where `rank_N.log` go; output is appended.
      failure_seconds: Time that the others have to end after one has failed, before they are
        killed.
      signal_seconds: Time that all have to end after SIGTERM or SIGINT; a second signal kills them
        at once.

    Returns:
      0, or the exit status of the rank that failed first (128 + number after a signal).

    Raises:
      Interrupted: After SIGTERM or SIGINT.
      UserError: If a program cannot be started or a log not be written.
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
            _complain(failed)
            return failed.status()
        finally:
            _stop(processes, signal.SIGTERM, failure_seconds, signals)
            for process in processes:
                process.close()


class _Process:
    """A rank that runs."""

    def __init__(self, rank: Rank, log_folder: str, *, shown: bool):
        self.rank = rank
        self.log_path = os.path.join(log_folder, f"rank_{rank.number}.log")
        try:
            # The process keeps writing to it, so it is closed by close().
            self._log = open(self.log_path, "ab", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{self.log_path} cannot be written: {error.strerror}.") from error
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
            raise UserError(f"{rank.command[0]} cannot be started: {error.strerror}.") from error
        self._copier = None

    def show(self):
        """Copies the output to the terminal too; called when all processes have been started."""
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
        """Returns the exit status as a shell tells it, None while the process runs.

        The process is looked at without being reaped, so that its number stays its own and its
        group can be signalled safely until close().
        """
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        ended = os.waitid(os.P_PID, self._popen.pid, how)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status

    def has_ended(self) -> bool:
        return self.status() is not None

    def signal_group(self, number: int):
        """Signals the process and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    def close(self):
        self._popen.wait()
        if self._copier is not None:
            # What the process has started may hold the pipe open; it has been killed by now.
            self._copier.join(timeout=1.0)
            self._popen.stdout.close()
        self._log.close()

    def tail(self) -> str:
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return "".join(f"  {line}" for line in file.readlines()[-_TAIL_LINES:])


def _prepare(cores: tuple):
    """Returns what a new process does before it becomes the program."""
    # Loaded here: after a fork the child should do as little as possible.
    library = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def prepare():
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # It died before the line above.
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
    # Threads come after the last fork.
    processes[0].show()
    return processes


def _wait(processes, signals) -> _Process | None:
    """Returns the first process that fails; None when all have ended well or a signal came."""
    running = list(processes)
    while running and not signals.number:
        statuses = [(process.status(), process) for process in running]
        failed = [process for status, process in statuses if status]
        if failed:
            # One that was killed is why the others fail, should they do so in the same moment.
            return max(failed, key=lambda process: process.status() > 128)
        running = [process for status, process in statuses if status is None]
        time.sleep(_POLL_SECONDS)
    return None


def _stop(processes, number: int, seconds: float, signals):
    """Ends what still runs: asks first, kills after some seconds or after one more signal."""
    asked_with = signals.count
    for process in processes:
        if not process.has_ended():
            process.signal_group(number)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and signals.count == asked_with:
        if all(process.has_ended() for process in processes):
            break
        time.sleep(_POLL_SECONDS)
    for process in processes:
        # Also where the rank has ended: it may have left processes of its group behind.
        process.signal_group(signal.SIGKILL)


def _complain(failed: _Process):
    print(
        f"Error: {failed.rank.name} ended with status {failed.status()}; the other ranks are "
        f"stopped. The last lines of {failed.log_path}:\n{failed.tail()}",
        file=sys.stderr,
        flush=True,
    )


class _Signals:
    """Counts SIGTERM and SIGINT instead of being ended by them."""

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
