"""Which processes train together on CPU or GPU, from the variables that their launcher set.

Four launchers are supported: our own, whose variables take precedence, since another one may have
started it; `TF_CONFIG`; `RANK` and `WORLD_SIZE` with a master's address; and SLURM's `srun`.
"""

from __future__ import annotations

import dataclasses
import json
import re

from utils.errors import UserError

RANK = "DEEPLAB_RANK"
ADDRESSES = "DEEPLAB_ADDRESSES"
LOCAL_RANK = "DEEPLAB_LOCAL_RANK"
INTERFACE = "DEEPLAB_INTERFACE"

_ADDRESS = r"[A-Za-z0-9_.-]+:[0-9]+"
# A list of hosts as SLURM writes it, such as node[001-003,007],login; the first group is its head.
_HOST = r"(?:[A-Za-z0-9_.-]+|\[[0-9][0-9,-]*\])+"
_HOST_LIST = rf"({_HOST})(?:,{_HOST})*"
# Ports on which the ranks of a SLURM job connect: one for each step, below Linux's ephemeral ports.
_FIRST_SLURM_PORT = 20000
_SLURM_PORTS = 10000


@dataclasses.dataclass(frozen=True)
class Membership:
    """The place of this process in its group.

    Attributes:
      rank: Its number, 0 to ranks - 1.
      ranks: Number of processes.
      addresses: "host:port" of each rank: the first is where rank 0 accepts the others, the rest
        are where the other ranks' servers listen. If only the first is known, ranks exchange the
        others when they connect. Empty for one process.
      local_rank: Its number among the processes of its host.
      interface: IPv4 address that this process listens on; None: its own in `addresses`.
    """

    rank: int = 0
    ranks: int = 1
    addresses: tuple = ()
    local_rank: int = 0
    interface: str | None = None


def from_environment(environment) -> Membership:
    """Returns the place of this process; a single process if no variable is set.

    Args:
      environment: The environment variables.

    Raises:
      UserError: If variables are missing or contradict each other.
    """
    if ADDRESSES in environment:
        found = _of_launcher(environment)
    else:
        readers = {"TF_CONFIG": _of_tf_config, "WORLD_SIZE": _of_world_size, "SLURM": _of_slurm}
        places = {name: read(environment) for name, read in readers.items()}
        found = _agreed({name: place for name, place in places.items() if place is not None})
    if found.ranks == 1:
        return Membership()
    return dataclasses.replace(found, interface=environment.get(INTERFACE))


def _agreed(places: dict) -> Membership:
    """Returns the place by the first of several sources, which must all agree."""
    if not places:
        return Membership()
    (first, chosen), *others = places.items()
    for name, place in others:
        if (place.rank, place.ranks) != (chosen.rank, chosen.ranks):
            raise UserError(
                f"this is rank {chosen.rank} of {chosen.ranks} by {first}, but rank {place.rank} "
                f"of {place.ranks} by {name}; unset the variables of one of them."
            )
    return chosen


def _of_launcher(environment) -> Membership:
    addresses = tuple(environment[ADDRESSES].split(","))
    _check_addresses(ADDRESSES, addresses)
    rank = _number(environment, RANK)
    _check_rank(f"{RANK} is {rank}", rank, f"{ADDRESSES} names", len(addresses))
    return Membership(rank, len(addresses), addresses, _number(environment, LOCAL_RANK, "0"))


