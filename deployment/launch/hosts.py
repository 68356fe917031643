"""The hosts of a job: how many processes each has, which one this is, and where they listen.

Standard library only: the launcher uses it, which loads no TensorFlow. Addresses are those of IPv4,
or names that lead to one.
"""

from __future__ import annotations

import dataclasses
import fcntl
import re
import socket
import struct

from utils.errors import OptionError, UserError

# From <linux/sockios.h>: asks for the IPv4 address of an interface.
_SIOCGIFADDR = 0x8915


@dataclasses.dataclass(frozen=True)
class Host:
    """A host of the job.

    Attributes:
      name: Its name or address, by which the others reach it.
      processes: How many of the job's processes it runs.
    """

    name: str
    processes: int


def parse(texts) -> list:
    """Returns the hosts of `--hosts`.

    Args:
      texts: One "NAME:PROCESSES" for each host.

    Raises:
      OptionError: If one is not of that form, or a name comes twice.
    """
    hosts = []
    for text in texts:
        found = re.fullmatch(r"([A-Za-z0-9_.-]+):([1-9][0-9]*)", text)
        if not found:
            raise OptionError(
                f"--hosts: {text!r} is not of the form NAME:PROCESSES with a host's name or IPv4 "
                "address and a number above 0, such as 10.0.0.1:2."
            )
        hosts.append(Host(found.group(1), int(found.group(2))))
    names = [host.name for host in hosts]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"--hosts names {name} twice; state all its processes at once.")
    return hosts


def own_index(hosts, stated: int | None) -> int:
    """Returns which of the hosts this machine is.

    Args:
      hosts: The hosts of the job.
      stated: `--host_index`; None to look for the one whose address is this machine's.

    Raises:
      OptionError: If there is no such host, or several are this machine.
      UserError: If a name leads to no address.
    """
    names = [host.name for host in hosts]
    if stated is not None:
        if stated >= len(hosts):
            raise OptionError(
                f"--host_index={stated}, but --hosts names {len(hosts)}: 0 to {len(hosts) - 1}."
            )
        return stated
    here = [index for index, name in enumerate(names) if is_here(name)]
    if len(here) != 1:
        found = f"all of {', '.join(names[index] for index in here)} are" if here else "none is"
        raise OptionError(
            f"--hosts={','.join(names)}: {found} this machine by address; pass --host_index."
        )
    return here[0]


def is_here(name: str) -> bool:
    """Whether a name or address is this machine's.

    Raises:
      UserError: If the name leads to no address.
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
      UserError: If the name leads to none.
    """
    try:
        return socket.gethostbyname(name)
    except (OSError, UnicodeError):
        raise UserError(
            f"host {name} is known to no name service of this machine; use its IPv4 address."
        ) from None


def address_of(interface: str) -> str:
    """Returns the IPv4 address of `--interface`, an interface or an address of this machine.

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
        pass  # Said below, for whatever is no address of this machine.
    raise OptionError(
        f"--interface={interface} is neither an interface of this machine ({', '.join(known)}) "
        "nor one of its addresses."
    )
