"""The training loop: a session that returns to the host every N steps.

A loop is `iterations_per_loop` steps. Saving, logging, evaluation and the end of training happen at
the end of a loop, on every device (`core/training/intervals.py`). On an NPU the loop runs on the
device; elsewhere the host runs its steps one by one, and can shorten a loop: the last one, and one
in which a signal arrives. Hooks (`tf.train.SessionRunHook`) see one `run` per loop, with the values
of its last step.
"""

from __future__ import annotations

from typing import Callable

from core.checkpoints import restore
from core.training import freezing, stopping
from core.training.step import TrainStep
from deployment.backend import Backend
from options.training import TrainOptions
from utils.compat import tf
from utils.errors import OptionError, UserError


def check(backend: Backend, start_step: int, options: TrainOptions):
    """Raises OptionError if whole loops do not end at the last step of each stage of the training.

    Args:
      backend: The device; one that can shorten its loop accepts any number of steps.
      start_step: The step that training starts or continues from.
      options: The training.
    """
    total, length = freezing.end_of_stage(options, start_step), options.iterations_per_loop
    if total <= start_step or backend.can_shorten_loop():
        return
    rest = (total - start_step) % length
    if not rest:
        check(backend, total, options)
        return
    name = (
        "training_number_of_steps" if total == options.training_number_of_steps else "unfreeze_step"
    )
    nearest = [steps for steps in (total - rest, total - rest + length) if steps > start_step]
    after = f" after step {start_step}, where it continues" if start_step else ""
    raise OptionError(
        f"--{name}={total} is not a whole number of loops{after}, and "
        f"{backend.name} only runs loops of --iterations_per_loop={length} steps; pass "
        f"--{name}={' or '.join(str(steps) for steps in nearest)}."
    )


def run(
    step: TrainStep,
    *,
    options: TrainOptions,
    backend: Backend,
    hooks,
    resume_from: str | None = None,
    load: Callable | None = None,
) -> int:
    """Trains from the current global step to the end of its stage, exactly.

    A stage ends where other variables are trained, or with the training.

    Args:
      step: The training graph. Initializers of its iterators are in TABLE_INITIALIZERS.
      options: The training: its steps, and those per loop.
      backend: The device; `check` has accepted the number of steps.
      hooks: Session hooks, called in this order.
      resume_from: Checkpoint of this run to continue from, with the optimizer's state.
      load: Function from the session that loads what it starts from where it does not continue with
        all of its variables.

    Returns:
      The step that was reached; an earlier one than the stage's last if a hook stopped training.

    Raises:
      UserError: If a checkpoint is damaged, or a hook finds that training cannot continue.
      Interrupted: After SIGTERM or SIGINT; the loop and the hooks have ended.
    """
    train_op = backend.train_op(step.train_op, options.iterations_per_loop)
    creator = _SessionCreator(_scaffold(load), backend, options, resume_from)
    all_hooks = [*backend.hooks(), *hooks]
    with stopping.deferred() as request:
        stop = stopping.create(step, request)
        with tf.train.MonitoredSession(creator, all_hooks) as session:
            done = _run_loops(session, step, train_op, options, backend, stop)
        backend.finish()
    return done


class _SessionCreator(tf.train.ChiefSessionCreator):
    """Creates the session once; restore errors of TensorFlow become a UserError."""

    def __init__(self, scaffold, backend, options, resume_from):
        super().__init__(
            scaffold,
            master=backend.session_target,
            config=backend.session_config(options.iterations_per_loop, is_training=True),
            checkpoint_filename_with_path=resume_from,
        )
        self._backend = backend
        self._resume_from = resume_from
        self._is_made = False

    def create_session(self):
        """Returns the session, restored."""
        if self._is_made:
            # TensorFlow would silently continue from the last checkpoint, in this rank alone.
            self._backend.raise_failure()
            raise UserError(
                "the session was lost, which happens when another process of the training is gone; "
                "run the same command again to continue from the last checkpoint."
            )
        self._is_made = True
        if self._resume_from is None:
            return super().create_session()
        with restore.reading(self._resume_from):
            return super().create_session()


def _scaffold(load: Callable | None) -> tf.train.Scaffold:
    # local_init_op is left to the scaffold: hooks of a device may add local variables later.
    # One operation initializes, or restores, all variables. Asking each of them whether it is
    # initialized, twice, as TensorFlow does by default, takes two seconds with a ResNet-101.
    nothing = tf.no_op()
    return tf.train.Scaffold(
        init_fn=None if load is None else lambda _, session: load(session),
        ready_op=nothing,
        ready_for_local_init_op=nothing,
        saver=tf.train.Saver(max_to_keep=None),
    )


def _run_loops(session, step, train_op, options, backend, stop) -> int:
    """Runs the loops of a stage; returns the step that was reached."""

    def run_without_hooks(fetch):
        return session.run_step_fn(lambda step_context: step_context.session.run(fetch))

    fetches = train_op
    if not backend.runs_loop_on_device():
        # TensorFlow prepares the graph for each set of fetches, which takes seven seconds with a
        # ResNet-101. So steps that hooks do not see fetch what hooks fetch.
        fetches = [train_op, *step.watched]
    done = int(run_without_hooks(step.global_step))
    total, length = freezing.end_of_stage(options, done), options.iterations_per_loop
    while done < total and not session.should_stop() and not stop.is_due:
        if not backend.runs_loop_on_device():
            # Loops end on multiples of their length, also after a step where another run ended.
            for _ in range(min(length - done % length, total - done) - 1):
                if stop.is_due:
                    break
                stop.run(run_without_hooks, fetches)
        stop.run(session.run, fetches, run_without_hooks)
        done = int(run_without_hooks(step.global_step))
    return done