def _of_tf_config(environment) -> Membership | None:
    """Returns the place from TF_CONFIG: chief (or master) first, then the workers."""
    text = environment.get("TF_CONFIG", "")
    if not text.strip():
        return None
    try:
        content = json.loads(text)
        cluster, task = content.get("cluster"), content.get("task")
        if not cluster:
            return None
        jobs = {name: [str(address) for address in cluster[name]] for name in cluster}
        kind, index = str(task["type"]), int(task["index"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(
            "TF_CONFIG is not of the form "
            '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}.'
        ) from None
    order = [name for name in ("chief", "master", "worker") if name in jobs]
    if kind not in order:
        raise UserError(
            f"TF_CONFIG makes this process {kind} {index}, but only a chief and workers of its "
            "cluster can train: there are no parameter servers or evaluators here."
        )
    addresses = tuple(address for name in order for address in jobs[name])
    _check_addresses("TF_CONFIG", addresses)
    _check_rank(f"TF_CONFIG makes this {kind} {index}", index, "names", len(jobs[kind]))
    rank = sum(len(jobs[name]) for name in order[: order.index(kind)]) + index
    hosts = [address.rsplit(":", 1)[0] for address in addresses]
    return Membership(rank, len(addresses), addresses, hosts[:rank].count(hosts[rank]))


def _of_world_size(environment) -> Membership | None:
    """Returns the place from RANK and WORLD_SIZE; ranks connect at the master's address."""
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return None
    ranks, rank = _number(environment, "WORLD_SIZE"), _number(environment, "RANK")
    _check_rank(f"RANK is {rank}", rank, "WORLD_SIZE is", ranks)
    if ranks == 1:
        return Membership()
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in environment:
            raise UserError(
                f"WORLD_SIZE is {ranks}, but {name} is not set; rank 0 listens on MASTER_ADDR and "
                "MASTER_PORT."
            )
    address = f"{environment['MASTER_ADDR']}:{_number(environment, 'MASTER_PORT')}"
    _check_addresses("MASTER_ADDR", (address,))
    return Membership(rank, ranks, (address,), _number(environment, "LOCAL_RANK", "0"))


def _of_slurm(environment) -> Membership | None:
    """Returns the place in a step of SLURM; ranks connect at its first host."""
    if "SLURM_PROCID" not in environment:
        return None
    if environment.get("ENVIRONMENT") == "BATCH" and "SLURM_STEP_ID" not in environment:
        # The batch script itself, which runs once; srun starts its tasks.
        return None
    # The step's variables come first: the others may be those of the whole job.
    tasks = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
    ranks, rank = _number(environment, tasks), _number(environment, "SLURM_PROCID")
    _check_rank(f"SLURM_PROCID is {rank}", rank, f"{tasks} is", ranks)
    if ranks == 1:
        return Membership()
    names = ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST")
    lists = [environment[name] for name in names if name in environment]
    if not lists:
        raise UserError(f"{tasks} is {ranks}, but SLURM_JOB_NODELIST is not set; use srun.")
    job, step = (_number(environment, name, "0") for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    port = _FIRST_SLURM_PORT + (job + step) % _SLURM_PORTS
    address = f"{_first_host(lists[0])}:{port}"
    return Membership(rank, ranks, (address,), _number(environment, "SLURM_LOCALID", "0"))


def _first_host(text: str) -> str:
    """Returns the first host of SLURM's list: node001 of node[001-003,007],login."""
    match = re.fullmatch(_HOST_LIST, text)
    if not match:
        raise UserError(
            f"SLURM's list of hosts {text!r} cannot be read; see `scontrol show hostnames`."
        )
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", match.group(1))


def _check_addresses(source: str, addresses: tuple):
    for address in addresses:
        if not re.fullmatch(_ADDRESS, address):
            raise UserError(
                f"{source} contains {address!r}, but must contain HOST:PORT of each rank, with a "
                "host name or IPv4 address."
            )
        if addresses.count(address) > 1:
            raise UserError(f"{source} contains {address} twice; each rank needs its own address.")


def _check_rank(is_rank: str, rank: int, has_ranks: str, ranks: int):
    if rank >= ranks:
        raise UserError(f"{is_rank}, but {has_ranks} {ranks}; ranks are 0 to {ranks - 1}.")


def _number(environment, name: str, default: str = "") -> int:
    text = environment.get(name, default)
    if not text:
        raise UserError(f"{name} is not set, but other variables of its launcher are.")
    if not re.fullmatch(r"\d+", text):
        raise UserError(f"{name} is {text!r}, but must be a number.")
    return int(text)
