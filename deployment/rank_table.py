"""HCCL rank tables, which assign devices of servers to ranks.

  python -m deployment.rank_table check scripts/8p.json
  python -m deployment.rank_table convert scripts/8p.json --layout=server_list --output=8p_v1.json
  python -m deployment.rank_table make 8p.json --devices=8 --server=10.0.0.5=/etc/hccn.conf
  python -m deployment.rank_table make 16p.json --devices=8 --server=10.0.0.5=first.conf \
      --server=10.0.0.6=second.conf

There are two layouts. `group_list`, the legacy layout of the Ascend 910A, has no rank numbers: they
follow the order of the devices. `server_list`, version 1.0, states each device's rank. All values
are strings, including numbers.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re

from absl import flags

import common
from common import Options, option
from deployment.rank_table_rules import BrokenRule, Device, by_server, check, check_unique
from utils import files
from utils.errors import OptionError, UserError

LEGACY = "group_list"
VERSION_1 = "server_list"


@dataclasses.dataclass(frozen=True)
class RankTable:
    """The devices of a job.

    Attributes:
      devices: In the order of their ranks.
      layout: Layout of the file, LEGACY or VERSION_1.
    """

    devices: tuple
    layout: str

    def servers(self) -> dict:
        """Returns server_id -> its devices in the order of their ranks."""
        return by_server(self.devices)


def read(path: str, chip: str = "910a") -> RankTable:
    """Reads a rank table and checks it.

    Args:
      path: A JSON file of either layout.
      chip: "910a" adds rules about how many devices, and which, can form a job.

    Raises:
      UserError: If the file cannot be read or breaks a rule.
    """
    try:
        content = files.read_json(path)
    except OSError as error:
        raise UserError(f"cannot read rank table {path}: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"rank table {path} is not JSON: {error}.") from error
    try:
        return parse(content, chip)
    except BrokenRule as error:
        raise UserError(f"rank table {path}: {error}") from error


def parse(content: dict, chip: str = "910a") -> RankTable:
    """Returns the table in parsed JSON.

    Raises:
      BrokenRule: If it breaks a rule.
    """
    if not isinstance(content, dict):
        raise BrokenRule("it must be an object with group_list or server_list.")
    layouts = [name for name in (LEGACY, VERSION_1) if name in content]
    if len(layouts) != 1:
        raise BrokenRule(
            f"it has {'both' if layouts else 'neither'} of group_list (legacy) and server_list "
            "(version 1.0), but must have one of them."
        )
    status = _text(content, "status", "the table")
    if status != "completed":
        raise BrokenRule(
            f"its status is {status!r}, not 'completed': it is not complete yet; wait, or make it "
            "with python -m deployment.rank_table make."
        )
    devices = _legacy_devices(content) if layouts[0] == LEGACY else _version_1_devices(content)
    table = RankTable(tuple(sorted(devices, key=lambda device: device.rank)), layouts[0])
    check(table.devices, chip)
    return table


def _legacy_devices(content: dict) -> list:
    groups = _list(content, LEGACY, "the table")
    _check_count(content, "group_count", len(groups), "groups", "the table")
    devices = []
    for group in groups:
        where = f"group {_text(group, 'group_name', 'a group')}"
        instances = _list(group, "instance_list", where)
        _check_count(group, "instance_count", len(instances), "instances", where)
        start = len(devices)
        for instance in instances:
            server = _text(instance, "server_id", where)
            _text(instance, "pod_name", where)
            for entry in _list(instance, "devices", f"server {server}"):
                ip = _text(entry, "device_ip", f"a device of server {server}")
                devices.append(
                    Device(len(devices), server, _number(entry, "device_id", server), ip)
                )
        _check_count(group, "device_count", len(devices) - start, "devices", where)
    return devices


def _version_1_devices(content: dict) -> list:
    version = _text(content, "version", "the table")
    if version != "1.0":
        raise BrokenRule(
            f"its version is {version!r}, but only '1.0' and the legacy layout are supported (1.2 "
            "is for super-pods of the Atlas A3)."
        )
    servers = _list(content, VERSION_1, "the table")
    _check_count(content, "server_count", len(servers), "servers", "the table")
    devices = []
    for server in servers:
        name = _text(server, "server_id", "a server")
        for entry in _list(server, "device", f"server {name}"):
            ip = None
            if "device_ip" in entry:
                ip = _text(entry, "device_ip", f"a device of server {name}")
            rank, number = _number(entry, "rank_id", name), _number(entry, "device_id", name)
            devices.append(Device(rank, name, number, ip))
    names = [server["server_id"] for server in servers]
    check_unique(names, "server_id")
    return devices


def _list(content, key: str, where: str) -> list:
    value = content.get(key) if isinstance(content, dict) else None
    if not isinstance(value, list) or not value:
        raise BrokenRule(f"{where} needs a non-empty list {key}.")
    return value


def _text(content, key: str, where: str) -> str:
    value = content.get(key) if isinstance(content, dict) else None
    if value is None:
        raise BrokenRule(f"{where} has no {key}.")
    if not isinstance(value, str) or not value:
        raise BrokenRule(
            f"{key} of {where} is {json.dumps(value)}; all values are non-empty strings, including "
            "numbers."
        )
    return value


def _number(content, key: str, server: str) -> int:
    text = _text(content, key, f"a device of server {server}")
    if not re.fullmatch(r"\d+", text):
        raise BrokenRule(f"{key} {text!r} on server {server} is not a number.")
    return int(text)


def _check_count(content: dict, key: str, found: int, what: str, where: str):
    declared = _text(content, key, where)
    if declared != str(found):
        raise BrokenRule(f"{key} of {where} is {declared!r}, but there are {found} {what}.")


def render(table: RankTable, layout: str) -> dict:
    """Returns the JSON content of a table.

    Args:
      table: The devices.
      layout: LEGACY or VERSION_1.

    Raises:
      UserError: If the layout cannot express the table.
    """
    return (_render_legacy if layout == LEGACY else _render_version_1)(table)


def _render_legacy(table: RankTable) -> dict:
    for device in table.devices:
        if device.device_ip is None:
            raise UserError(
                f"device {device.device_id} of server {device.server_id} has no device_ip, which "
                "the legacy layout needs; use --layout=server_list, or add the addresses."
            )
    servers = table.servers()
    if [device for devices in servers.values() for device in devices] != list(table.devices):
        raise UserError(
            "the ranks of a server are not consecutive, as the legacy layout requires; use "
            "--layout=server_list."
        )
    instances = [
        {
            "devices": [
                {"device_id": str(device.device_id), "device_ip": device.device_ip}
                for device in devices
            ],
            "pod_name": f"server{number}",
            "server_id": server,
        }
        for number, (server, devices) in enumerate(servers.items())
    ]
    group = {
        "group_name": "worker",
        "device_count": str(len(table.devices)),
        "instance_count": str(len(instances)),
        "instance_list": instances,
    }
    return {"group_count": "1", LEGACY: [group], "status": "completed"}


def _render_version_1(table: RankTable) -> dict:
    servers = []
    for server, devices in table.servers().items():
        entries = []
        for device in devices:
            entry = {"device_id": str(device.device_id), "rank_id": str(device.rank)}
            if device.device_ip is not None:
                entry["device_ip"] = device.device_ip
            entries.append(entry)
        servers.append({"server_id": server, "device": entries})
    return {
        "version": "1.0",
        "server_count": str(len(servers)),
        VERSION_1: servers,
        "status": "completed",
    }


def make(servers, device_ids, layout: str = VERSION_1, chip: str = "910a") -> RankTable:
    """Returns a table with the same devices on each server, and ranks numbered server by server.

    Args:
      servers: (server_id, {device number: address}) pairs; {} without addresses.
      device_ids: Physical numbers of the devices.
      layout: Layout of the file.
      chip: See `read`.

    Raises:
      UserError: If an address is missing or the table breaks a rule.
    """
    devices = []
    for server, addresses in servers:
        for number in device_ids:
            if addresses and number not in addresses:
                raise UserError(
                    f"there is no address for device {number} of server {server}, only for "
                    f"{', '.join(map(str, sorted(addresses)))}."
                )
            devices.append(Device(len(devices), server, number, addresses.get(number)))
    table = RankTable(tuple(devices), layout)
    try:
        check(table.devices, chip)
    except BrokenRule as error:
        raise UserError(f"such a rank table is not valid: {error}") from error
    return table


def read_hccn_conf(path: str) -> dict:
    """Returns device number -> address from a server's `hccn.conf` (lines `address_0=...`).

    Raises:
      UserError: If the file cannot be read or contains no address.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
    found = re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)\s*$", text, flags=re.MULTILINE)
    if not found:
        raise UserError(f"{path} has no line such as address_0=192.168.100.101.")
    return {int(number): address for number, address in found}


