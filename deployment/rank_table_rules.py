"""The rules for the devices of a job, whatever the layout of their rank table.

The rules are those of the CANN documentation (HCCL user guide, rank table pages).
"""

from __future__ import annotations

import collections
import dataclasses
import ipaddress

# A server of the Ascend 910A has two rings of devices, with slow links between them.
_RING = 4
_COUNTS = (1, 2, 4, 8)
_MOST_SERVERS = 512
_LONGEST_SERVER_ID = 63


class BrokenRule(ValueError):
    """A rank table breaks a rule."""


@dataclasses.dataclass(frozen=True)
class Device:
    """One device of a job.

    Attributes:
      rank: Number of its process, 0 to ranks - 1.
      server_id: Name of its server, usually an IP address.
      device_id: Its physical number on the server.
      device_ip: Address of its network port; None if the table has none.
    """

    rank: int
    server_id: str
    device_id: int
    device_ip: str | None


def by_server(devices) -> dict:
    """Returns server_id -> its devices, in the order given."""
    found = collections.OrderedDict()
    for device in devices:
        found.setdefault(device.server_id, []).append(device)
    return found


def check_unique(values: list, what: str):
    """Raises BrokenRule for the first value that occurs more than once."""
    twice = [value for value, count in collections.Counter(values).items() if count > 1]
    if twice:
        raise BrokenRule(f"{what} {twice[0]} occurs {values.count(twice[0])} times.")


def check(devices, chip: str):
    """Raises BrokenRule if devices, in the order of their ranks, cannot form a job."""
    ranks = [device.rank for device in devices]
    check_unique(ranks, "rank_id")
    if ranks != list(range(len(ranks))):
        raise BrokenRule(
            f"the ranks of {len(ranks)} devices must be 0 to {len(ranks) - 1}, but are "
            f"{', '.join(map(str, ranks))}."
        )
    servers = by_server(devices)
    for server, members in servers.items():
        if len(server) > _LONGEST_SERVER_ID:
            raise BrokenRule(
                f"server_id {server} has {len(server)} characters; at most {_LONGEST_SERVER_ID} "
                "are allowed."
            )
        numbers = [device.device_id for device in members]
        check_unique(numbers, f"on server {server}, device_id")
    _check_addresses(devices, len(servers))
    sizes = {len(members) for members in servers.values()}
    if len(sizes) > 1:
        raise BrokenRule(
            "all servers must have the same number of devices, but they have "
            f"{', '.join(f'{server} {len(members)}' for server, members in servers.items())}."
        )
    if chip == "910a":
        for server, members in servers.items():
            _check_rings(server, [device.device_id for device in members], len(servers))


def _check_addresses(devices, servers: int):
    addresses = [device.device_ip for device in devices if device.device_ip is not None]
    for address in addresses:
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise BrokenRule(f"device_ip {address!r} is not an IP address.") from error
    check_unique(addresses, "device_ip")
    if servers > 1 and len(addresses) != len(devices):
        missing = next(device for device in devices if device.device_ip is None)
        raise BrokenRule(
            f"device {missing.device_id} of server {missing.server_id} has no device_ip, which "
            "jobs on several servers need (it is in /etc/hccn.conf of the server)."
        )


def _check_rings(server: str, numbers: list, servers: int):
    """Raises BrokenRule for devices of an Ascend 910A server that cannot form a job."""
    other_chip = "pass --chip=other for another chip"
    if servers > _MOST_SERVERS or (servers > 1 and len(numbers) != 2 * _RING):
        raise BrokenRule(
            f"{servers} servers with {len(numbers)} devices each: jobs on several Ascend 910A "
            f"servers use all 8 devices of each, and at most {_MOST_SERVERS} servers; {other_chip}."
        )
    if len(numbers) not in _COUNTS:
        raise BrokenRule(
            f"server {server} has {len(numbers)} devices; a job uses 1, 2, 4 or 8 of an Ascend "
            f"910A server; {other_chip}."
        )
    if max(numbers) >= 2 * _RING:
        raise BrokenRule(
            f"device_id {max(numbers)} of server {server} is not 0 to 7; {other_chip}."
        )
    if len(numbers) <= _RING and len({number // _RING for number in numbers}) > 1:
        raise BrokenRule(
            f"server {server} has devices {', '.join(map(str, sorted(numbers)))}; {len(numbers)} "
            f"devices must be in one ring, 0 to 3 or 4 to 7; {other_chip}."
        )
