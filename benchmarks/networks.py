r"""Parameters, arithmetic and peak memory of networks: `python -m benchmarks.networks`.

  python -m benchmarks.networks
  python -m benchmarks.networks --variants=resnet_v1_101_beta --output_stride=8 \
      --crop_size=321,321 --atrous_rates=12 --atrous_rates=24 --atrous_rates=36

Each network is built and run once in a process of its own, `--repetitions` times. Arithmetic counts
each multiply-add of all convolutions as two operations. Memory is the peak growth of the process
during a run, with graph and variables already in memory: activations, and gradients in a training
step. It depends on the machine's kernels.
"""

from __future__ import annotations

import dataclasses
import json
import resource
import statistics
import subprocess
import sys

from absl import flags

import common
from benchmarks import runner
from benchmarks.runner import BenchmarkOptions, Row
from common import option
from core import network
from core.training import step as train
from deployment import backend
from options.config import Config
from options.device import DeviceOptions
from options.network import NETWORK_OPTIONS, NetworkSpec
from options.training import TRAINING_RECORDS
from utils.classes import ClassSet, default_names
from utils.compat import tf
from utils.errors import UserError


@dataclasses.dataclass(frozen=True)
class NetworksOptions(BenchmarkOptions):
    """What is measured."""

    variants: tuple[str, ...] | None = option(
        flags.DEFINE_list, None, "Backbones, comma separated; all if unset.", convert=str
    )
    crop_size: tuple[int, ...] = option(
        flags.DEFINE_list, (513, 513), "Height,width.", convert=int, length=2, minimum=1
    )
    num_classes: int = option(flags.DEFINE_integer, 21, "Classes.", minimum=1, maximum=255)
    repetitions: int = option(
        flags.DEFINE_integer, 1, "Processes that measure each network, interleaved.", minimum=1
    )
    run: bool = option(flags.DEFINE_bool, True, "Run the network to measure its memory.")
    here: bool = option(
        flags.DEFINE_bool, False, "Measure --model_variant in this process and print JSON."
    )


OPTION_CLASSES = (NetworksOptions, *NETWORK_OPTIONS)


def main(flag_values):
    """Measures and publishes the figures."""
    options = common.from_flags(NetworksOptions, flag_values)
    spec = Config.from_flags(NETWORK_OPTIONS, flag_values).spec
    if options.here:
        print(json.dumps(_measure(options, spec)))
        return
    found = runner.Run("networks", options, spec)
    variants = options.variants or network.shared_backbones()
    results = {variant: [] for variant in variants}
    for _ in range(options.repetitions):
        for variant in variants:
            results[variant].append(_in_own_process(variant))
    size = "x".join(map(str, options.crop_size))
    found.publish(
        [row for variant, values in results.items() for row in rows(variant, values)],
        heading=f"Batch 1 of {size}, output stride {spec.options.output_stride}, "
        f"{options.num_classes} classes.",
        table=_table(results),
    )


def _in_own_process(variant: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.networks", *sys.argv[1:]]
    result = subprocess.run(
        [*command, "--here", f"--model_variant={variant}"],
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise UserError(f"{variant} could not be measured: {result.stderr.strip()[-500:]}")
    return json.loads(result.stdout.strip().split("\n")[-1])


def _measure(options: NetworksOptions, spec: NetworkSpec) -> dict:
    network.check(spec, options.crop_size)
    found = {"variant": spec.options.model_variant}
    images = [1, *options.crop_size, 3]
    with tf.Graph().as_default() as graph:
        outputs = network.build(
            tf.zeros(images), spec, options.num_classes, crop_size=options.crop_size
        ).logits
        found["parameters"] = sum(
            variable.shape.num_elements() for variable in tf.trainable_variables()
        )
        found["forward_gflop"] = sum(map(operations_of, graph.get_operations())) / 1e9
        if options.run:
            found["forward_mb"] = _memory_of(outputs)
    if options.run:
        with tf.Graph().as_default():
            step = train.build(
                tf.zeros(images),
                tf.zeros([*images[:3], 1], tf.int32),
                Config.of(*spec.records, *(record() for record in TRAINING_RECORDS)),
                classes=ClassSet(default_names(options.num_classes)),
                backend=_backend(),
            )
            found["training_mb"] = _memory_of(step.train_op)
    return found


def _backend():
    return backend.create(DeviceOptions(device="cpu"))


def operations_of(operation) -> int:
    """Returns the operations of a convolution, two per multiply-add; 0 for other operations.

    A transposed convolution, which is the gradient of another one by its inputs, counts too.
    """
    if operation.type == "Conv2DBackpropInput":
        height, width, filters, _ = operation.inputs[1].shape.as_list()
        return 2 * operation.inputs[2].shape.num_elements() * height * width * filters
    if operation.type not in ("Conv2D", "DepthwiseConv2dNative"):
        return 0
    outputs = operation.outputs[0].shape.num_elements()
    height, width, channels, _ = operation.inputs[1].shape.as_list()
    per_output = height * width * (channels if operation.type == "Conv2D" else 1)
    return 2 * outputs * per_output


def _memory_of(fetch) -> float:
    """Returns the peak growth of the process in MB while it runs a tensor or operation."""
    with tf.Session(config=_backend().session_config()) as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        before = _resident_mb()
        session.run(fetch)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0 - before


def _resident_mb() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def rows(variant: str, results: list) -> list:
    """Returns the figures of a network: its arithmetic, and its memory if measured.

    Args:
      variant: The network.
      results: Of each of its processes.
    """
    first = results[0]
    parameters = {"parameters": first["parameters"]}
    found = [Row(variant, "GFLOP", tuple(one["forward_gflop"] for one in results), parameters)]
    for name, key in (("forward", "forward_mb"), ("training step", "training_mb")):
        if key in first:
            found.append(Row(f"{variant}, {name}", "MB", tuple(one[key] for one in results)))
    return found


def _table(results: dict) -> str:
    columns = {"forward MB": "forward_mb", "training step MB": "training_mb"}
    return runner.table(
        [
            {
                "backbone": f"`{variant}`",
                "parameters": found[0]["parameters"],
                "forward GFLOP": found[0]["forward_gflop"],
                **{
                    name: statistics.median(one[key] for one in found)
                    for name, key in columns.items()
                    if key in found[0]
                },
            }
            for variant, found in results.items()
        ]
    )


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
