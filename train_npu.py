"""Trains or evaluates DeepLabV3 on the chosen device (NPU, GPU or CPU).

  python train_npu.py --dataset_dir=DIR --train_logdir=RUN --model_variant=resnet_v1_101_beta ...
  python train_npu.py --mode=evaluate --checkpoint_dir=RUN --dataset_dir=DIR

The same command continues a run that was interrupted. `--helpfull` lists every flag.
"""

from __future__ import annotations

import contextlib
import dataclasses

from absl import flags, logging

import common
from common import Options, option
from options.data import DataOptions
from options.device import DeviceOptions
from options.evaluation import EvalOptions
from options.inference import WindowOptions
from options.network import NETWORK_RECORDS, NetworkSpec
from options.training import TRAINING_RECORDS, TrainingSpec
from utils.classes import ClassSet
from utils.errors import OptionError, UserError


@dataclasses.dataclass(frozen=True)
class CommandOptions(Options):
    """What the command does."""

    mode: str = option(
        flags.DEFINE_string, "train", "What to do.", choices=("train", "evaluate"), changeable=True
    )
    debug: bool = option(
        flags.DEFINE_bool, True, "Whether notices are shown, not only warnings.", changeable=True
    )


# What may differ between the hosts of one training: folders and what a machine has.
_OF_A_HOST = frozenset(
    f"--{name}"
    for name in (
        "cache_dir",
        "dataset_dir",
        "inter_op_threads",
        "intra_op_threads",
        "profile_logdir",
        "tf_initial_checkpoint",
        "train_logdir",
    )
)

OPTION_CLASSES = (
    CommandOptions,
    *NETWORK_RECORDS,
    *TRAINING_RECORDS,
    EvalOptions,
    WindowOptions,
    DataOptions,
    DeviceOptions,
)


def main(flag_values):
    """Reads the flags and does what --mode says."""
    command = common.from_flags(CommandOptions, flag_values)
    logging.set_verbosity(logging.INFO if command.debug else logging.WARNING)
    if command.mode == "evaluate":
        from eval import main as evaluate

        evaluate(flag_values)
        return
    train(
        NetworkSpec.from_flags(flag_values),
        TrainingSpec.from_flags(flag_values),
        common.from_flags(DataOptions, flag_values),
        common.from_flags(DeviceOptions, flag_values),
        eval_options=common.from_flags(EvalOptions, flag_values),
        given=common.given_flags(flag_values),
    )


def train(
    spec: NetworkSpec,
    training: TrainingSpec,
    data_options: DataOptions,
    device_options: DeviceOptions,
    *,
    eval_options: EvalOptions | None = None,
    given: frozenset = frozenset(),
    extra_hooks=(),
):
    """Trains until `training_number_of_steps`, from the newest checkpoint of the folder if any.

    Args:
      spec: The network.
      training: The training.
      data_options: The data.
      device_options: The device.
      eval_options: The evaluations during training.
      given: Names of options that were given on purpose, not by default; only these are held
        against what `dataset.json` says.
      extra_hooks: Session hooks of the caller, called last.

    Raises:
      OptionError: If an option cannot be used with this data or device.
      UserError: If the data, a checkpoint or the folder is not as it must be.
    """
    # TensorFlow is loaded after the options were found good.
    from core.runs import lock
    from core.training import starting
    from datasets.pipeline import input_fn
    from deployment import backend as backends

    eval_options = eval_options or EvalOptions()
    sections = {
        "model": spec,
        "train": training,
        "data": data_options,
        "device": device_options,
    }
    train_options = training.train
    info, num_images = _check_data(sections, given)
    if train_options.eval_interval_steps:
        _check_evaluation(sections, eval_options, info)
    folder = train_options.train_logdir
    backend = backends.create(device_options)
    try:
        starting.check_backend(train_options, backend)
        with lock.hold(folder) if backend.is_chief else contextlib.nullcontext():
            _train_in_folder(sections, eval_options, info, num_images, backend, extra_hooks)
    finally:
        backend.stop()
    # Says once more what was left out, where somebody looks.
    input_fn.count_images(data_options, train_options.train_split, info)
    logging.info("Training ended; results are in %s.", folder)


def _check_data(sections, given) -> tuple:
    """Returns what is known of the data, and the number of images.

    Raises:
      OptionError: If an option cannot be used with this data.
      UserError: If the data are not as they must be.
    """
    from core import network
    from core.losses import objective
    from datasets import info as dataset_info
    from datasets.pipeline import input_fn

    training, data_options = sections["train"], sections["data"]
    network.check(sections["model"], crop_size=data_options.train_crop_size)
    info = dataset_info.load(data_options, given)
    objective.check(training.loss, _classes(info))
    num_images = input_fn.count_images(data_options, training.train.train_split, info)
    _check_count("num_training_samples", data_options.num_training_samples, num_images, given)
    return info, num_images


