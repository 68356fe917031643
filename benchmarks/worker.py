"""A process that repeats one thing on request, so that several environments are timed in turn."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time

from utils.errors import UserError


def serve(function, description: dict):
    """Runs a function once for each line of standard input; called in the worker process.

    Prints one line of JSON at the start, `description`, and one for each run: seconds, seconds of
    processor time, and the process's peak memory so far in MB.
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
    """The other end of `serve`: starts the process and asks it to run.

    Attributes:
      description: What the process said of itself.
    """

    def __init__(self, command: list, environment: dict | None = None):
        """Starts a process and waits until it is ready.

        Raises:
          UserError: If it ends instead, with the last lines of what it said.
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
        """Has the process run its function once; returns its answer."""
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
        said = self._errors.read().decode(errors="replace").strip().split("\n")[-3:]
        raise UserError(f"A measuring process ended with status {status}: {' '.join(said)}")
