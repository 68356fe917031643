"""A pool of processes that work on tasks and send messages."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import traceback

from utils.errors import UserError


class Workers:
    """A pool of processes; iteration yields their messages in the order of arrival."""

    def __init__(self, tasks: list, work, number: int):
        """Starts the processes, which inherit tasks and work by fork.

        Args:
          tasks: The tasks.
          work: From a task to an iterable of messages, which must not be None or exceptions.
          number: Number of processes.
        """
        context = multiprocessing.get_context("fork")
        following = context.Value("i", 0)
        self._processes, self._connections = [], []
        for _ in range(number):
            receiving, sending = context.Pipe(duplex=False)
            process = context.Process(
                target=_work, args=(tasks, work, following, sending, os.getpid()), daemon=True
            )
            process.start()
            # Now only the process itself holds this end: if it dies, reading ends.
            sending.close()
            self._processes.append(process)
            self._connections.append(receiving)

    def __iter__(self):
        waiting = set(self._connections)
        try:
            while waiting:
                for connection in multiprocessing.connection.wait(list(waiting)):
                    message = _receive(connection)
                    if message is None:
                        waiting.discard(connection)
                    elif isinstance(message, Exception):
                        raise message
                    else:
                        yield message
        finally:
            self.close()

    def close(self):
        """Ends the processes."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.join()


def _receive(connection):
    try:
        return connection.recv()
    except EOFError:
        raise UserError(
            "a worker process ended unexpectedly, perhaps for lack of memory; nothing was "
            "written; pass a smaller --num_workers."
        ) from None


def _work(tasks: list, work, following, sending, parent: int):
    """Works on tasks until none is left; sends messages, then None, or an error."""
    # The parent decides when this process ends, and reports it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        while True:
            with following.get_lock():
                number = following.value
                following.value += 1
            if number >= len(tasks):
                break
            for message in work(tasks[number]):
                if os.getppid() != parent:
                    return
                sending.send(message)
        sending.send(None)
    except UserError as error:
        sending.send(error)
    except Exception:
        sending.send(RuntimeError(f"in a worker process:\n{traceback.format_exc()}"))


def serially(tasks: list, work):
    """Yields the messages of all tasks, without other processes."""
    for task in tasks:
        yield from work(task)


def cores() -> int:
    """Returns the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
