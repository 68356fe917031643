"""Ranks of a group as processes of this machine."""

import os
import pathlib
import subprocess
import sys

from deployment.ranks import membership, ports

ROOT = str(pathlib.Path(membership.__file__).parents[2])


def start(rank, addresses, *command, prefix=()):
    """Starts a rank.

    Args:
      rank: Its number.
      addresses: "HOST:PORT" of all ranks.
      *command: Python file and its arguments.
      prefix: Command line that runs Python elsewhere, such as in a network namespace.
    """
    variables = {membership.RANK: str(rank), membership.ADDRESSES: ",".join(addresses)}
    return subprocess.Popen(
        [*prefix, sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_addresses(ranks):
    """Returns free addresses on this machine."""
    return [f"127.0.0.1:{port}" for port in ports.find_free("127.0.0.1", ranks)]
