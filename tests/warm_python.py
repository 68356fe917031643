"""Starts Python programs in forks of a process that has TensorFlow loaded already.

Loading TensorFlow takes seconds, so commands of the documents get a stand-in for `python`: it hands
its arguments, folder, variables and open files to a server, which forks and runs the program there
as Python would, from its first line on. Everything of the project is imported anew by each program.
"""

import array
import json
import os
import pathlib
import runpy
import socket
import subprocess
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
START_SECONDS = 120
_STANDARD_FILES = 3
# The first names of this project's modules.
_OWN = ("common", "options", "utils", "core", "datasets", "deployment", "commands", "tests")
# Written to a file with the interpreter and the server's address filled in; imports little, so that
# it starts in milliseconds.
_STAND_IN = """#!{python} -IS
import array, json, os, socket, sys
words = sys.argv[1:]
if not words or (words[0].startswith("-") and words[0] != "-m"):
    os.execv({python!r}, [{python!r}, *words])
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
server.sendmsg([len(request).to_bytes(4, "big")], files)
server.sendall(request)
status = server.recv(1)
sys.exit(status[0] if status else 1)
"""


class WarmPython:
    """A server and the stand-ins for `python` that ask it; a context manager.

    Args:
      folder: A folder of its own.
    """

    def __init__(self, folder):
        self._address = str(folder / "socket")
        command = [sys.executable, "-m", "tests.warm_python", self._address]
        # Not this process's files: whoever reads those would wait for the server's end.
        with open(str(folder / "server.log"), "wb") as log:
            self._server = subprocess.Popen(
                command,
                cwd=str(ROOT),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self):
        deadline = time.monotonic() + START_SECONDS
        while not os.path.exists(self._address):
            assert self._server.poll() is None, "the server of warm Pythons has ended"
            assert time.monotonic() < deadline, "the server of warm Pythons does not start"
            time.sleep(0.05)
        return self

    def __exit__(self, *unused_error):
        self._server.terminate()
        self._server.wait()

    def install(self, path):
        """Writes a stand-in for `python`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_STAND_IN.format(python=sys.executable, address=self._address))
        path.chmod(0o755)


def serve(address):
    """Runs what stand-ins ask for, until it is terminated."""
    import utils.compat  # noqa: F401 (for the packages that it loads)

    for name in [name for name in sys.modules if _is_of_project(name)]:
        del sys.modules[name]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen(16)
    os.rename(address + ".new", address)
    while True:
        client, _ = listener.accept()
        if os.fork():
            client.close()
            _collect()
            continue
        listener.close()
        _answer(client)


def _is_of_project(name):
    return name.split(".")[0] in _OWN


def _collect():
    """Takes the statuses of forks that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _answer(client):
    """Forks once more for the program, waits for it, and tells its status."""
    header, ancillary, *_ = client.recvmsg(4, socket.CMSG_SPACE(4 * _STANDARD_FILES))
    files = array.array("i")
    files.frombytes(ancillary[0][2])
    with client.makefile("rb") as stream:
        request = json.loads(stream.read(int.from_bytes(header, "big")).decode())
    program = os.fork()
    if not program:
        client.close()
        for number, file in enumerate(files):
            os.dup2(file, number)
        _exit_after(*request)
    _, status = os.waitpid(program, 0)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
    client.sendall(bytes([code]))
    os._exit(0)


def _exit_after(words, folder, variables):
    """Runs `python WORDS` in this process and ends it."""
    status = 1
    try:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        status = _run(words)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _run(words):
    # As Python does: the program's folder comes first, for -m the working directory.
    if words[0] == "-m":
        sys.path[0] = os.getcwd()
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(words[0]))
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
