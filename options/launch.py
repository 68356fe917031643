"""The options of the launcher of several processes."""

from __future__ import annotations

import dataclasses

from absl import flags

from common import Options, option
from utils.errors import OptionError


@dataclasses.dataclass(frozen=True)
class LaunchOptions(Options):
    """Which processes are started, and how they end."""

    SECTION = "launch"

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
