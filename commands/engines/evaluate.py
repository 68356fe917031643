"""Evaluates one checkpoint, several in turn, or the mean of several."""

from __future__ import annotations

import contextlib
import os
import sys

from absl import logging

from commands.engines.subject import Subject
from core import task as tasks
from core.evaluation import report_page, results, select
from core.inference import steps, thresholds
from deployment import backend as backends
from options import averaging
from options import saved as saved_options
from options.config import Config
from utils import log, report
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
        return _main(_with_possible_report(config), backend)
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


def _with_possible_report(config: Config) -> Config:
    """Returns the options without a report where none can be written; says so."""
    if not config.evaluation.report or report.is_available():
        return config
    logging.warning(
        "There will be no report.html: the package Jinja2 is missing; install it with %s -m pip "
        "install jinja2, or pass --noreport.",
        sys.executable,
    )
    return config.with_values({"report": False}, config.origin("report"))


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
    subject = Subject.open(config, prefixes)
    chosen = thresholds.of_checkpoints(subject.config.task, subject.classes, subject.members)
    with results.prepared(logdir) if backend.is_chief else contextlib.nullcontext():
        result = subject.measure(chosen, backend)
    settings = _settings(subject.config, subject.windows, subject.classes, chosen)
    summary = results.summary(result, settings, backend.name)
    if backend.is_chief:
        _publish(subject.config, result, summary, logdir, subject.classes, subject.saved)
    return summary


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
