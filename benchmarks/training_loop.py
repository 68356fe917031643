r"""What a loop of training steps costs, by who runs it: `python -m benchmarks.training_loop`.

  python -m benchmarks.training_loop --model_variant=resnet_v1_18 --loop_steps=10

The same network and batch are trained by: `session.run` for each step, as a hook-less step of a
monitored session makes it; a callable made once (`Session.make_callable`); and one `tf.while_loop`
around the step, run once for all steps. The last needs resource variables, since a loop reads
others only once; they are measured with the first way too.
"""

from __future__ import annotations

import dataclasses

from absl import flags

import common
from benchmarks import measure, report
from benchmarks.report import ReportOptions
from common import option
from options.device import DeviceOptions
from options.network import NETWORK_RECORDS, NetworkSpec
from options.training import TrainingSpec
from utils.classes import ClassSet, default_names


@dataclasses.dataclass(frozen=True)
class LoopOptions(ReportOptions):
    """What is measured."""

    crop_size: tuple[int, ...] = option(
        flags.DEFINE_list, (65, 65), "Height,width.", convert=int, length=2, minimum=1
    )
    batch_size: int = option(flags.DEFINE_integer, 2, "Images per step.", minimum=1)
    loop_steps: int = option(flags.DEFINE_integer, 10, "Steps of a loop.", minimum=1)


OPTION_CLASSES = (LoopOptions, *NETWORK_RECORDS)
NUM_CLASSES = 21


def main(flag_values):
    """Reads the flags, measures and prints a table."""
    options = common.from_flags(LoopOptions, flag_values)
    spec = NetworkSpec.from_flags(flag_values)
    from deployment import backend as backends

    found = report.Report("training_loop", options, spec)
    backend = backends.create(DeviceOptions(device="cpu"))
    loops = {
        "host, session.run": _host_loop(options, spec, backend, False, False),
        "host, callable": _host_loop(options, spec, backend, False, True),
        "host, session.run, resource variables": _host_loop(options, spec, backend, True, False),
        "graph, tf.while_loop": _graph_loop(options, spec, backend),
    }
    seconds = measure.interleaved(loops, options.repetitions)
    height, width = options.crop_size
    rows = [
        report.rates(name, values, options.loop_steps, "steps/s")
        for name, values in seconds.items()
    ]
    found.publish(
        rows,
        [report.ratio(row, rows[0]) for row in rows[1:]],
        heading=f"{spec.options.model_variant}, {options.batch_size} images of {height}x{width}, "
        f"loops of {options.loop_steps} steps, {options.repetitions} of each way in turn.",
    )


def _host_loop(options, spec, backend, resource_variables, as_callable):
    """Returns a function that makes a loop of steps from the host."""
    from utils.compat import tf

    with tf.Graph().as_default():
        tf.get_variable_scope().set_use_resource(resource_variables)
        train_op = _step(options, spec, backend).train_op
        session = _session(backend)
    step = session.make_callable(train_op) if as_callable else lambda: session.run(train_op)

    def run():
        for _ in range(options.loop_steps):
            step()

    return run


def _graph_loop(options, spec, backend):
    """Returns a function that makes a loop of steps in one run."""
    from utils.compat import tf

    with tf.Graph().as_default():
        tf.get_variable_scope().set_use_resource(True)
        tf.train.get_or_create_global_step()

        def body(done):
            with tf.control_dependencies([_step(options, spec, backend).train_op]):
                return done + 1

        loop = tf.while_loop(
            lambda done: done < options.loop_steps, body, [tf.constant(0)], parallel_iterations=1
        )
        session = _session(backend)
    return lambda: session.run(loop.op)


def _step(options, spec, backend):
    """Returns a training step on a batch that stays the same."""
    from core.training import step as train
    from utils.compat import tf

    shape = [options.batch_size, *options.crop_size]
    return train.build(
        tf.random_uniform([*shape, 3], 0, 255, seed=1),
        tf.zeros([*shape, 1], tf.int32),
        spec,
        TrainingSpec(),
        classes=ClassSet(default_names(NUM_CLASSES)),
        backend=backend,
    )


def _session(backend):
    from utils.compat import tf

    session = tf.Session(config=backend.session_config())
    session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
    return session


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