@dataclasses.dataclass(frozen=True)
class RankTableOptions(Options):
    """What the command does with a rank table."""

    devices: int = option(flags.DEFINE_integer, 8, "make: devices of each server.", minimum=1)
    device_ids: tuple[int, ...] | None = option(
        flags.DEFINE_list,
        None,
        "make: physical numbers of the devices, comma separated; 0 to devices - 1 if unset.",
        convert=int,
        minimum=0,
    )
    server: tuple[str, ...] = option(
        flags.DEFINE_multi_string,
        ("127.0.0.1",),
        "make: a server's IP address, or ADDRESS=FILE with a copy of its /etc/hccn.conf, which "
        "lists the addresses of its devices; repeat the flag for several servers.",
    )
    layout: str | None = option(
        flags.DEFINE_string,
        None,
        "Layout of the file: group_list is legacy (Ascend 910A only), server_list version 1.0. "
        "Unset: make writes server_list, convert the other layout.",
        choices=(LEGACY, VERSION_1),
    )
    chip: str = option(
        flags.DEFINE_string,
        "910a",
        "Chip of the servers: 910a has rings of four devices, whose rules are checked.",
        choices=("910a", "other"),
    )
    output: str | None = option(flags.DEFINE_string, None, "convert: file to write.")


# Command -> the flags that have an effect on it.
_TAKES = {
    "check": ("chip",),
    "convert": ("chip", "layout", "output"),
    "make": ("devices", "device_ids", "server", "layout", "chip"),
}


