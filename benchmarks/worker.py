"""A process that repeats one thing on request, so that different environments are interleaved."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent import futures

from deployment.ranks import membership, ports
from utils.errors import UserError


def serve(function, description: dict):
    """Runs a function once for each line of standard input; called in the worker process.

    Prints `description` as a line of JSON at the start, and a line after each run: seconds, CPU
    seconds, and the process's peak memory so far in MB.
    """
    print(json.dumps(description), flush=True)
    for _ in sys.stdin:
        processor, begin = time.process_time(), time.perf_counter()
        function()
        answer = {
            "seconds": time.perf_counter() - begin,
            "processor_seconds": time.process_time() - processor,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        }
        print(json.dumps(answer), flush=True)


class Worker:
    """Starts a process that calls `serve`, and makes it run.

    Attributes:
      description: The description that the process printed.
    """

    def __init__(self, command: list, environment: dict | None = None):
        """Starts a process and waits until it is ready.

        Raises:
          UserError: If it ends instead, with the last lines of its output.
        """
        # Open as long as the process runs.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
        )
        self.description = self._answer()

    def run(self) -> dict:
        """Makes the process run its function once; returns its answer."""
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self):
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        status = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().split("\n")[-3:]
        raise UserError(f"a measuring process ended with status {status}: {' '.join(lines)}")


class Group:
    """Several processes that run at the same time, each on its own core; the slowest counts.

    Attributes:
      description: The description that the first process printed.
    """

    def __init__(self, command: list, cores: list, *, in_group: bool):
        """Starts a process on each core and waits until all are ready.

        Args:
          command: Of each process.
          cores: Numbers of the cores.
          in_group: Whether they are ranks of one group, or independent.

        Raises:
          UserError: If one of them ends instead.
        """
        addresses = [f"127.0.0.1:{port}" for port in ports.find_free("127.0.0.1", len(cores))]

        def start(rank):
            environment = {**os.environ}
            if in_group:
                environment[membership.ADDRESSES] = ",".join(addresses)
                environment[membership.RANK] = str(rank)
            return Worker(["taskset", "--cpu-list", str(cores[rank]), *command], environment)

        with futures.ThreadPoolExecutor(len(cores)) as pool:
            starts = [pool.submit(start, rank) for rank in range(len(cores))]
        failures = [one.exception() for one in starts if one.exception() is not None]
        self._workers = [one.result() for one in starts if one.exception() is None]
        if failures:
            self.close()
            raise failures[0]
        self.description = self._workers[0].description

    def run(self) -> dict:
        """Makes all run at once; returns the seconds of the slowest, and the sums of the rest."""
        with futures.ThreadPoolExecutor(len(self._workers)) as pool:
            answers = list(pool.map(Worker.run, self._workers))
        return {
            "seconds": max(answer["seconds"] for answer in answers),
            "processor_seconds": sum(answer["processor_seconds"] for answer in answers),
            "peak_mb": sum(answer["peak_mb"] for answer in answers),
        }

    def close(self):
        """Ends all processes."""
        # In parallel: a rank may wait for the others before it ends.
        with futures.ThreadPoolExecutor(max(1, len(self._workers))) as pool:
            list(pool.map(Worker.close, self._workers))
