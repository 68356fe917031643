"""The hosts of a job: the number of processes of each, which one this is, and its addresses.

The launcher uses this, so it imports the standard library only. Addresses are IPv4 addresses or
host names.
"""

from __future__ import annotations

import dataclasses
import fcntl
import re
import socket
import struct

from utils.errors import OptionError, UserError

# From <linux/sockios.h>: returns the IPv4 address of an interface.
_SIOCGIFADDR = 0x8915


@dataclasses.dataclass(frozen=True)
class Host:
    """A host of the job.

    Attributes:
      name: The host name or address at which the others reach it.
      processes: Number of the job's processes on it.
    """

    name: str
    processes: int


def parse(texts) -> list:
    """Returns the hosts of `--hosts`.

    Args:
      texts: One "NAME:PROCESSES" for each host.

    Raises:
      OptionError: If one does not have that form, or a host is listed twice.
    """
    hosts = []
    for text in texts:
        found = re.fullmatch(r"([A-Za-z0-9_.-]+):([1-9][0-9]*)", text)
        if not found:
            raise OptionError(
                f"--hosts: {text!r} does not have the form NAME:PROCESSES, a host name or IPv4 "
                "address and a positive number, such as 10.0.0.1:2."
            )
        hosts.append(Host(found.group(1), int(found.group(2))))
    names = [host.name for host in hosts]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"--hosts lists {name} twice; list it once, with all its processes.")
    return hosts


def own_index(hosts, requested: int | None) -> int:
    """Returns the index of this machine among the hosts.

    Args:
      hosts: The hosts of the job.
      requested: `--host_index`; None finds the host whose address is this machine's.

    Raises:
      OptionError: If no host or several have an address of this machine.
      UserError: If a name cannot be resolved.
    """
    names = [host.name for host in hosts]
    if requested is not None:
        if requested >= len(hosts):
            raise OptionError(
                f"--host_index={requested}, but --hosts lists {len(hosts)}: 0 to {len(hosts) - 1}."
            )
        return requested
    here = [index for index, name in enumerate(names) if is_here(name)]
    if len(here) != 1:
        found = ", ".join(names[index] for index in here) if here else "none"
        raise OptionError(
            f"--hosts={','.join(names)}: this machine has the address of {found}; pass "
            "--host_index."
        )
    return here[0]


def is_here(name: str) -> bool:
    """Whether a host name or address is this machine's.

    Raises:
      UserError: If the name cannot be resolved.
    """
    with socket.socket() as probe:
        try:
            probe.bind((resolve(name), 0))
        except OSError:
            return False
    return True


def resolve(name: str) -> str:
    """Returns the IPv4 address of a host.

    Raises:
      UserError: If the name cannot be resolved.
    """
    try:
        return socket.gethostbyname(name)
    except (OSError, UnicodeError):
        raise UserError(
            f"host {name} cannot be resolved on this machine; pass its IPv4 address."
        ) from None


def address_of(interface: str) -> str:
    """Returns the IPv4 address of `--interface`, a network interface or address of this machine.

    Raises:
      OptionError: If it is neither.
    """
    known = [name for _, name in socket.if_nameindex()]
    if interface in known:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            request = struct.pack("256s", interface.encode())
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:
                raise OptionError(
                    f"--interface={interface} has no IPv4 address; choose another one."
                ) from None
        return socket.inet_ntoa(answer[20:24])
    try:
        if is_here(interface):
            return interface
    except UserError:
        pass  # Neither an address nor a host name: refused below.
    raise OptionError(
        f"--interface={interface} is neither an interface of this machine ({', '.join(known)}) "
        "nor one of its addresses; pass one of them."
    )