def _classes(info) -> ClassSet:
    return ClassSet(info.class_names, info.colors, info.ignore_label, name=info.name)


def _check_evaluation(sections, eval_options, info):
    """Raises OptionError or UserError if the run could not evaluate itself."""
    from core import network
    from core.evaluation import evaluator
    from datasets.pipeline import input_fn

    data_options = sections["data"]
    evaluator.check_monitor(_monitor(sections, info.classes), info.classes, eval_options)
    if eval_options.use_ema and not sections["train"].train.ema_decay:
        raise OptionError("--use_ema needs averages to evaluate; pass --ema_decay too.")
    network.check(sections["model"], crop_size=data_options.eval_size)
    input_fn.check_evaluation(data_options, info, eval_options.eval_split)


def _train_in_folder(sections, eval_options, info, num_images, backend, extra_hooks):
    """Starts or continues the run in its folder, which is this process's own."""
    from core.checkpoints import restore
    from core.runs import folder as run_folder
    from core.training import intervals, loop
    from datasets import raw_records
    from datasets.pipeline import input_fn
    from datasets.records import fingerprint
    from utils.compat import tf

    options = sections["train"].train
    data = fingerprint.of_split(raw_records.folder(sections["data"]), options.train_split)
    run = run_folder.describe_run(info, options.train_split, num_images, data, backend.name)
    run["images_per_step"] = options.images_per_step * backend.ranks
    backend.agree("options and data", _facts(sections, run))

    def check(resume_from):
        if backend.restores:
            loop.check(backend, restore.step_of(resume_from) if resume_from else 0, options)
            if resume_from is None and options.tf_initial_checkpoint is not None:
                # Found now, and not when the graph has been built.
                restore.reader(options.tf_initial_checkpoint)

    resume_from = run_folder.prepare(
        options.train_logdir, sections, run, is_chief=backend.is_chief, check=check
    )
    if intervals.notice(options):
        logging.info("%s", intervals.notice(options))
    backend.trains = True
    backend.start()
    try:
        _train_until_done(sections, eval_options, info, run, backend, resume_from, extra_hooks)
    except UserError:
        if backend.is_chief:
            run_folder.forget_if_unused(options.train_logdir)
        raise
    except tf.errors.OpError:
        backend.raise_failure()
        input_fn.explain_failure(sections["data"], info, options.train_split, training=True)
        raise


def _facts(sections, run) -> dict:
    """Returns what all ranks must have in common."""
    facts = {f"{name} of the data": run[name] for name in ("num_images", "fingerprint")}
    for section in sections.values():
        facts.update((f"--{name}", value) for name, value in section.to_dict().items())
    return {name: value for name, value in facts.items() if name not in _OF_A_HOST}


def _train_until_done(sections, eval_options, info, run, backend, resume_from, extra_hooks):
    """Trains, and starts again from the last checkpoint where that was asked for."""
    from core.checkpoints import restore
    from core.training import recoveries
    from core.training.hooks.stop_on_nonfinite import NonFiniteError

    options = sections["train"].train
    while True:
        try:
            _train_from(sections, eval_options, info, run, backend, resume_from, extra_hooks)
            return
        except NonFiniteError as error:
            recoveries.roll_back(error, options)
        resume_from = (restore.find_all(options.train_logdir) or [None])[-1]


def _train_from(sections, eval_options, info, run, backend, resume_from, extra_hooks):
    """Trains from a checkpoint, or from the start for None."""
    from core.training import loop, recoveries, start_notices, starting
    from utils.compat import tf

    options = sections["train"].train
    if not backend.restores:
        resume_from = None
    skipped = backend.share("skipped", recoveries.skipped_batches(options.train_logdir))
    start_step = backend.share("the first step", start_notices.start_step(resume_from, options))
    loop.check(backend, start_step, options)
    with tf.Graph().as_default():
        tf.set_random_seed(options.seed)
        step = _training_graph(sections, info, backend, start_step + skipped)
        start_notices.describe(sections["model"], options, info, run, backend)
        start_notices.warn_of_batch_norm(sections["model"], options)
        initial = (
            None
            if resume_from or not backend.restores
            else starting.initial_weights(sections["train"], sections["model"])
        )
        hooks = _hooks(step, sections, eval_options, backend, info, run, skipped)
        loop.run(
            step,
            options=options,
            backend=backend,
            hooks=[*hooks, *extra_hooks],
            resume_from=resume_from,
            initial=initial,
        )


