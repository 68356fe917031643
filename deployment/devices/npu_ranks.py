"""The rank of this process, from the environment variables that its launcher set.

The adapter knows the rank only after the device has been initialized, but it is needed before, for
data and folders. The rules are those of the CANN documentation (environment variable reference).
"""

from __future__ import annotations

import dataclasses
import re

from absl import logging

from deployment import rank_table
from utils.errors import OptionError, UserError

DEFAULT_JOB = "10087"


@dataclasses.dataclass(frozen=True)
class Ranks:
    """The place of this process in its job.

    Attributes:
      rank: Its number, 0 to ranks - 1.
      ranks: Number of processes.
    """

    rank: int
    ranks: int


def read(environment, expected: int) -> Ranks:
    """Returns the place of this process.

    Args:
      environment: The environment variables.
      expected: `--rank`, the number of processes that the user expects; 1 accepts any.

    Raises:
      OptionError: If another number of processes was started.
      UserError: If a variable is missing or contradicts another.
    """
    if "RANK_SIZE" in environment and "CM_WORKER_SIZE" in environment:
        raise UserError(
            "RANK_SIZE and CM_WORKER_SIZE are both set; the first is for a start with a rank "
            "table, the second for one without: unset one of them."
        )
    name = "CM_WORKER_SIZE" if "CM_WORKER_SIZE" in environment else "RANK_SIZE"
    ranks = _number(environment, name, default=1)
    if ranks < 1:
        raise UserError(f"{name} is {ranks}, but must be at least 1.")
    if expected not in (1, ranks):
        raise OptionError(
            f"--rank={expected} expects {expected} processes, but {name} is {ranks}; start them "
            f"with `python -m deployment.launch --devices={expected} -- ...`, or remove the flag."
        )
    if ranks == 1:
        return Ranks(0, 1)
    rank = _rank(environment, name)
    if not 0 <= rank < ranks:
        raise UserError(
            f"this process is rank {rank}, but {name} is {ranks}; ranks are 0 to {ranks - 1}."
        )
    if name == "RANK_SIZE":
        _check_table(environment, ranks)
    return Ranks(rank, ranks)


def _rank(environment, size_name: str) -> int:
    # With a legacy table RANK_ID may be a pod name, and without a table it is unset; launchers then
    # set DEVICE_INDEX.
    text = environment.get("RANK_ID", "")
    if size_name == "RANK_SIZE" and re.fullmatch(r"\d+", text):
        return int(text)
    if "DEVICE_INDEX" not in environment:
        raise UserError(
            f"{size_name} is set, but neither RANK_ID nor DEVICE_INDEX is the rank of this "
            "process; start it with python -m deployment.launch."
        )
    return _number(environment, "DEVICE_INDEX", default=0)


def _number(environment, name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not re.fullmatch(r"\d+", text):
        raise UserError(f"{name} is {text!r}, but must be a number.")
    return int(text)


def _check_table(environment, ranks: int):
    if "CM_CHIEF_IP" in environment:
        raise UserError(
            "CM_CHIEF_IP (for a start without rank table) and RANK_SIZE are both set; unset one "
            "of them."
        )
    if "JOB_ID" not in environment:
        raise UserError("JOB_ID is not set; all processes of a job need the same value.")
    path = environment.get("RANK_TABLE_FILE")
    if path is None:
        raise UserError(
            f"RANK_SIZE is {ranks}, but RANK_TABLE_FILE is not set; set it to the rank table."
        )
    # The chip's rules were checked by the launcher or when the table was made.
    table = rank_table.read(path, chip="other")
    if len(table.devices) != ranks:
        raise UserError(
            f"RANK_SIZE is {ranks}, but rank table {path} has {len(table.devices)} devices."
        )
    if table.layout == rank_table.LEGACY and "DEVICE_ID" not in environment:
        raise UserError(
            f"DEVICE_ID is not set, but rank table {path} needs it to select the device."
        )
    logging.info("Rank table %s: %d devices.", path, ranks)
