"""Checks what a run needs and says what to mend: Python, TensorFlow, device, data, checkpoint.

  python doctor.py
  python doctor.py --device=gpu
  python doctor.py --device=npu --dataset_dir=DIR --tf_initial_checkpoint=pretrained/model.ckpt

The exit status is 1 if something would keep a run from working.
"""

from __future__ import annotations

import dataclasses
import glob
import importlib.util
import os
import re
import shutil
import subprocess
import sys

from absl import flags

import common
from common import Options, option
from options.data import DataOptions
from options.device import DeviceOptions
from utils.errors import UserError
from utils.version import VERSION

# Bounds of what CANN's manuals (environment variables) say: logical devices, seconds, ports.
_NUMBERS = {
    "ASCEND_DEVICE_ID": (0, 4095),
    "DEVICE_ID": (0, 4095),
    "HCCL_CONNECT_TIMEOUT": (120, 7200),
    "HCCL_EXEC_TIMEOUT": (0, 2147483647),
    "HCCL_IF_BASE_PORT": (1, 65520),
}
_PACKAGES = ("absl", "jinja2", "numpy", "PIL", "tensorflow", "tf_slim")


@dataclasses.dataclass(frozen=True)
class DoctorOptions(Options):
    """What is to be used."""

    tf_initial_checkpoint: str | None = option(
        flags.DEFINE_string, None, "Checkpoint that a training shall start from."
    )


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
      what: What was looked at.
      result: What is there.
      remedy: What to do about it; empty where all is well.
      is_fatal: Whether a run cannot work as it is.
    """

    what: str
    result: str
    remedy: str = ""
    is_fatal: bool = True


OPTION_CLASSES = (DoctorOptions, DataOptions, DeviceOptions)


def main(flag_values):
    """Reads the flags, looks at everything, and prints what it found."""
    options = common.from_flags(DoctorOptions, flag_values)
    data_options = common.from_flags(DataOptions, flag_values)
    device_options = common.from_flags(DeviceOptions, flag_values)
    given = common.given_flags(flag_values)
    findings = [Finding("DeepLabV3", f"version {VERSION}"), *_python(), *_tensorflow()]
    if not any(finding.remedy and finding.is_fatal for finding in findings):
        findings += _device(device_options)
        if data_options.dataset_dir is not None:
            findings += _data(data_options, given)
        if options.tf_initial_checkpoint is not None:
            findings += _checkpoint(options.tf_initial_checkpoint)
    findings += _ascend(device_options)
    findings += _nvidia(device_options)
    _show(findings)
    if any(finding.remedy and finding.is_fatal for finding in findings):
        sys.exit(common.STATUS_FAILURE)


def _show(findings):
    for finding in findings:
        mark = "ok" if not finding.remedy else "MEND" if finding.is_fatal else "note"
        print(f"{mark:4s}  {finding.what}: {finding.result}")
        if finding.remedy:
            print(f"      {finding.remedy}")
    fatal = sum(bool(finding.remedy) and finding.is_fatal for finding in findings)
    print(f"{fatal} of {len(findings)} checks need mending." if fatal else "All is well.")


def _python() -> list:
    version = ".".join(str(part) for part in sys.version_info[:3])
    remedy = "" if sys.version_info >= (3, 7) else "Use Python 3.7 or newer."
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    packages = Finding("packages", "all are there")
    if missing:
        packages = Finding(
            "packages",
            f"{', '.join(missing)} not found",
            "scripts/environment.sh makes an environment with all of them, from requirements/.",
        )
    return [Finding("Python", f"{version}, {sys.executable}", remedy), packages]


def _tensorflow() -> list:
    if importlib.util.find_spec("tensorflow") is None:
        return []
    try:
        from utils.compat import is_tested, tf, uses_onednn
    except Exception as error:  # Whatever a damaged installation raises is the finding.
        return [Finding("TensorFlow", f"cannot be imported ({error})", "Install it again.")]
    remedy = "" if is_tested() else "This is tested with 1.15.5, 2.6.5 and 2.21 only."
    kernels = "oneDNN" if uses_onednn() else "Eigen"
    found = f"{tf.__version__}, kernels for CPU by {kernels}"
    return [Finding("TensorFlow", found, remedy, is_fatal=False)]


def _device(options: DeviceOptions) -> list:
    from deployment import backend

    what = f"--device={options.device}"
    try:
        chosen = backend.create(options)
    except UserError as error:
        return [Finding(what, "cannot be used", str(error))]
    ranks = f", rank {chosen.rank} of {chosen.ranks}" if chosen.ranks > 1 else ""
    return [Finding(what, f"{chosen.name}, precision {chosen.precision}{ranks}")]


def _data(options: DataOptions, given) -> list:
    from datasets import info as dataset_info
    from datasets.pipeline import input_fn

    try:
        info = dataset_info.load(options, given)
        found = [Finding("data set", f"{info.name}, {info.num_classes} classes")]
        for split in info.splits or ("train", "val"):
            images = input_fn.count_images(options, split)
            found.append(Finding(f"split {split}", f"{images} images"))
        return found
    except UserError as error:
        return [Finding(f"--dataset_dir={options.dataset_dir}", "cannot be used", str(error))]


def _checkpoint(path: str) -> list:
    from core.checkpoints import restore

    try:
        shapes = restore.shapes(path)
    except UserError as error:
        return [Finding("checkpoint", "cannot be read", str(error))]
    return [Finding("checkpoint", f"{path}, {len(shapes)} tensors")]


def _ascend(options: DeviceOptions) -> list:
    """Looks at driver, devices, CANN, adapter and ranks, where there is any sign of an NPU."""
    devices = sorted(glob.glob("/dev/davinci[0-9]*"))
    adapters = [
        name for name in ("npu_bridge", "npu_device") if importlib.util.find_spec(name) is not None
    ]
    signs = devices or adapters or any(name.startswith("ASCEND_") for name in os.environ)
    if options.device != "npu" and not signs:
        return []
    return [
        _driver(devices),
        _toolkit(),
        _adapter(adapters),
        *_numbers(),
        *_ranks(options),
    ]


def _numbers() -> list:
    """Looks at variables that the adapter or HCCL reads as numbers, where they are set."""
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
            remedy = "" if there else f"{name} names no folder; source set_env.sh again."
            return Finding("CANN", f"{name}={os.environ[name]}", remedy)
    return Finding(
        "CANN",
        "its environment is not set",
        "source /usr/local/Ascend/ascend-toolkit/set_env.sh (from CANN 8.5: .../Ascend/cann/).",
    )


def _adapter(adapters: list) -> Finding:
    if not adapters:
        return Finding(
            "adapter",
            "neither npu_bridge nor npu_device is found",
            "Install CANN's plugin for TensorFlow 1.15 or 2.6.5 and put its folder on PYTHONPATH.",
        )
    from utils.compat import pythons_of_npu_adapter

    names, pythons = ", ".join(adapters), pythons_of_npu_adapter()
    if not pythons:
        return Finding("adapter", names, "It works with TensorFlow 1.15 and 2.6.5 only.")
    python = "{}.{}".format(*sys.version_info[:2])
    if python not in pythons:
        return Finding(
            "adapter",
            f"{names} on Python {python}",
            f"With this TensorFlow it is made for Python {' or '.join(pythons)}.",
        )
    return Finding("adapter", names)


def _ranks(options: DeviceOptions) -> list:
    from deployment import rank_table
    from deployment.devices import npu_ranks

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


def _nvidia(options: DeviceOptions) -> list:
    """Looks at driver, TensorFlow's build and GPUs, where there is any sign of a GPU."""
    devices = glob.glob("/dev/nvidia[0-9]*")
    if options.device != "gpu" and not devices and shutil.which("nvidia-smi") is None:
        return []
    findings = [_nvidia_driver(options)]
    if importlib.util.find_spec("tensorflow") is not None:
        findings += _gpus(options)
    return findings


