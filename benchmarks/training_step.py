r"""Speed and memory of a training step: `python -m benchmarks.training_step`.

  python -m benchmarks.training_step
  python -m benchmarks.training_step --crop=513 --variants=ours,ours_bf16,torch,torch_bf16 \
      --torch_python=TORCH/bin/python
  python -m benchmarks.training_step --variants=ours,usual --more_pythons=TF115/bin/python
  python -m benchmarks.training_step --variants=ours_independent,ours_ranks

Each variant is a process of its own, and their steps are interleaved:

  ours, ours_bf16     the training step of train_npu.py, in fp32 and bf16
  ours_ranks, ours_ranks_bf16  the same in `--processes` ranks of one group, a core and a batch each
  ours_independent    the same processes without a group; ours_ranks / ours_independent is the
                      efficiency of the group
  usual               the same with atrous convolutions through SpaceToBatch, as in tf-slim
  torch, torch_bf16   the same network in PyTorch, eager, in its default memory layout; with
                      channels last (torch_nhwc, torch_nhwc_bf16)
  product, product_bf16  a product of two 2048x2048 matrices, for the machine's rate

Ratios compare images per second, those with products GFLOP per second: our other variants with the
first, and ours with the rest of the same precision.

PyTorch is optional (`requirements/benchmarks.txt`, in an environment of its own).
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys

from absl import flags

import common
from benchmarks import runner
from benchmarks.runner import BenchmarkOptions, Row
from benchmarks.worker import Group, Worker
from common import option
from utils.errors import OptionError, UserError

# Variant -> module and its flags.
_OURS = "benchmarks.training_of_ours"
_TORCH = "benchmarks.training_of_torch"
VARIANTS = {
    "ours": (_OURS, ()),
    "ours_bf16": (_OURS, ("--precision_mode=bf16",)),
    "ours_ranks": (_OURS, ()),
    "ours_ranks_bf16": (_OURS, ("--precision_mode=bf16",)),
    "ours_independent": (_OURS, ()),
    "usual": (_OURS, ("--formulation=space_to_batch",)),
    "usual_bf16": (_OURS, ("--formulation=space_to_batch", "--precision_mode=bf16")),
    "torch": (_TORCH, ()),
    "torch_nhwc": (_TORCH, ("--channels_last",)),
    "torch_bf16": (_TORCH, ("--bf16",)),
    "torch_nhwc_bf16": (_TORCH, ("--bf16", "--channels_last")),
    "product": (_OURS, ("--matrix_product",)),
    "product_bf16": (_OURS, ("--matrix_product", "--precision_mode=bf16")),
    "torch_product": (_TORCH, ("--matrix_product",)),
    "torch_product_bf16": (_TORCH, ("--matrix_product", "--bf16")),
}
NETWORK = (
    "--device=cpu",
    "--model_variant=resnet_v1_101",
    "--output_stride=16",
    "--atrous_rates=6",
    "--atrous_rates=12",
    "--atrous_rates=18",
    "--noaspp_with_separable_conv",
)


@dataclasses.dataclass(frozen=True)
class TrainingStepOptions(BenchmarkOptions):
    """What is measured."""

    crop: int = option(flags.DEFINE_integer, 257, "Height and width of the images.", minimum=33)
    batch_size: int = option(flags.DEFINE_integer, 2, "Images per step and process.", minimum=1)
    repetitions: int = option(
        flags.DEFINE_integer, 8, "Timed steps of each variant, interleaved.", minimum=1
    )
    processes: int = option(
        flags.DEFINE_integer,
        2,
        "Processes of ours_ranks and ours_independent, each on its own core.",
        minimum=2,
    )
    variants: tuple[str, ...] = option(
        flags.DEFINE_list,
        ("ours", "ours_bf16", "usual", "torch", "torch_bf16", "product"),
        "Variants to measure, comma separated; the others are compared with the first.",
        convert=str,
        choices=tuple(VARIANTS),
    )
    more_pythons: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Python interpreters with other versions of TensorFlow, for `ours` and `usual`.",
        convert=str,
    )
    torch_python: str | None = option(
        flags.DEFINE_string, None, "Python interpreter with PyTorch; this one if unset."
    )
    extra_flags: tuple[str, ...] | None = option(
        flags.DEFINE_list, None, "More flags of train_npu.py for our variants.", convert=str
    )


OPTION_CLASSES = (TrainingStepOptions,)


def main(flag_values):
    """Measures the variants and publishes their figures."""
    options = common.from_flags(TrainingStepOptions, flag_values)
    run = runner.Run("training_step", options)
    workers, missing = _start(options)
    try:
        if not workers:
            reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
            raise OptionError(f"none of --variants could be measured: {reasons}.")
        found = runner.steps(workers, options.repetitions)
    finally:
        for worker in workers.values():
            worker.close()
    run.publish(
        *figures(found, options.processes),
        heading=f"{options.crop}x{options.crop}, batch {options.batch_size} per process.",
        missing=missing,
    )


def _start(options) -> tuple:
    """Returns the running workers by name, and why others could not start."""
    workers, missing = {}, {}
    cores = sorted(os.sched_getaffinity(0))
    has_torch = runner.has_module(options.torch_python or sys.executable, "torch")
    for name, command in _commands(options):
        if _TORCH in command and not has_torch:
            missing[name] = "PyTorch is not installed; see requirements/benchmarks.txt."
            continue
        if _is_group(name) and len(cores) < options.processes:
            missing[name] = (
                f"--processes={options.processes} need a core each, but there are {len(cores)}."
            )
            continue
        try:
            if _is_group(name):
                in_group = "_ranks" in name
                workers[name] = Group(command, cores[: options.processes], in_group=in_group)
            else:
                workers[name] = Worker(command)
        except (UserError, OSError) as error:
            missing[name] = str(error)
    return workers, missing


def _is_group(variant: str) -> bool:
    return "_ranks" in variant or "_independent" in variant


def _commands(options):
    for variant in options.variants:
        module, arguments = VARIANTS[variant]
        if module == _TORCH:
            python = options.torch_python or sys.executable
            sizes = [f"--crop={options.crop}", f"--batch_size={options.batch_size}"]
            yield variant, [python, "-m", module, *sizes, *arguments]
            continue
        yield variant, _our_command(sys.executable, arguments, options)
        if variant in ("ours", "usual"):
            for python in options.more_pythons or ():
                yield f"{variant} {python}", _our_command(python, arguments, options)


def _our_command(python, arguments, options):
    size = f"--image_size={options.crop},{options.crop}"
    sizes = [size, f"--train_batch_size={options.batch_size}"]
    return [python, "-m", _OURS, *NETWORK, *sizes, *(options.extra_flags or ()), *arguments]


def figures(found: dict, processes: int) -> tuple:
    """Returns the seconds of a step of each variant, and the ratios between variants.

    Args:
      found: Variant -> the result of `runner.steps`.
      processes: Of the variants with several.
    """
    usual = next((one["gflop"] for one in found.values() if one["gflop"]), None) or 1.0
    # The work of a run: a group has a batch for each process.
    work = {
        name: (one["gflop"] or usual) * (processes if _is_group(name) else 1)
        for name, one in found.items()
    }
    rows = {name: _row(name, one, work[name]) for name, one in found.items()}
    pairs = [_pair(name, list(found)) for name in list(found)[1:]]
    return list(rows.values()), [
        runner.ratio(rows[of], rows[to], work[of] / work[to]) for of, to in pairs
    ]


def _row(name: str, one: dict, gflop: float) -> Row:
    seconds = [step["seconds"] for step in one["steps"]]
    return Row(
        name,
        "s",
        tuple(seconds),
        {
            "with": one["versions"],
            "processor s": statistics.median(step["processor_seconds"] for step in one["steps"]),
            "GFLOP/s": gflop / statistics.median(seconds),
            "peak MB": round(one["steps"][-1]["peak_mb"]),
        },
    )


def _pair(name: str, names: list) -> tuple:
    """Returns which speed is divided by which, for a variant that is not the first."""
    if name == "ours_ranks" and "ours_independent" in names:
        return name, "ours_independent"
    if name.startswith("ours"):
        return name, names[0]
    is_bf16 = name.endswith("bf16") and "ours_bf16" in names
    return ("ours_bf16" if is_bf16 else names[0]), name


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