def _batches(sections, info, backend, first_batch):
    """Returns the batches of steps, from the one with a number on."""
    from core import network
    from datasets.pipeline import input_fn

    options = sections["train"].train
    return input_fn.train_batches(
        sections["data"],
        info,
        split=options.train_split,
        batch_size=options.images_per_step,
        pad_color=network.pad_color(sections["model"]),
        seed=options.seed,
        start_step=first_batch,
        rank=backend.rank,
        ranks=backend.ranks,
        with_names=not backend.runs_loop_on_device(),
    )


def _training_graph(sections, info, backend, first_batch):
    """Builds input and training step in the default graph."""
    from core.training import step as train_step
    from core.training import step_timer
    from utils.compat import tf

    iterator = tf.data.make_initializable_iterator(_batches(sections, info, backend, first_batch))
    # The session runs these initializers; an NPU's loop needs the iterator made this way.
    tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
    timer = step_timer.create(backend)
    with timer.waiting():
        batch = iterator.get_next()
    step = train_step.build(
        batch["image"],
        batch["label"],
        sections["model"],
        sections["train"],
        classes=_classes(info),
        backend=backend,
    )
    return timer.around(step, batch["image"])


def _watching_hooks(step, sections, info, backend, skipped) -> list:
    """Returns the hooks that watch over the training, in every process."""
    from core.training import diagnosis
    from core.training.hooks.profile_steps import ProfileSteps
    from core.training.hooks.stop_on_nonfinite import StopOnBadLoss
    from core.training.hooks.watch_loss import WatchLoss
    from utils.compat import host_session, tf

    options = sections["train"].train

    def explain(session, number):
        with tf.Graph().as_default(), host_session() as other:
            batches = _batches(sections, info, backend, number - 1 + skipped)
            iterator = tf.data.make_initializable_iterator(batches)
            other.run(iterator.initializer)
            batch = other.run(iterator.get_next())
        finding = diagnosis.look(session, step, batch, alone=backend.ranks == 1)
        return diagnosis.in_words(backend.gather("what was not finite", finding))

    # A device that runs loops by itself has changed the weights since.
    hooks = [StopOnBadLoss(step, None if backend.runs_loop_on_device() else explain)]
    if backend.is_chief:
        total_steps = options.training_number_of_steps
        hooks.append(WatchLoss(step, total_steps=total_steps, num_classes=info.num_classes))
        if options.profile_logdir:
            hooks.append(ProfileSteps(options.profile_logdir))
    return hooks


def _evaluation(sections, eval_options, info, backend):
    """Returns how the run evaluates itself: without a report, and from its own checkpoints."""
    from core import network
    from core.evaluation import evaluator
    from core.training.hooks.evaluate_while_training import Evaluation
    from datasets.pipeline import input_fn

    options = dataclasses.replace(eval_options, report=False)
    data_options = sections["data"]
    # How many are left where bad records are skipped is known behind the first pass only.
    num_images = None
    if data_options.on_bad_record != "skip":
        num_images = input_fn.count_images(data_options, options.eval_split)

    def make_batches():
        return input_fn.eval_batches(
            data_options,
            info,
            split=options.eval_split,
            batch_size=options.eval_batch_size,
            pad_color=network.pad_color(sections["model"]),
            rank=backend.rank,
            ranks=backend.ranks,
        )

    def run(path):
        return evaluator.run(
            make_batches,
            checkpoint_path=path,
            spec=sections["model"],
            options=options,
            crop_size=data_options.eval_size,
            classes=info.classes,
            backend=backend,
            num_images=num_images,
        )

    monitor = _monitor(sections, info.classes)
    return Evaluation(run, options.eval_split, info.class_names, monitor)


def _monitor(sections, classes) -> str:
    """Returns the name of the score that selects the best checkpoint."""
    from core import task

    return sections["train"].train.monitor or task.of(classes).monitor


def _hooks(step, sections, eval_options, backend, info, run, skipped) -> list:
    """Returns the hooks of a run in the order in which they must be called."""
    from core.training import writing_hooks
    from core.training.hooks.evaluate_while_training import EvaluateWhileTraining

    options = sections["train"].train
    hooks = _watching_hooks(step, sections, info, backend, skipped)
    log = None
    if backend.is_chief:
        log, *others = writing_hooks.create(step, options, info, run)
        hooks += [log, *others]
    if options.eval_interval_steps:
        evaluation = _evaluation(sections, eval_options, info, backend)
        hooks.append(EvaluateWhileTraining(step, options, evaluation, backend, log))
    return hooks


def _check_count(name: str, stated: int, found: int, given: frozenset):
    if name in given and stated != found:
        raise OptionError(
            f"--{name} is {stated}, but the records hold {found} images; leave the flag out or "
            "mend the records."
        )


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
