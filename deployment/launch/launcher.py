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

import json
import os
import sys

from absl import logging

import common
from deployment import rank_table
from deployment.devices import npu_environment
from deployment.launch import cluster_environment, supervisor
from options.launch import LaunchOptions
from utils.errors import OptionError, UserError
from utils.files import write_text


def launch(options: LaunchOptions, command: list):
    """Runs a command on every device, again after failures if allowed.

    The process ends with the status of the first rank that failed, if one did.

    Args:
      options: Which processes are started.
      command: The program and its arguments.
    """
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
