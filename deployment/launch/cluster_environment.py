"""The environment variables that define a group of processes on CPU and GPU.

The launcher sets them, `deployment/ranks/membership.py` reads them.
"""

from __future__ import annotations

from deployment.launch import hosts
from deployment.ranks import ports
from deployment.ranks.membership import ADDRESSES, INTERFACE, LOCAL_RANK, RANK
from utils.errors import OptionError

VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
# The first port of each host, since hosts cannot ask each other for free ports.
_FIRST_PORT = 29600


def environments(options, base: dict) -> list:
    """Returns the environment of each process of this host, in the order of their ranks.

    Args:
      options: The launcher's: devices, device, device_ids, hosts, host_index, interface, port.
      base: Variables of every process.

    Raises:
      OptionError: If hosts, processes, devices and addresses contradict each other.
      UserError: If a port is in use or a host unknown.
    """
    inherited = (RANK, ADDRESSES, LOCAL_RANK, INTERFACE)
    base = {name: value for name, value in base.items() if name not in inherited}
    addresses, ranks = _group(options)
    gpus = _gpus(options, base, len(ranks))
    if len(addresses) == 1:
        return [{**base, **gpus[0]}]
    listens = {INTERFACE: hosts.address_of(options.interface)} if options.interface else {}
    return [
        {
            **base,
            **listens,
            **gpus[local],
            RANK: str(rank),
            ADDRESSES: ",".join(addresses),
            LOCAL_RANK: str(local),
        }
        for local, rank in enumerate(ranks)
    ]


def _group(options):
    """Returns the addresses of all processes, and the ranks of those on this host."""
    if not options.hosts:
        address = hosts.address_of(options.interface or "127.0.0.1")
        if options.devices == 1:
            return [address], range(1)
        if options.port is None:
            numbers = ports.find_free(address, options.devices)
        else:
            numbers = _counted(options.port, options.devices)
            _check(address, numbers)
        return [f"{address}:{number}" for number in numbers], range(options.devices)
    all_hosts = hosts.parse(options.hosts)
    index = hosts.own_index(all_hosts, options.host_index)
    own = all_hosts[index]
    if options.devices not in (1, own.processes):
        raise OptionError(
            f"--devices={options.devices}, but --hosts gives {own.name} {own.processes}; remove "
            "--devices."
        )
    first_port = options.port or _FIRST_PORT
    first_rank = sum(host.processes for host in all_hosts[:index])
    listens_at = hosts.address_of(options.interface) if options.interface else own.name
    _check(listens_at, _counted(first_port, own.processes), first_rank)
    addresses = [
        f"{host.name}:{port}" for host in all_hosts for port in _counted(first_port, host.processes)
    ]
    return addresses, range(first_rank, first_rank + own.processes)


def _counted(first: int, number: int) -> range:
    return range(first, first + number)


def _check(address: str, numbers, first_rank: int = 0):
    for rank, number in enumerate(numbers, first_rank):
        ports.check_free(address, number, rank)


def _gpus(options, base: dict, number: int) -> list:
    """Returns for each process the variable that shows it a single GPU; nothing on CPU."""
    text = base.get(VISIBLE_GPUS)
    if options.device != "gpu" or (number == 1 and options.device_ids is None):
        return [{}] * number
    if options.device_ids is not None and len(options.device_ids) != number:
        raise OptionError(
            f"--device_ids lists {len(options.device_ids)} GPUs for {number} processes."
        )
    chosen = options.device_ids or tuple(range(number))
    if text is None:
        return [{VISIBLE_GPUS: str(device)} for device in chosen]
    visible = [name.strip() for name in text.split(",") if name.strip()]
    if max(chosen) >= len(visible):
        raise OptionError(
            f"{VISIBLE_GPUS}={text} shows {len(visible)} GPUs, but a process needs number "
            f"{max(chosen)} of them; unset it, or start fewer processes."
        )
    return [{VISIBLE_GPUS: visible[device]} for device in chosen]