def main(flag_values, command: str, path: str):
    """Checks, converts or makes a rank table."""
    options = common.from_flags(RankTableOptions, flag_values)
    commands = {"check": _check_command, "convert": _convert_command, "make": _make_command}
    if command not in commands:
        raise OptionError(f"{command!r} is unknown; pass one of {', '.join(commands)}.")
    common.refuse_given(
        common.given_flags(flag_values),
        set(options.names()).difference(_TAKES[command]),
        f"with {command}",
    )
    commands[command](path, options)


def _check_command(path: str, options: RankTableOptions):
    _describe(path, read(path, options.chip))


def _convert_command(path: str, options: RankTableOptions):
    if options.output is None:
        raise OptionError("--output is not set; pass the file to write.")
    table = read(path, options.chip)
    other = LEGACY if table.layout == VERSION_1 else VERSION_1
    _write(options.output, table, options.layout or other)


def _make_command(path: str, options: RankTableOptions):
    device_ids = options.device_ids or tuple(range(options.devices))
    if options.device_ids and len(device_ids) != options.devices:
        raise OptionError(
            f"--device_ids lists {len(device_ids)} devices, but --devices={options.devices}."
        )
    servers = []
    for server in options.server:
        name, _, conf = server.partition("=")
        servers.append((name, read_hccn_conf(conf) if conf else {}))
    layout = options.layout or VERSION_1
    _write(path, make(servers, device_ids, layout, options.chip), layout)


def _write(path: str, table: RankTable, layout: str):
    content = render(table, layout)
    if os.path.exists(path):
        raise UserError(f"{path} exists; pass another file, or remove it.")
    try:
        files.write_text(path, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    _describe(path, dataclasses.replace(table, layout=layout))


def _describe(path: str, table: RankTable):
    servers = table.servers()
    count = f"{len(table.devices)} devices on {len(servers)} server{'s' * (len(servers) > 1)}"
    print(f"{path}: {count}, layout {table.layout}.")
    for device in table.devices:
        print(
            f"  rank {device.rank:3d}  server {device.server_id}  device {device.device_id}  "
            f"{device.device_ip or '(no address)'}"
        )


if __name__ == "__main__":
    common.run(main, RankTableOptions, positional=("COMMAND", "FILE"))
