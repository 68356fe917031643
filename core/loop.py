"""The training loop: a session that returns to the host every N steps.

A loop is `iterations_per_loop` steps. Saving, logging and the end of training happen when a loop
has ended, on every device: on an NPU the loop runs on the device, elsewhere the host runs its
steps one after the other without fetching anything. Hooks (`tf.train.SessionRunHook`) see one
`run` per loop, with the values of its last step.
"""

from __future__ import annotations

import signal
import threading

from absl import logging

from core import checkpoint
from core.train import TrainStep
from deployment.backend import Backend
from utils.compat import tf
from utils.errors import Interrupted


def run(
    step: TrainStep,
    *,
    total_steps: int,
    iterations_per_loop: int,
    backend: Backend,
    hooks,
    resume_from: str | None = None,
    initial: checkpoint.Match | None = None,
):
    """Trains from the current global step to `total_steps`.

    Args:
      step: The training graph. Initializers of its iterators are in TABLE_INITIALIZERS.
      total_steps: Global step at which training ends, exactly.
      iterations_per_loop: Steps between two returns to the host.
      backend: The device.
      hooks: Session hooks, called in this order.
      resume_from: Checkpoint of this run to continue from, with the optimizer's state.
      initial: Weights to start from when there is nothing to continue.

    Raises:
      UserError: If a checkpoint is damaged, or a hook finds that training cannot go on.
      Interrupted: After SIGTERM or SIGINT; the loop was finished and the hooks have ended.
    """
    train_op = backend.train_op(step.train_op, iterations_per_loop)
    stop = _StopOnSignal()
    creator = tf.train.ChiefSessionCreator(
        scaffold=_scaffold(initial),
        config=backend.session_config(),
        checkpoint_filename_with_path=resume_from,
    )
    all_hooks = [*backend.hooks(), *hooks]
    with stop:
        if resume_from is None:
            session = tf.train.MonitoredSession(creator, hooks=all_hooks)
        else:
            with checkpoint.reading(resume_from):
                session = tf.train.MonitoredSession(creator, hooks=all_hooks)
        with session:
            _run_loops(session, step, train_op, total_steps, iterations_per_loop, backend, stop)
    stop.raise_if_stopped()


def _scaffold(initial: checkpoint.Match | None) -> tf.train.Scaffold:
    # local_init_op is left to the scaffold: hooks of a device may add local variables later.
    if initial is None:
        return tf.train.Scaffold(saver=tf.train.Saver(max_to_keep=None))
    assign = checkpoint.assign_op(initial)

    def load(unused_scaffold, session):
        with checkpoint.reading(initial.path):
            session.run(assign)

    return tf.train.Scaffold(saver=tf.train.Saver(max_to_keep=None), init_fn=load)


def _run_loops(session, step, train_op, total_steps, iterations_per_loop, backend, stop):
    def run_without_hooks(fetch):
        return session.run_step_fn(lambda step_context: step_context.session.run(fetch))

    done = run_without_hooks(step.global_step)
    while done < total_steps and not session.should_stop() and not stop.signal_number:
        steps = min(iterations_per_loop, total_steps - done)
        if not backend.runs_loop_on_device():
            for _ in range(steps - 1):
                run_without_hooks(train_op)
        session.run(train_op)
        done = run_without_hooks(step.global_step)


class _StopOnSignal:
    """Notes SIGTERM and SIGINT, so that the loop can finish and save before it ends."""

    def __init__(self):
        self.signal_number = 0
        self._previous = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *unused_error):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number, unused_frame):
        self.signal_number = number
        logging.warning("%s: ending after this loop.", signal.Signals(number).name)

    def raise_if_stopped(self):
        if self.signal_number:
            raise Interrupted(
                self.signal_number,
                f"Training ended early by {signal.Signals(self.signal_number).name}; the same "
                "command continues it from the last checkpoint.",
            )
