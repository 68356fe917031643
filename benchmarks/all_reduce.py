"""Means over all ranks, run on request of `benchmarks.scaling`: the sizes in turn."""

from __future__ import annotations

import dataclasses
import itertools
import os

from absl import flags

import common
from benchmarks import worker
from common import Options, option
from options.device import DeviceOptions

_FLOATS_PER_MB = (1 << 20) // 4


@dataclasses.dataclass(frozen=True)
class AllReduceOptions(Options):
    """What is averaged."""

    sizes_mb: tuple[float, ...] = option(
        flags.DEFINE_list, (1.0,), "Sizes of what is averaged.", convert=float, above=0.0
    )
    piece_mb: float = option(
        flags.DEFINE_float, 1024.0, "Size of the tensors that it consists of.", above=0.0
    )


OPTION_CLASSES = (AllReduceOptions, DeviceOptions)


def main(flag_values):
    """Builds a mean for each size and serves them in turn."""
    from deployment import backend as backends
    from utils.compat import tf

    options = common.from_flags(AllReduceOptions, flag_values)
    backend = backends.create(common.from_flags(DeviceOptions, flag_values))
    backend.start()
    with tf.Graph().as_default():
        fetches = [
            tf.group(*backend.average(_tensors(size, options.piece_mb)))
            for size in options.sizes_mb
        ]
        config = backend.session_config(is_training=True)
        with tf.Session(backend.session_target, config=config) as session:
            session.run(tf.global_variables_initializer())
            for fetch in fetches:
                session.run(fetch)
            turns = itertools.cycle(fetches)
            worker.serve(lambda: session.run(next(turns)), {"rank": backend.rank})
    # Both ranks are asked to end at once; there is nothing to agree on.
    os._exit(0)


def _tensors(size: float, piece: float) -> list:
    from utils.compat import tf

    number = max(1, round(size / piece))
    length = max(1, int(size * _FLOATS_PER_MB / number))
    return [tf.Variable(tf.zeros([length])).read_value() for _ in range(number)]


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