def _nvidia_driver(options: DeviceOptions) -> Finding:
    what, is_fatal = "NVIDIA driver", options.device == "gpu"
    if shutil.which("nvidia-smi") is None:
        remedy = "Install NVIDIA's driver; in a container pass the GPUs (docker run --gpus=all)."
        return Finding(what, "nvidia-smi is not on PATH", remedy, is_fatal)
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    result = subprocess.run(query, capture_output=True, text=True)
    if result.returncode:
        answer = (result.stdout + result.stderr).strip()
        return Finding(what, f"nvidia-smi fails: {answer}", "Mend the driver.", is_fatal)
    return Finding(what, "; ".join(result.stdout.strip().splitlines()))


def _gpus(options: DeviceOptions) -> list:
    """Returns what TensorFlow sees of the GPUs, and what each can compute in."""
    from deployment.devices import gpu
    from utils import compat

    reason = gpu.why_no_gpu()
    if reason is not None:
        remedy = f"{reason[0].upper()}{reason[1:]}."
        return [Finding("GPUs", "TensorFlow sees none", remedy, options.device == "gpu")]
    found = []
    for index, one in enumerate(compat.visible_gpus()):
        modes = [mode for mode, why in gpu.precision_modes(one).items() if why is None]
        capability = "unknown" if one.capability is None else gpu.dotted(one.capability)
        text = f"{one.name}, compute capability {capability}, precision {' or '.join(modes)}"
        found.append(Finding(f"--gpu={index}", text))
    return found


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
