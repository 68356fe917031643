"""Which processes train together on CPU or GPU, by the variables that their launcher has set."""

from __future__ import annotations

import dataclasses
import re

from utils.errors import UserError

RANK = "DEEPLAB_RANK"
ADDRESSES = "DEEPLAB_ADDRESSES"
LOCAL_RANK = "DEEPLAB_LOCAL_RANK"
INTERFACE = "DEEPLAB_INTERFACE"


@dataclasses.dataclass(frozen=True)
class Membership:
    """The place of this process in its group.

    Attributes:
      rank: Its number, 0 to ranks - 1.
      ranks: Number of processes.
      addresses: "host:port" of each rank. The first is where rank 0 meets the others; from the
        second on, they are where the ranks' servers listen. Where only the first is known, the
        others are found out at the meeting. Empty for one process.
      local_rank: Its number among the processes of its host.
      interface: IPv4 address that this process listens on; None is its own in `addresses`.
    """

    rank: int = 0
    ranks: int = 1
    addresses: tuple = ()
    local_rank: int = 0
    interface: str | None = None


def from_environment(environment) -> Membership:
    """Returns the place of this process; one process where no variable is set.

    Args:
      environment: The environment variables.

    Raises:
      UserError: If variables are missing or contradict each other.
    """
    if ADDRESSES not in environment:
        return Membership()
    addresses = tuple(environment[ADDRESSES].split(","))
    for address in addresses:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+:[0-9]+", address):
            raise UserError(
                f"{ADDRESSES} holds {address!r}, but must be the HOST:PORT of each rank, separated "
                "by commas."
            )
    rank = _number(environment, RANK)
    if rank >= len(addresses):
        raise UserError(f"{RANK} is {rank}, but {ADDRESSES} names {len(addresses)} ranks.")
    return Membership(
        rank,
        len(addresses),
        addresses,
        _number(environment, LOCAL_RANK, "0"),
        environment.get(INTERFACE),
    )


def _number(environment, name: str, default: str = "") -> int:
    text = environment.get(name, default)
    if not re.fullmatch(r"\d+", text):
        raise UserError(f"{name} is {text!r}, but must be a number; start with deployment.launch.")
    return int(text)
