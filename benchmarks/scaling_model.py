r"""What a step would take on many ranks: `python -m benchmarks.scaling_model`.

  python -m benchmarks.scaling_model --compute_seconds=2.5 --gradients_mb=224 --gbit=25

A ring all-reduce of R ranks sends 2 (R - 1) / R of the gradients over each link, in 2 (R - 1)
messages a bucket, one after the other (Patarasuk and Yuan, Bandwidth optimal all-reduce algorithms
for clusters of workstations, 2009). What of it is done while the backward pass still runs costs
nothing; the rest is added to the step.
"""

from __future__ import annotations

import dataclasses
import math

from absl import flags

import common
from benchmarks import measure
from common import Options, option


@dataclasses.dataclass(frozen=True)
class Link:
    """What connects two ranks.

    Attributes:
      bytes_per_second: What it carries in each direction.
      seconds_per_message: What each message costs besides, on both sides together.
    """

    bytes_per_second: float
    seconds_per_message: float


@dataclasses.dataclass(frozen=True)
class ModelOptions(Options):
    """The figures of the model."""

    compute_seconds: float = option(
        flags.DEFINE_float, 2.5, "Seconds of a step of one rank by itself.", above=0.0
    )
    gradients_mb: float = option(flags.DEFINE_float, 224.0, "MB of all gradients.", above=0.0)
    bucket_mb: float = option(flags.DEFINE_float, 16.0, "MB of a bucket.", above=0.0)
    gbit: float = option(flags.DEFINE_float, 10.0, "Gbit/s of a link.", above=0.0)
    message_ms: float = option(flags.DEFINE_float, 1.0, "Milliseconds per message.", minimum=0.0)
    overlap: float = option(
        flags.DEFINE_float,
        0.6,
        "Share of the step in which gradients can travel: the backward pass but its end.",
        minimum=0.0,
        maximum=1.0,
    )
    ranks: tuple[int, ...] = option(
        flags.DEFINE_list, (2, 8, 64, 512), "Numbers of ranks.", convert=int, minimum=2
    )


OPTION_CLASSES = (ModelOptions,)


def main(flag_values):
    """Prints a row for each number of ranks."""
    options = common.from_flags(ModelOptions, flag_values)
    link = Link(options.gbit * 1e9 / 8, options.message_ms / 1000)
    size = options.gradients_mb * (1 << 20)
    buckets = math.ceil(options.gradients_mb / options.bucket_mb)
    print(measure.table([_row(ranks, size, buckets, link, options) for ranks in options.ranks]))


def _row(ranks, size, buckets, link, options) -> dict:
    compute = options.compute_seconds
    step = step_seconds(ranks, compute, size, buckets, link, overlap=options.overlap)
    messages = all_reduce_seconds(ranks, 0.0, buckets, link)
    total = all_reduce_seconds(ranks, size, buckets, link)
    bottleneck = "messages" if messages > total / 2 else "bytes"
    return {
        "ranks": ranks,
        "all-reduce s": total,
        "s/step": step,
        "efficiency %": 100.0 * compute / step,
        "bottleneck": "compute" if step == compute else bottleneck,
    }


def all_reduce_seconds(ranks: int, size: float, buckets: int, link: Link) -> float:
    """Returns the time of a ring all-reduce.

    Args:
      ranks: Number of ranks.
      size: Bytes of all gradients.
      buckets: How many all-reduces they are sent in, one after the other.
      link: What connects neighbours.
    """
    hops = 2 * (ranks - 1)
    return size / ranks * hops / link.bytes_per_second + buckets * hops * link.seconds_per_message


def step_seconds(
    ranks: int, compute: float, size: float, buckets: int, link: Link, *, overlap: float
) -> float:
    """Returns the time of a step.

    Args:
      ranks: Number of ranks.
      compute: Seconds of a step of one rank by itself.
      size: Bytes of all gradients.
      buckets: How many all-reduces they are sent in.
      link: What connects neighbours.
      overlap: Share of the step in which gradients can travel.
    """
    exposed = all_reduce_seconds(ranks, size, buckets, link) - overlap * compute
    return compute + max(0.0, exposed)


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
