r"""Speed and memory of architectures beside other frameworks: `python -m benchmarks.architectures`.

  python -m benchmarks.architectures --torch_python=TORCH/bin/python
  python -m benchmarks.architectures --cases=unet_resnet34,fpn_resnet50 --modes=training
  python -m benchmarks.architectures --cases=fc_hardnet70 --variants=ours,torch_nhwc

Each network of `benchmarks/cases.py` is measured in turn with the same network in the framework
that its users come from (`benchmarks/peers`), each way to run it in a process of its own:

  ours                the graph that train_npu.py trains, or the network in inference
  torch, torch_nhwc   PyTorch, eager, in its default memory layout or with channels last
  torch_compile, torch_compile_nhwc  the same through torch.compile
  keras, keras_xla    Keras: train_on_batch of the compiled model, without and with its XLA

All in fp32. Images, loss and optimizer are the same. Ratios compare seconds, and the processor
seconds of the whole process, which other work on the machine affects less. Each table says whether
the networks have equally many parameters.

On a busy machine set OMP_WAIT_POLICY=PASSIVE: PyTorch's threads wait for each other in a loop.

PyTorch is optional (`requirements/benchmarks.txt`, in an environment of its own).
"""

from __future__ import annotations

import dataclasses
import statistics
import sys

from absl import flags

import common
from benchmarks import runner
from benchmarks.cases import CASES, OURS, PEERS, VARIANTS, Case
from benchmarks.runner import BenchmarkOptions, Row
from benchmarks.worker import Worker
from common import option
from utils.errors import OptionError, UserError

MODES = ("training", "inference")


@dataclasses.dataclass(frozen=True)
class ArchitecturesOptions(BenchmarkOptions):
    """What is measured."""

    repetitions: int = option(
        flags.DEFINE_integer, 5, "Timed steps of each variant, interleaved.", minimum=1
    )
    cases: tuple[str, ...] = option(
        flags.DEFINE_list,
        tuple(CASES),
        "Networks, comma separated.",
        convert=str,
        choices=tuple(CASES),
    )
    modes: tuple[str, ...] = option(
        flags.DEFINE_list, MODES, "What is run, comma separated.", convert=str, choices=MODES
    )
    variants: tuple[str, ...] = option(
        flags.DEFINE_list,
        VARIANTS,
        "Ways to run a network, comma separated; those of another framework than the network's "
        "own are left out.",
        convert=str,
        choices=VARIANTS,
    )
    torch_python: str | None = option(
        flags.DEFINE_string, None, "Python interpreter with PyTorch; this one if unset."
    )


OPTION_CLASSES = (ArchitecturesOptions,)


def main(flag_values):
    """Measures the networks and publishes their figures."""
    options = common.from_flags(ArchitecturesOptions, flag_values)
    run = runner.Run("architectures", options)
    rows, ratios, missing, notes = [], [], {}, []
    for name in options.cases:
        for mode in options.modes:
            title = f"{name} {mode}"
            found, absent = _measured(CASES[name], mode, options)
            missing.update({f"{title} {variant}": why for variant, why in absent.items()})
            if found:
                case_rows, case_ratios = figures(title, found)
                rows += case_rows
                ratios += case_ratios
                notes.append(parameters(title, found))
    if not rows:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise OptionError(
            f"nothing of --cases could be measured: {reasons or 'no --variants fit'}."
        )
    run.publish(
        rows,
        ratios,
        heading="Steps of networks beside those of other frameworks, fp32.",
        missing=missing,
        details="\n".join(notes),
    )


def _measured(case: Case, mode: str, options) -> tuple:
    """Returns the steps of each variant of a case, and why others could not be measured."""
    workers, missing = {}, {}
    python = options.torch_python or sys.executable
    has_framework = case.framework != "torch" or runner.has_module(python, "torch")
    try:
        for variant, command in commands(case, mode, options.variants, python):
            if variant != OURS and not has_framework:
                missing[variant] = "PyTorch is not installed; see requirements/benchmarks.txt."
                continue
            try:
                workers[variant] = Worker(command)
            except (UserError, OSError) as error:
                missing[variant] = str(error)
        return runner.steps(workers, options.repetitions), missing
    finally:
        for worker in workers.values():
            worker.close()


def commands(case: Case, mode: str, variants, torch_python: str) -> dict:
    """Yields the (variant, command) of those variants that the case has.

    Args:
      case: The network.
      mode: One of MODES.
      variants: Which are wanted.
      torch_python: Python interpreter with PyTorch.
    """
    words = [
        f"--image_size={case.size[0]},{case.size[1]}",
        f"--num_classes={case.num_classes}",
        f"--optimizer={case.optimizer}",
        f"--weight_decay={case.weight_decay}",
        *(["--inference"] if mode == "inference" else []),
    ]
    for variant in variants:
        if variant == OURS:
            own = [f"--class_task={case.task}", f"--train_batch_size={case.batch_size}"]
            module = [sys.executable, "-m", "benchmarks.training_of_ours", "--device=cpu"]
            yield variant, [*module, *case.flags, *own, *words]
        elif variant in PEERS[case.framework]:
            own = [f"--task={case.task}", f"--batch_size={case.batch_size}"]
            python = torch_python if case.framework == "torch" else sys.executable
            module = [python, "-m", f"benchmarks.peers.{case.framework}_worker", case.peer]
            yield variant, [*module, *own, *words, *PEERS[case.framework][variant]]


def figures(title: str, found: dict) -> tuple:
    """Returns the seconds of a step of each variant, and the ratios of ours over the others.

    Args:
      title: The network and what was run.
      found: Variant -> the result of `runner.steps`.
    """
    rows = {name: _row(f"{title} {name}", one) for name, one in found.items()}
    if OURS not in rows:
        return list(rows.values()), []
    processor = {name: _processor_row(name, one) for name, one in found.items()}
    ratios = []
    for name in found:
        if name != OURS:
            label = f"{title} {OURS} / {name}"
            ratios.append(runner.ratio(rows[OURS], rows[name], name=label))
            label = f"{label}, by processor time"
            ratios.append(runner.ratio(processor[OURS], processor[name], name=label))
    return list(rows.values()), ratios


def _row(name, one) -> Row:
    return Row(
        name,
        "s",
        tuple(step["seconds"] for step in one["steps"]),
        {
            "with": one["versions"],
            "processor s": statistics.median(step["processor_seconds"] for step in one["steps"]),
            "peak MB": round(one["steps"][-1]["peak_mb"]),
        },
    )


def _processor_row(name, one) -> Row:
    return Row(name, "s", tuple(step["processor_seconds"] for step in one["steps"]))


def parameters(title: str, found: dict) -> str:
    """Returns a sentence that says whether all variants have equally many parameters."""
    counts = {name: one["parameters"] for name, one in found.items()}
    if len(set(counts.values())) == 1:
        return f"{title}: {next(iter(counts.values())):,} trained parameters in all variants."
    each = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"{title}: !!! the variants differ in their trained parameters: {each}."


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
