"""A training run: checks, folder, graph, hooks and loop, with recoveries from non-finite steps.

It takes the three objects of a run: the `Config`, the opened data set, and the device.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools

from absl import logging

from core import network, task
from core.checkpoints import foreign, named, restore
from core.evaluation import evaluator
from core.inference import steps, thresholds
from core.losses import objective
from core.runs import folder as run_folder
from core.runs import lock
from core.training import (
    feeding,
    freezing,
    intervals,
    label_weights,
    loop,
    monitor,
    nonfinite,
    startup,
)
from core.training.hooks.evaluate_while_training import EvaluateWhileTraining, Evaluation
from core.training.hooks.follow_score import FollowScore
from core.training.hooks.log_images import LogImages
from core.training.hooks.log_training import LogTraining
from core.training.hooks.profile_steps import ProfileSteps
from core.training.hooks.save_checkpoints import SaveCheckpoints
from core.training.hooks.stop_on_nonfinite import StopOnNonFinite
from core.training.hooks.watch_loss import WatchLoss
from deployment.backend import Backend
from options.config import Config
from utils.compat import host_session, tf
from utils.errors import OptionError, UserError

# What may differ between the hosts of one training: folders and what a machine has.
_OF_A_HOST = frozenset(
    [
        "cache_dir",
        "dataset_dir",
        "inter_op_threads",
        "intra_op_threads",
        "profile_logdir",
        "tf_initial_checkpoint",
        "train_logdir",
        "weights_dir",
    ]
)


def check_network(config: Config):
    """Raises OptionError if the network cannot be built, or not be evaluated during training."""
    network.check(config.spec, crop_size=config.input.train_crop_size)
    if config.train.evaluates:
        if config.evaluation.use_ema and not config.train.ema_decay:
            raise OptionError("--use_ema needs averages to evaluate; pass --ema_decay too.")
        network.check(config.spec, crop_size=config.input.eval_size)


def check_data(config: Config, dataset):
    """Raises OptionError or UserError if the data do not fit the options."""
    objective.check(config.loss, dataset.classes)
    dataset.check_channels(config.train.train_split, config.network.input_channels)
    num_images = dataset.count(config.train.train_split)
    config.check_count("num_training_samples", config.data.num_training_samples, num_images)
    if config.train.evaluates:
        classes = dataset.classes
        _monitored(config, classes)
        steps.create(config.evaluation.postprocess, classes)
        dataset.check_channels(config.evaluation.eval_split, config.network.input_channels)
        dataset.check_evaluation(config.evaluation.eval_split)


def _monitored(config: Config, classes) -> monitor.Score:
    """Returns the score that training monitors; raises OptionError if there is no such one."""
    name = config.monitor.monitor or task.of(classes).monitor
    others = {monitor.TRAINING_LOSS: False}
    is_larger = evaluator.larger_is_better(name, classes, config.evaluation, others)
    if config.monitor.monitor_mode != "auto":
        is_larger = config.monitor.monitor_mode == "max"
    return monitor.Score(name, is_larger, config.evaluation.eval_split)


def train(config: Config, dataset, backend: Backend, *, extra_hooks=()):
    """Trains until `training_number_of_steps`, from the newest checkpoint of the folder if any.

    Args:
      config: The options of the run.
      dataset: The opened data set.
      backend: The device, not started yet.
      extra_hooks: Session hooks of the caller, called last.

    Raises:
      OptionError: If an option cannot be used with this data or device.
      UserError: If a checkpoint or the folder cannot be used, or training fails.
    """
    folder, split = config.train.train_logdir, config.train.train_split
    startup.check_backend(config.train, backend)
    config = intervals.in_steps(
        config, dataset.count(split), config.train.images_per_step * backend.ranks
    )
    with lock.hold(folder) if backend.is_chief else contextlib.nullcontext():
        Trainer(config, dataset, backend, extra_hooks).run()
    # Repeats the warning at the end of the log.
    dataset.warn_of_skipped(split)
    logging.info("Training ended; results are in %s.", folder)


class Trainer:
    """One run in a folder that this process holds."""

    def __init__(self, config: Config, dataset, backend: Backend, extra_hooks=()):
        self._config = config
        self._options = config.train
        self._dataset = dataset
        self._backend = backend
        self._extra_hooks = extra_hooks
        self._facts = None

    def run(self):
        """Starts or continues the run."""
        self._facts = self._describe()
        self._backend.agree("options and data", self._shared_facts())
        resume_from = run_folder.prepare(
            self._options.train_logdir,
            self._config,
            self._facts,
            is_chief=self._backend.is_chief,
            check=self._check_start,
        )
        if intervals.notice(self._options):
            logging.info("%s", intervals.notice(self._options))
        self._backend.trains = True
        self._backend.start()
        try:
            self._train_until_done(resume_from)
        except UserError:
            if self._backend.is_chief:
                run_folder.forget_if_unused(self._options.train_logdir)
            raise
        except tf.errors.OpError:
            self._backend.raise_failure()
            self._dataset.explain_failure(self._options.train_split, training=True)
            raise

    def _describe(self) -> dict:
        """Returns the facts about data and software that are saved with the options."""
        split = self._options.train_split
        facts = run_folder.describe_run(
            self._dataset.classes,
            split,
            self._dataset.count(split),
            self._dataset.fingerprint(split),
            self._backend.name,
        )
        return {**facts, "images_per_step": self._options.images_per_step * self._backend.ranks}

    def _shared_facts(self) -> dict:
        """Returns what all ranks must have in common."""
        facts = {f"{name} of the data": self._facts[name] for name in ("num_images", "fingerprint")}
        for name, value in self._config.values().items():
            if name not in _OF_A_HOST:
                facts[f"--{name}"] = value
        return facts

    def _check_start(self, resume_from: str | None):
        """Raises what refuses the start before the folder is changed and a graph is built."""
        if not self._backend.restores:
            return
        first_step = restore.step_of(resume_from) if resume_from else 0
        loop.check(self._backend, first_step, self._options)
        if resume_from is None:
            start = named.initial_weights(self._options, self._config.network.model_variant)
            if start is not None:
                foreign.check(start)

    def _train_until_done(self, resume_from: str | None):
        """Trains stage after stage, each from the checkpoint of the one before.

        It starts again from the last checkpoint after a non-finite step, if allowed.
        """
        while True:
            try:
                reached = self._train_from(resume_from)
                total = self._options.training_number_of_steps
                if not 0 < self._options.unfreeze_step == reached < total:
                    return
            except nonfinite.NonFiniteError as error:
                nonfinite.roll_back(error, self._options)
            resume_from = (restore.find_all(self._options.train_logdir) or [None])[-1]

    def _train_from(self, resume_from: str | None) -> int:
        """Trains from a checkpoint, or from the start for None, to the end of its stage.

        Returns:
          The step that was reached.
        """
        options, backend, spec = self._options, self._backend, self._config.spec
        if not backend.restores:
            resume_from = None
        skipped = backend.share("skipped", nonfinite.skipped_batches(options.train_logdir))
        first_step = backend.share("the first step", startup.start_step(resume_from, options))
        loop.check(backend, first_step, options)
        with tf.Graph().as_default():
            tf.set_random_seed(options.seed)
            config = self._config.replace(train=freezing.at_step(options, first_step))
            step = feeding.build(config, self._dataset, backend, first_step + skipped)
            startup.describe(spec, options, self._dataset.classes, self._facts, backend)
            self._describe_loss()
            startup.warn_of_batch_norm(spec, options)
            startup.warn_of_random_weights(spec, options, self._facts["num_images"])
            load = None
            if backend.restores and not resume_from:
                load = startup.initial_weights(self._config)
            elif resume_from and first_step == options.unfreeze_step:
                load = startup.unfrozen(resume_from)
            return loop.run(
                step,
                options=options,
                backend=backend,
                hooks=[*self._hooks(step, skipped), *self._extra_hooks],
                resume_from=None if load else resume_from,
                load=load,
            )

    def _describe_loss(self):
        """Logs the loss and the class weights that were computed."""
        classes = self._dataset.classes
        logging.info("Loss: %s.", objective.describe(self._config.loss, classes))
        weights = label_weights.describe(self._config, classes)
        if weights:
            logging.info("%s", weights)

    def _hooks(self, step, skipped: int) -> list:
        """Returns the hooks in the order in which they must be called."""
        hooks, log, follow = self._watching_hooks(step, skipped), None, None
        options, backend, monitors = self._options, self._backend, self._config.monitor
        if backend.is_chief:
            log, *others = self._logging_hooks(step)
            hooks += [log, *others]
        if options.eval_interval_steps:
            score = _monitored(self._config, self._dataset.classes)
            follow = FollowScore(step, options, monitors, score, backend)
            hooks.append(follow)
        if backend.is_chief and options.do_checkpoint:
            before = follow.save if follow else None
            hooks.append(SaveCheckpoints(options.train_logdir, step, options, before))
        if follow:
            how = {"evaluation": self._evaluation(), "follow": follow}
            hooks.append(
                EvaluateWhileTraining(step, options, monitors, backend=backend, log=log, **how)
            )
        return hooks

    def _logging_hooks(self, step) -> list:
        """Returns the hooks that write logs to the run's folder, the one of training.log first."""
        folder, options = self._options.train_logdir, self._options
        hooks = [
            LogTraining(
                folder,
                step,
                options,
                images_per_step=self._facts["images_per_step"],
                num_images=self._facts["num_images"],
            )
        ]
        if options.save_summaries_images:
            classes = self._dataset.classes
            hooks.append(LogImages(folder, step, options.save_summaries_secs, classes))
        return hooks

    def _watching_hooks(self, step, skipped: int) -> list:
        """Returns the hooks that watch the loss and the time."""

        def explain(session, number):
            batch = self._batch(number - 1 + skipped)
            diagnosis = nonfinite.diagnose(session, step, batch, alone=self._backend.ranks == 1)
            return nonfinite.describe(self._backend.gather("what was not finite", diagnosis))

        # A device that runs loops by itself has changed the weights since.
        hooks = [StopOnNonFinite(step, None if self._backend.runs_loop_on_device() else explain)]
        if self._backend.is_chief:
            chance = objective.at_chance(self._config.loss, self._dataset.classes)
            if chance is not None:
                total_steps = self._options.training_number_of_steps
                hooks.append(WatchLoss(step, total_steps=total_steps, chance=chance))
            if self._options.profile_logdir:
                hooks.append(ProfileSteps(self._options.profile_logdir))
        return hooks

    def _batch(self, number: int) -> dict:
        """Returns the values of one batch of training, read again."""
        with tf.Graph().as_default(), host_session() as session:
            batches = feeding.batches(self._config, self._dataset, self._backend, number)
            iterator = tf.data.make_initializable_iterator(batches)
            session.run(iterator.initializer)
            return session.run(iterator.get_next())

    def _evaluation(self) -> Evaluation:
        """Returns how the run evaluates its own checkpoints: without a report."""
        options = dataclasses.replace(self._config.evaluation, report=False)
        # With --on_bad_record=skip the number of images is known only after the first pass.
        num_images = None
        if self._config.data.on_bad_record != "skip":
            num_images = self._dataset.count(options.eval_split)

        def make_batches(number=None):
            batches = self._dataset.eval_batches(
                split=options.eval_split,
                batch_size=options.eval_batch_size,
                pad_color=network.pad_color(self._config.spec),
                rank=self._backend.rank,
                ranks=self._backend.ranks,
            )
            return batches if number is None else batches.take(number)

        def run(path, make=make_batches, **more):
            return evaluator.run(
                make,
                checkpoint_path=path,
                spec=self._config.spec,
                options=options,
                crop_size=self._config.input.eval_size,
                classes=self._dataset.classes,
                threshold=thresholds.by_hand(self._config.task, self._dataset.classes).decides,
                backend=self._backend,
                **{"num_images": num_images, **more},
            )

        def sample(path):
            make = functools.partial(make_batches, self._config.monitor.sanity_eval_batches)
            return run(path, make, num_images=None, is_part=True)

        return Evaluation(run, self._dataset.classes.names, sample)
