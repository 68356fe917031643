"""Ascend offline inference: a graph for `atc`, its command line, and the om file.

`atc`, CANN's converter, wants a frozen graph whose shapes are all static. The graph takes int32
images of the crop size; labels are int32. The command stands in a script beside it and is run where
`atc` is installed. Sources: the ATC tool's guide of CANN 8.0 (options, input types); the DeepLabv3+
sample for Ascend 310 in Ascend's ModelZoo (names of the nodes).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess

from absl import logging

from core.export import graph
from core.export.artifact import (
    EXACT,
    INPUT,
    LABELS,
    PROBABILITIES,
    Artifact,
    Format,
    Job,
    Network,
    outputs_of,
    tensor,
)
from utils.compat import tf
from utils.errors import UserError

_SCRIPT = """#!/bin/sh
# Makes {name}.om for an Ascend processor, where CANN's atc is installed. For another processor:
#   SOC_VERSION=Ascend910 ./{name}_atc.sh
cd "$(dirname "$0")" || exit 1
exec {command}
"""


def write(job: Job) -> list:
    """Writes the graph and the script; runs the script where `atc` is installed."""
    path, script = f"{job.base}_atc.pb", f"{job.base}_atc.sh"
    graph.save(graph.fixed(job.frozen, job.network, tf.int32), path)
    with open(script, "w", encoding="utf-8") as file:
        name = os.path.basename(job.base)
        file.write(_SCRIPT.format(name=name, command=command(name, job.network, job.options)))
    os.chmod(script, 0o755)
    height, width = job.network.crop_size
    inputs = {INPUT: tensor("int32", 1, height, width, 3)}
    outputs = outputs_of(job.network, 1, height, width)
    notes = (f"{os.path.basename(script)} makes the om file from it.",)
    artifacts = [
        Artifact("atc_graph", path, EXACT, lambda: graph.opened(path), inputs, outputs, notes)
    ]
    if shutil.which("atc") is None:
        logging.warning(
            "atc is not on this machine, so there is no %s.om; run %s where CANN is installed.",
            name,
            os.path.basename(script),
        )
        return artifacts
    _run(script, f"{job.base}.om")
    # It runs on its device only.
    return [*artifacts, Artifact("om", f"{job.base}.om", EXACT, None, inputs, outputs)]


def command(name: str, network: Network, options) -> str:
    """Returns the command line of atc, for the folder of the files.

    Args:
      name: What the files' names begin with.
      network: What is converted.
      options: The options of the export.
    """
    height, width = network.crop_size
    words = [
        f"--model={name}_atc.pb",
        # TensorFlow.
        "--framework=3",
        f"--output={name}",
        f"--input_shape={INPUT}:1,{height},{width},3",
        "--input_format=NHWC",
        f"--out_nodes={LABELS}:0;{PROBABILITIES}:0",
    ]
    soc_version = f'--soc_version="${{SOC_VERSION:-{options.soc_version}}}"'
    return " ".join(["atc", *(shlex.quote(word) for word in words), soc_version, '"$@"'])


def _run(script: str, om_path: str):
    """Runs the script.

    Raises:
      UserError: If it fails or leaves no om file.
    """
    logging.info("Running atc; this takes minutes.")
    done = subprocess.run(
        [script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0 and os.path.exists(om_path):
        return
    lines = [line for line in done.stdout.strip().split("\n") if line]
    raise UserError(
        f"atc failed with status {done.returncode}, so nothing was written; leave om out of "
        "--format for the other formats, or fix the cause; its last lines were:\n"
        + "\n".join(lines[-10:] or ["(no output)"])
    )


VARIANTS = {"om": Format(write, any_size=False, suffixes=("_atc.pb", "_atc.sh", ".om"))}
