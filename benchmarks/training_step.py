r"""Speed and memory of a training step: `python -m benchmarks.training_step`.

  python -m benchmarks.training_step
  python -m benchmarks.training_step --crop=513 --variants=ours,ours_bf16,torch,torch_bf16 \
      --torch_python=TORCH/bin/python
  python -m benchmarks.training_step --variants=ours,usual --more_pythons=TF115/bin/python

Each variant is a process of its own, and they take turns: one step of each, then the next of each.
What is compared:

  ours, ours_bf16     the step that train_npu.py makes, in fp32 and bf16
  usual               the same with atrous convolutions through SpaceToBatch, as tf-slim has them
  torch, torch_bf16   the same network in PyTorch, eager, in its default memory layout; with
                      channels last (torch_nhwc, torch_nhwc_bf16)
  product, product_bf16  a product of two 2048x2048 matrices, for the machine's rate

PyTorch is optional (`requirements/benchmarks.txt`, in an environment of its own).
"""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys

from absl import flags

import common
from benchmarks import measure
from benchmarks.worker import Worker
from common import Options, option
from utils.errors import OptionError, UserError

# Variant -> module, and what it is told.
_OURS = "benchmarks.training_of_ours"
_TORCH = "benchmarks.training_of_torch"
VARIANTS = {
    "ours": (_OURS, ()),
    "ours_bf16": (_OURS, ("--precision_mode=bf16",)),
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
class TrainingStepOptions(Options):
    """What is measured."""

    crop: int = option(flags.DEFINE_integer, 257, "Height and width of the images.", minimum=33)
    batch_size: int = option(flags.DEFINE_integer, 2, "Images per step.", minimum=1)
    steps: int = option(flags.DEFINE_integer, 8, "Timed steps of each variant.", minimum=1)
    variants: tuple[str, ...] = option(
        flags.DEFINE_list,
        ("ours", "ours_bf16", "usual", "torch", "torch_bf16", "product"),
        "What is measured, comma separated; the first is what the others are compared with.",
        convert=str,
        choices=tuple(VARIANTS),
    )
    more_pythons: tuple[str, ...] | None = option(
        flags.DEFINE_list,
        None,
        "Interpreters with other versions of TensorFlow that measure `ours` and `usual` too.",
        convert=str,
    )
    torch_python: str | None = option(
        flags.DEFINE_string, None, "Interpreter that has PyTorch; this one if unset."
    )
    extra_flags: tuple[str, ...] | None = option(
        flags.DEFINE_list, None, "Further flags of train_npu.py for our variants.", convert=str
    )
    json_file: str | None = option(flags.DEFINE_string, None, "File for all figures.")


OPTION_CLASSES = (TrainingStepOptions,)


def main(flag_values):
    """Reads the flags, measures, prints a table."""
    options = common.from_flags(TrainingStepOptions, flag_values)
    workers, missing = _start(options)
    try:
        if not workers:
            raise OptionError(f"None of --variants could be measured: {'; '.join(missing)}.")
        found = _measure(workers, options.steps)
    finally:
        for worker in workers.values():
            worker.close()
    machine = measure.machine()
    rows = _rows(found)
    print(
        f"{options.crop}x{options.crop}, batch {options.batch_size}, {options.steps} steps each; "
        f"{measure.in_words(machine)}\n"
    )
    print(measure.table(rows))
    for line in missing:
        print(line)
    if options.json_file is not None:
        content = {"machine": machine, "options": options.to_dict(), "variants": found}
        measure.write_json(options.json_file, content)


def _start(options) -> tuple:
    """Returns the running workers by name, and a sentence for each that could not be started."""
    workers, missing = {}, []
    has_torch = _has_torch(options.torch_python or sys.executable)
    for name, command in _commands(options):
        if _TORCH in command and not has_torch:
            missing.append(f"{name}: PyTorch is not installed; see requirements/benchmarks.txt.")
            continue
        try:
            workers[name] = Worker(command)
        except (UserError, OSError) as error:
            missing.append(f"{name}: {error}")
    return workers, missing


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
    sizes = [f"--crop={options.crop}", f"--train_batch_size={options.batch_size}"]
    return [python, "-m", _OURS, *NETWORK, *sizes, *(options.extra_flags or ()), *arguments]


def _has_torch(python) -> bool:
    found = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    return found.returncode == 0


def _measure(workers: dict, steps: int) -> dict:
    """Returns what each variant is and what each of its steps took."""
    answers = {name: [] for name in workers}

    def run(name):
        answers[name].append(workers[name].run())

    measure.interleaved({name: lambda name=name: run(name) for name in workers}, steps)
    return {
        # The first answer is the run that does not count.
        name: {**workers[name].description, "steps": answers[name][1:]}
        for name in workers
    }


def _rows(found: dict) -> list:
    gflop = next((one["gflop"] for one in found.values() if one["gflop"]), None)
    first = None
    rows = []
    for name, one in found.items():
        seconds = [step["seconds"] for step in one["steps"]]
        median = statistics.median(seconds)
        first = first or median
        work = one["gflop"] or gflop
        rows.append(
            {
                "variant": name,
                "with": one["versions"],
                "s, median": median,
                "lowest": min(seconds),
                "highest": max(seconds),
                "processor s": statistics.median(s["processor_seconds"] for s in one["steps"]),
                "GFLOP/s": work / median if work else "",
                "times the first": median / first if "product" not in name else "",
                "peak MB": round(one["steps"][-1]["peak_mb"]),
            }
        )
    return rows


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
