"""The checks of `doctor` that need TensorFlow: device, data, checkpoint, GPUs."""

from __future__ import annotations

import sys

from commands.engines.machine import Finding
from core.checkpoints import foreign, restore
from datasets.dataset import Dataset
from deployment import backend
from deployment.devices import gpu
from options.config import Config
from utils import compat
from utils.errors import UserError


def check(config: Config) -> list:
    """Returns what was found."""
    findings = _device(config.device, config.ranks)
    if config.data.dataset_dir is not None:
        findings += _data(config)
    if config.doctor.tf_initial_checkpoint is not None:
        findings += _checkpoint(config.doctor.tf_initial_checkpoint)
    return findings


def _device(options, ranks) -> list:
    what = f"--device={options.device}"
    try:
        chosen = backend.create(options, ranks)
    except UserError as error:
        return [Finding(what, "cannot be used", str(error))]
    ranks = f", rank {chosen.rank} of {chosen.ranks}" if chosen.ranks > 1 else ""
    return [Finding(what, f"{chosen.name}, precision {chosen.precision}{ranks}")]


def _data(config: Config) -> list:
    try:
        dataset = Dataset.open(config)
        found = [Finding("data set", f"{dataset.name}, {dataset.classes.count} classes")]
        for split in dataset.description.splits or ("train", "val"):
            found.append(Finding(f"split {split}", f"{len(dataset.index(split))} images"))
        return found
    except UserError as error:
        return [Finding(f"--dataset_dir={config.data.dataset_dir}", "cannot be used", str(error))]


def _checkpoint(path: str) -> list:
    try:
        sources = foreign.sources_of(path)
        if sources:
            return [Finding("weights", f"{path}, of {' or '.join(sources)}")]
        shapes = restore.shapes(path)
    except UserError as error:
        return [Finding("checkpoint", "cannot be read", str(error))]
    return [Finding("checkpoint", f"{path}, {len(shapes)} tensors")]


def adapter(adapters: list) -> Finding:
    """Checks whether the NPU adapter fits this TensorFlow and Python."""
    if not adapters:
        return Finding(
            "adapter",
            "neither npu_bridge nor npu_device is found",
            "Install CANN's plugin for TensorFlow 1.15 or 2.6.5 and put its folder on PYTHONPATH.",
        )
    names, pythons = ", ".join(adapters), compat.pythons_of_npu_adapter()
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


def gpus(options) -> list:
    """Returns the GPUs that TensorFlow sees, and the precisions that each supports."""
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
