"""Starts one process per device and supervises it: `python -m deployment.launch FLAGS -- COMMAND`.

  python -m deployment.launch --devices=8 --rank_table=scripts/8p.json -- train_npu.py --rank=8 ...
  python -m deployment.launch --devices=1 --device_ids=3 -- train_npu.py ...
  python -m deployment.launch --device=cpu --devices=2 -- train_npu.py --device=cpu ...
  python -m deployment.launch --device=gpu --hosts=a:4,b:4 -- train_npu.py --device=gpu ...

Each process gets the environment that its device needs, and its own cores. The output of rank 0 is
shown, and that of every rank is in `rank_N.log`. When a rank fails, the launcher prints the end of
its log, stops the others, and exits with its status; with --max_restarts it first starts all again.
Ctrl-C is passed on to all ranks; training then saves and ends.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys

from absl import flags, logging

import common
from common import Options, option
from deployment import rank_table
from deployment.devices import npu_environment
from deployment.launch import cluster_environment, supervisor
from utils.errors import OptionError, UserError
from utils.files import write_text


@dataclasses.dataclass(frozen=True)
class LaunchOptions(Options):
    """Which processes are started, and how they end."""

    devices: int = option(
        flags.DEFINE_integer, 1, "Devices of this host, with one process each.", minimum=1
    )
    device: str = option(
        flags.DEFINE_string, "npu", "Kind of the devices.", choices=("npu", "cpu", "gpu")
    )
    device_ids: tuple[int, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Numbers of the devices, comma separated; 0 to devices - 1 if unset. Not with a rank "
        "table, which lists them.",
        convert=int,
        minimum=0,
    )
    rank_table: str | None = option(
        flags.DEFINE_string,
        None,
        "HCCL rank table, needed for more than one NPU; $RANK_TABLE_FILE if unset. If it has more "
        "devices on one server, the first ones are used.",
    )
    chip: str = option(
        flags.DEFINE_string,
        "910a",
        "Chip of the servers in the rank table: 910a has rings of four devices, whose rules are "
        "checked.",
        choices=("910a", "other"),
    )
    server: str | None = option(
        flags.DEFINE_string,
        None,
        "server_id of this host in a rank table of several servers.",
    )
    first_rank: int = option(
        flags.DEFINE_integer,
        0,
        "Rank of this host's first process, for a start without rank table on several hosts "
        "(with CM_CHIEF_IP and its related variables).",
        minimum=0,
    )
    hosts: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "CPU and GPU: all hosts of the job and their numbers of processes, such as "
        "10.0.0.1:2,10.0.0.2:2, the same on each host. Unset: this host only.",
    )
    host_index: int | None = option(
        flags.DEFINE_integer,
        None,
        "Index of this host in --hosts, from 0; unset: the one with an address of this machine.",
        minimum=0,
    )
    interface: str | None = option(
        flags.DEFINE_string,
        None,
        "CPU and GPU: network interface or address of this host on which its processes listen; "
        "unset: its address in --hosts, 127.0.0.1 on one host.",
    )
    port: int | None = option(
        flags.DEFINE_integer,
        None,
        "CPU and GPU: port of a host's first process; those of the others follow. Unset: free "
        "ports on one host, 29600 on several.",
        minimum=1,
        maximum=65535,
    )
    max_restarts: int = option(
        flags.DEFINE_integer,
        0,
        "How many times all ranks are restarted when one fails; training resumes from its last "
        "checkpoint. Wrong flags (status 2) cause no restart.",
        minimum=0,
    )
    bind_cores: bool = option(
        flags.DEFINE_bool, True, "Bind each process to an equal share of the cores."
    )
    rank_logs: str = option(
        flags.DEFINE_string, "launch_logs", "Folder of the ranks' logs, which are appended to."
    )
    failure_seconds: float = option(
        flags.DEFINE_float,
        10.0,
        "Seconds within which the other ranks must end after one has failed.",
        minimum=0.0,
    )
    signal_seconds: float = option(
        flags.DEFINE_float,
        600.0,
        "Seconds within which all ranks must finish their loop and save after Ctrl-C or SIGTERM; a "
        "second signal kills them at once.",
        minimum=0.0,
    )

    def check(self):
        """Raises OptionError for contradictions."""
        self._check_kind()
        named = self.device_ids is not None and not self.hosts
        if named and len(self.device_ids) != self.devices:
            raise OptionError(
                f"--device_ids lists {len(self.device_ids)} devices, but --devices={self.devices}."
            )
        if self.device_ids is not None and len(set(self.device_ids)) != len(self.device_ids):
            raise OptionError("--device_ids lists a device twice; each process needs its own.")

    def _check_kind(self):
        """Raises OptionError for a flag of another kind of device."""
        if self.device == "npu":
            names = ("hosts", "host_index", "interface", "port")
        else:
            names = ("rank_table", "server", "first_rank")
            names += ("device_ids",) if self.device == "cpu" else ()
        for name in names:
            value = getattr(self, name)
            if value is not None and value != 0:
                raise OptionError(
                    f"--{name} has no effect with --device={self.device}; remove one of them."
                )
        if self.host_index is not None and not self.hosts:
            raise OptionError("--host_index needs --hosts.")


def main(flag_values, command: list):
    """Runs the command on every device, again after failures if --max_restarts allows it."""
    options = common.from_flags(LaunchOptions, flag_values)
    _make_folder(options.rank_logs)
    status = _run(options, command)
    restarts = 0
    while status not in (0, common.STATUS_USAGE) and restarts < options.max_restarts:
        restarts += 1
        logging.warning(
            "Restart %d of %d: starting all ranks again; training resumes from its last "
            "checkpoint.",
            restarts,
            options.max_restarts,
        )
        status = _run(options, command)
    if status:
        if restarts:
            logging.error("Giving up after %d restart%s.", restarts, "s" * (restarts > 1))
        sys.exit(status)


def _run(options: LaunchOptions, command: list) -> int:
    """Runs all ranks of this host until they end; returns the exit status."""
    environments = _environments(options, dict(os.environ))
    ranks = _ranks(options, environments, _program(command))
    logging.info(
        "Starting %d process%s on %s; logs are in %s.",
        len(ranks),
        "es" * (len(ranks) > 1),
        options.device,
        options.rank_logs,
    )
    return supervisor.run(
        ranks,
        options.rank_logs,
        failure_seconds=options.failure_seconds,
        signal_seconds=options.signal_seconds,
    )


def _make_folder(path: str):
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create --rank_logs={path}: {error.strerror}; pass another folder."
        ) from error


def _environments(options: LaunchOptions, base: dict) -> list:
    """Returns the environment of each process of this host."""
    if options.device != "npu":
        return cluster_environment.environments(options, base)
    device_ids = options.device_ids or tuple(range(options.devices))
    path = options.rank_table or base.get("RANK_TABLE_FILE")
    if options.devices == 1 and options.rank_table is None and "CM_CHIEF_IP" not in base:
        return [npu_environment.single(base, device_ids[0])]
    if path is not None:
        return _environments_of_table(options, base, path)
    if "CM_CHIEF_IP" in base:
        return npu_environment.with_chief(base, device_ids, options.first_rank)
    raise OptionError(
        f"--devices={options.devices} needs --rank_table; make one with `python -m "
        f"deployment.rank_table make {options.devices}p.json --devices={options.devices}`, or set "
        "CM_CHIEF_IP and its related variables."
    )


def _environments_of_table(options: LaunchOptions, base: dict, path: str) -> list:
    if options.device_ids is not None:
        raise OptionError("--device_ids and a rank table both list devices; remove one of them.")
    table = rank_table.read(path, options.chip)
    server = _server(options, table, path)
    found = len(table.servers()[server])
    if options.devices > found or (options.devices < found and len(table.servers()) > 1):
        raise OptionError(
            f"--devices={options.devices}, but {path} has {found} devices on server {server}."
        )
    if options.devices < found:
        table, path = _first_devices(options, table, path)
    return npu_environment.with_table(base, table, os.path.abspath(path), server)


def _server(options: LaunchOptions, table, path: str) -> str:
    servers = list(table.servers())
    if options.server is None and len(servers) == 1:
        return servers[0]
    if options.server not in servers:
        raise OptionError(
            f"--server is {options.server or 'not set'}, but must be one of the servers in {path}: "
            f"{', '.join(servers)}."
        )
    return options.server


def _first_devices(options: LaunchOptions, table, path: str):
    """Writes a table of the first devices of a server; returns the table and its path."""
    addresses = {device.device_id: device.device_ip for device in table.devices}
    numbers = [device.device_id for device in table.devices[: options.devices]]
    server = table.devices[0].server_id
    smaller = rank_table.make([(server, addresses)], numbers, table.layout, options.chip)
    target = os.path.join(options.rank_logs, "rank_table.json")
    write_text(target, json.dumps(rank_table.render(smaller, table.layout), indent=2) + "\n")
    logging.info("Using the first %d of %d devices of %s.", len(numbers), len(table.devices), path)
    return smaller, target


def _ranks(options: LaunchOptions, environments: list, command: tuple) -> list:
    shares = _core_shares(len(environments)) if options.bind_cores else [()] * len(environments)
    ranks = []
    for environment, cores in zip(environments, shares):
        number, device = _place(options.device, environment)
        name = f"rank {number}" + (f" ({device})" if device else "")
        ranks.append(supervisor.Rank(number, name, command, environment, cores))
    return ranks


def _place(kind: str, environment: dict):
    """Returns the rank of a process and the name of its device, empty if it has none."""
    if kind == "npu":
        return int(environment["DEVICE_INDEX"]), f"device {environment['DEVICE_ID']}"
    gpu = environment.get(cluster_environment.VISIBLE_GPUS) if kind == "gpu" else None
    return int(environment.get(cluster_environment.RANK, 0)), f"GPU {gpu}" if gpu else ""


def _core_shares(number: int) -> list:
    """Returns the cores of each process; none if there are fewer cores than processes."""
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) // number
    return [tuple(cores[index * share : (index + 1) * share]) for index in range(number)]


def _program(command: list) -> tuple:
    """Returns the command line to start; Python files are run by this Python."""
    if command[0].endswith(".py"):
        # Unbuffered, so that the log of a killed rank is complete.
        return (sys.executable, "-u", *command)
    return tuple(command)
