"""The checks of `doctor` without TensorFlow: drivers, devices, environment variables, ranks."""

from __future__ import annotations

import dataclasses
import glob
import importlib.util
import os
import re
import shutil
import subprocess

from deployment import rank_table
from deployment.devices import npu_ranks
from options.device import DeviceOptions
from options.ranks import RankOptions
from utils.errors import UserError

# Bounds in CANN's manuals (environment variables): logical devices, seconds, ports.
_NUMBERS = {
    "ASCEND_DEVICE_ID": (0, 4095),
    "DEVICE_ID": (0, 4095),
    "HCCL_CONNECT_TIMEOUT": (120, 7200),
    "HCCL_EXEC_TIMEOUT": (0, 2147483647),
    "HCCL_IF_BASE_PORT": (1, 65520),
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
      what: What was checked.
      result: What is there.
      remedy: What to do about it; empty where nothing is wrong.
      is_fatal: Whether a run cannot work as it is.
    """

    what: str
    result: str
    remedy: str = ""
    is_fatal: bool = True

    @property
    def is_failure(self) -> bool:
        """Whether this would keep a run from working."""
        return bool(self.remedy) and self.is_fatal


def adapters() -> list:
    """Returns the names of the NPU adapters that are installed."""
    names = ("npu_bridge", "npu_device")
    return [name for name in names if importlib.util.find_spec(name) is not None]


def ascend(options: DeviceOptions, ranks: RankOptions, check_adapter) -> list:
    """Checks driver, devices, CANN, adapter and ranks, where there is any sign of an NPU.

    Args:
      options: The device.
      ranks: The expected number of processes.
      check_adapter: From adapter names to a finding; None where TensorFlow is missing.
    """
    devices = sorted(glob.glob("/dev/davinci[0-9]*"))
    signs = devices or adapters() or any(name.startswith("ASCEND_") for name in os.environ)
    if options.device != "npu" and not signs:
        return []
    adapter = [] if check_adapter is None else [check_adapter(adapters())]
    return [_driver(devices), _toolkit(), *adapter, *_numbers(), *_ranks(ranks)]


def _numbers() -> list:
    """Checks variables that the adapter or HCCL reads as numbers, where they are set."""
    found = []
    for name, (lowest, highest) in _NUMBERS.items():
        value = os.environ.get(name)
        if value is None:
            continue
        fits = re.fullmatch(r"\d+", value) is not None and lowest <= int(value) <= highest
        remedy = "" if fits else f"{name} must be a whole number from {lowest} to {highest}."
        found.append(Finding(name, value, remedy))
    if os.environ.get("HCCL_WHITELIST_DISABLE") == "0" and "HCCL_WHITELIST_FILE" not in os.environ:
        remedy = "Name the list in HCCL_WHITELIST_FILE, or set HCCL_WHITELIST_DISABLE=1."
        found.append(Finding("HCCL_WHITELIST_DISABLE", "0", remedy))
    return found


def _driver(devices: list) -> Finding:
    if not devices:
        return Finding(
            "NPU devices",
            "no /dev/davinci*",
            "Install the driver; in a container pass the devices (scripts/docker_start.sh does).",
        )
    names = ", ".join(os.path.basename(path) for path in devices)
    if shutil.which("npu-smi") is None:
        return Finding("NPU devices", names, "npu-smi is not on PATH.", is_fatal=False)
    result = subprocess.run(["npu-smi", "info"], capture_output=True, text=True)
    if result.returncode:
        return Finding("NPU devices", names, "npu-smi info fails: check the driver.")
    version = re.search(r"Version:\s*(\S+)", result.stdout)
    return Finding("NPU devices", f"{names}, npu-smi {version.group(1) if version else ''}".strip())


def _toolkit() -> Finding:
    for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH"):
        if name in os.environ:
            there = os.path.isdir(os.environ[name])
            remedy = "" if there else f"{name} is not a folder; source set_env.sh again."
            return Finding("CANN", f"{name}={os.environ[name]}", remedy)
    return Finding(
        "CANN",
        "its environment is not set",
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh (from CANN 8.5: .../Ascend/cann/).",
    )


def _ranks(options: RankOptions) -> list:
    findings = []
    path = os.environ.get("RANK_TABLE_FILE")
    try:
        if path is not None:
            table = rank_table.read(path)
            findings.append(Finding("rank table", f"{path}, {len(table.devices)} devices"))
        ranks = npu_ranks.read(os.environ, options.rank)
        findings.append(Finding("ranks", f"this is rank {ranks.rank} of {ranks.ranks}"))
    except UserError as error:
        findings.append(Finding("ranks", "the environment does not fit", str(error)))
    return findings


def nvidia(options: DeviceOptions, check_gpus) -> list:
    """Checks the driver and the GPUs, where there is any sign of a GPU.

    Args:
      options: The device.
      check_gpus: From the options to findings about each GPU; None where TensorFlow is missing.
    """
    devices = glob.glob("/dev/nvidia[0-9]*")
    if options.device != "gpu" and not devices and shutil.which("nvidia-smi") is None:
        return []
    return [_nvidia_driver(options), *([] if check_gpus is None else check_gpus(options))]


def _nvidia_driver(options: DeviceOptions) -> Finding:
    what, is_fatal = "NVIDIA driver", options.device == "gpu"
    if shutil.which("nvidia-smi") is None:
        remedy = "Install NVIDIA's driver; in a container pass the GPUs (docker run --gpus=all)."
        return Finding(what, "nvidia-smi is not on PATH", remedy, is_fatal)
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True)
    if result.returncode:
        answer = (result.stdout + result.stderr).strip()
        return Finding(what, f"nvidia-smi fails: {answer}", "Fix the driver.", is_fatal)
    return Finding(what, "; ".join(result.stdout.strip().splitlines()))
