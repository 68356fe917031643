"""The environment variables that the processes of a job on Ascend NPUs need to find each other.

The launcher uses this, so it does not import the adapter. The variables and their rules are those
of the CANN documentation (environment variable reference).
"""

from __future__ import annotations

import re

from deployment.devices.npu_ranks import DEFAULT_JOB
from deployment.rank_table import RankTable
from utils.errors import UserError

# For a start without rank table: the master's address, its port, the device of rank 0, the number
# of ranks, this host's address.
CHIEF_VARIABLES = (
    "CM_CHIEF_IP",
    "CM_CHIEF_PORT",
    "CM_CHIEF_DEVICE",
    "CM_WORKER_SIZE",
    "CM_WORKER_IP",
)
TABLE_VARIABLES = ("RANK_TABLE_FILE", "RANK_ID", "RANK_SIZE")
_LARGEST_PORT = 65520
_MOST_RANKS = 32768


def with_table(base: dict, table: RankTable, path: str, server: str) -> list:
    """Returns the environment of each process that a server runs, in the order of their ranks.

    Args:
      base: Variables of every process.
      table: The devices of the job.
      path: The table's file.
      server: The server's `server_id`.

    Raises:
      UserError: If JOB_ID breaks its rule, or variables of a start without table are set.
    """
    present = [name for name in CHIEF_VARIABLES if name in base]
    if present:
        raise UserError(
            f"{present[0]} is set, for a start without rank table, but {path} is one; unset "
            f"{', '.join(present)}, or pass no table."
        )
    environments = []
    for device in table.servers()[server]:
        environments.append(
            {
                **_device_variables(base, device.device_id, device.rank),
                "RANK_TABLE_FILE": path,
                "RANK_ID": str(device.rank),
                "RANK_SIZE": str(len(table.devices)),
            }
        )
    return environments


def single(base: dict, device_id: int) -> dict:
    """Returns the environment of one process on one device, without a rank table."""
    variables = _device_variables(
        _without(base, (*TABLE_VARIABLES, *CHIEF_VARIABLES)), device_id, 0
    )
    return {**variables, "RANK_ID": "0", "RANK_SIZE": "1"}


def with_chief(base: dict, device_ids, first_rank: int) -> list:
    """Returns the environments of processes that connect to a master instead of a rank table.

    Args:
      base: Variables of every process, including CHIEF_VARIABLES.
      device_ids: Devices of this host.
      first_rank: Number of this host's first process; 0 on the host of the master.

    Raises:
      UserError: If a variable is missing or breaks its rule.
    """
    _check_chief(base, len(device_ids), first_rank)
    # The adapter reads rank and number of ranks from the CM variables only if these are unset. It
    # does not read DEVICE_INDEX, which gives our processes their share of the data.
    cleared = _without(base, TABLE_VARIABLES)
    return [
        _device_variables(cleared, device_id, first_rank + index)
        for index, device_id in enumerate(device_ids)
    ]


def _check_chief(base: dict, local: int, first_rank: int):
    for name in CHIEF_VARIABLES:
        if name not in base:
            raise UserError(
                f"{name} is not set; a start without rank table needs {', '.join(CHIEF_VARIABLES)}."
            )
    port, size = _number(base, "CM_CHIEF_PORT"), _number(base, "CM_WORKER_SIZE")
    if not 0 < port <= _LARGEST_PORT:
        raise UserError(f"CM_CHIEF_PORT is {port}, but must be 1 to {_LARGEST_PORT}.")
    if not first_rank + local <= size <= _MOST_RANKS:
        raise UserError(
            f"CM_WORKER_SIZE is {size}, but this host starts ranks {first_rank} to "
            f"{first_rank + local - 1}; set it to the number of ranks of all hosts, at most "
            f"{_MOST_RANKS}."
        )


def _number(base: dict, name: str) -> int:
    if not re.fullmatch(r"\d+", base[name]):
        raise UserError(f"{name} is {base[name]!r}, but must be a number.")
    return int(base[name])


def _device_variables(base: dict, device_id: int, rank: int) -> dict:
    job = base.get("JOB_ID", DEFAULT_JOB)
    if not re.fullmatch(r"[A-Za-z0-9_-]+", job) or re.fullmatch(r"0\d+", job):
        raise UserError(
            f"JOB_ID is {job!r}, but must consist of letters, digits, - and _, and must not be a "
            "number with a leading 0."
        )
    return {
        **base,
        "JOB_ID": job,
        # ASCEND_DEVICE_ID takes precedence over DEVICE_ID, which the legacy table needs.
        "ASCEND_DEVICE_ID": str(device_id),
        "DEVICE_ID": str(device_id),
        "DEVICE_INDEX": str(rank),
    }


def _without(base: dict, names) -> dict:
    return {name: value for name, value in base.items() if name not in names}
