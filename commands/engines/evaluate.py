"""Evaluates one checkpoint, several in turn, or the mean of several."""

from __future__ import annotations

import contextlib
import os

from absl import logging

from core import network
from core import task as tasks
from core.evaluation import evaluator, report_page, results, select
from core.inference import steps, thresholds, windows
from core.inference.predictor import Member
from datasets.dataset import Dataset
from deployment import backend as backends
from options import averaging
from options import saved as saved_options
from options.config import Config
from utils import log, report
from utils.classes import task_of
from utils.compat import tf
from utils.errors import UserError


def main(config: Config) -> dict:
    """Evaluates.

    Args:
      config: The options of `evaluate`; what was not given is taken from the checkpoint's folder.

    Returns:
      The content of `metrics.json`, of the last evaluation if there were several.

    Raises:
      OptionError: If an option cannot be used with this checkpoint or data.
      UserError: If the checkpoint, the data or the folder cannot be used.
    """
    logging.set_verbosity(logging.INFO if config.command.debug else logging.WARNING)
    # Once: a process can belong to a group of ranks only once.
    backend = backends.create(config.device, config.ranks)
    try:
        backend.start()
        return _main(config, backend)
    finally:
        backend.stop()


def _main(config: Config, backend) -> dict:
    options = config.evaluation
    folder = options.folders()[0]
    logdir = options.eval_logdir or os.path.join(folder, "eval")
    if options.watches:
        return _watch(config, folder, logdir, backend)
    if options.checkpoint_path:
        return _evaluate(config, options.checkpoint_path, logdir, backend)
    chosen = select.chosen(folder, options.checkpoint)
    if len(chosen) == 1:
        return _evaluate(config, chosen, logdir, backend)
    for prefix in chosen:
        summary = _evaluate(config, [prefix], results.folder_of(logdir, prefix), backend)
        results.append_history(logdir, summary)
    return summary


def _join(config: Config, folder: str) -> tuple:
    """Returns the options with those saved in a checkpoint's folder, and the saved ones."""
    saved = saved_options.load(folder)
    joined = saved_options.join(config, saved, change_network=config.evaluation.change_network)
    return windows.with_whole_images(joined), saved


def _watch(config: Config, folder: str, logdir: str, backend) -> dict:
    """Evaluates each newest checkpoint while a training writes them; returns the last summary."""
    options = config.evaluation
    found = select.new_checkpoints(
        folder, interval=options.eval_interval_secs, timeout=options.watch_timeout_secs
    )
    summary, number = None, 0
    for prefix in found:
        try:
            summary = _evaluate(config, [prefix], results.folder_of(logdir, prefix), backend)
        except UserError:
            if not select.is_gone(prefix):
                raise
            logging.warning("%s was removed before it was evaluated; going on.", prefix)
            continue
        results.append_history(logdir, summary)
        number += 1
        if number == options.max_number_of_evaluations:
            break
    if summary is None:
        raise UserError(f"{folder} got no checkpoint in {options.watch_timeout_secs} s.")
    return summary


def _evaluate(config: Config, prefixes, logdir: str, backend) -> dict:
    """Evaluates the mean of some checkpoints, usually of one, and writes the results."""
    options = config.evaluation
    folders = [options.checkpoint_dir or os.path.dirname(path) or "." for path in prefixes]
    joined = [_join(config, folder) for folder in folders]
    first, saved = joined[0]
    if options.report:
        report.check_available()
    for one, _ in joined:
        network.check(one.spec, crop_size=one.input.eval_size)
    members = [Member(path, one.spec, options.use_ema) for path, (one, _) in zip(prefixes, joined)]
    dataset = Dataset.open(first)
    classes = tasks.resolve(first.task, dataset.classes, task_of(saved.run))
    num_images = dataset.count(options.eval_split, needs_label=False)
    stated = first.data.num_evaluating_samples
    config.check_count("num_evaluating_samples", stated, num_images)
    logging.info(
        "Evaluating %s on split %s of %s, %s.",
        " + ".join(prefixes),
        options.eval_split,
        dataset.name,
        first.data.dataset_dir,
    )
    cut = windows.of(first)
    chosen = thresholds.of_checkpoints(first.task, classes, members)
    with results.prepared(logdir) if backend.is_chief else contextlib.nullcontext():
        backend.agree("checkpoints and data", _facts(first, prefixes, num_images, chosen))
        data = dataset.with_classes(classes)
        result = _measure(first, members, data, cut, num_images, chosen, backend)
    summary = results.summary(result, _settings(first, cut, classes, chosen), backend.name)
    if backend.is_chief:
        _publish(first, result, summary, logdir, classes, saved)
    return summary


def _facts(config: Config, prefixes, num_images: int, chosen) -> dict:
    """Returns what all ranks must have in common."""
    options = config.evaluation
    return {
        "checkpoint": [os.path.basename(prefix) for prefix in prefixes],
        "number of images": num_images,
        "options of the network": config.spec.to_dict(),
        "--eval_batch_size": options.eval_batch_size,
        "--eval_scales": list(options.eval_scales),
        **{
            f"--{name}": value
            for name, value in averaging.of(options, options.eval_scales).settings().items()
        },
        "--postprocess": steps.texts_of(options.postprocess),
        "--boundary_width": options.boundary_width,
        "--calibration_bins": options.calibration_bins,
        "--eval_crop_size": list(config.input.eval_crop_size),
        "thresholds": list(chosen.values),
    }


def _measure(config: Config, members, dataset, cut, num_images: int, chosen, backend):
    """Returns the result of one pass over the split."""
    options = config.evaluation

    def make_batches():
        return dataset.eval_batches(
            split=options.eval_split,
            batch_size=options.eval_batch_size,
            pad_color=network.pad_color(members[0].spec),
            rank=backend.rank,
            ranks=backend.ranks,
        )

    try:
        return evaluator.run(
            make_batches,
            checkpoint_path=members[0].checkpoint_path,
            spec=members[0].spec,
            options=options,
            crop_size=config.input.eval_size,
            classes=dataset.classes,
            threshold=chosen.decides,
            backend=backend,
            num_images=num_images,
            windows=cut,
            others=tuple(members[1:]),
        )
    except tf.errors.OpError:
        backend.raise_failure()
        # TensorFlow names no record; this does, if one is at fault.
        dataset.explain_failure(options.eval_split, training=False)
        raise


def _publish(config: Config, result, summary, logdir, classes, saved):
    """Writes and shows the results."""
    options = config.evaluation
    notices = _notices(saved, classes)
    for notice in notices:
        logging.warning("%s", notice)
    page = None
    if options.report:
        page = report_page.page(result, summary, classes, config.spec, saved, notices)
    results.write(logdir, summary, result, page, classes=classes, options=options)
    log.message(results.table(summary, result, classes))
    log.message(f"Results are in {logdir}.")


def _settings(config: Config, cut, classes, chosen) -> dict:
    """Returns what was evaluated and how, as plain values."""
    options, data = config.evaluation, config.input
    settings = {
        "dataset": classes.name,
        "dataset_dir": config.data.dataset_dir,
        "eval_split": options.eval_split,
        "eval_scales": list(options.eval_scales),
        **averaging.of(options, options.eval_scales).settings(),
        "use_ema": options.use_ema,
        "eval_crop_size": list(data.eval_crop_size),
        "eval_batch_size": options.eval_batch_size,
        "min_resize_value": data.min_resize_value,
        "max_resize_value": data.max_resize_value,
        "resize_factor": data.resize_factor,
        "ignore_label": classes.ignore_label,
        "task": classes.task,
    }
    if tasks.of(classes).uses_threshold:
        settings["threshold"] = chosen.describe()["threshold"]
        settings["threshold_source"] = chosen.source
    postprocess = steps.texts_of(options.postprocess)
    if postprocess:
        settings["postprocess"] = postprocess
    if cut is not None:
        settings.update(cut.describe())
    return settings


def _notices(saved: saved_options.SavedOptions, classes) -> list:
    """Returns warnings about classes that have other names than in training."""
    trained = saved.run.get("class_names")
    if trained is None or list(trained) == list(classes.names):
        return []
    different = [
        f"{index} was {old}, is {new}"
        for index, (old, new) in enumerate(zip(trained, classes.names))
        if old != new
    ]
    return [
        "The classes of this data set have other names than in training "
        f"({'; '.join(different[:5])}{'; ...' if len(different) > 5 else ''}): the scores are "
        "meaningful only if the classes are the same."
    ]
