"""Finds the best thresholds of a checkpoint in one pass over a split, and stores them."""

from __future__ import annotations

import datetime
import math
import os

from absl import logging

from commands.engines.subject import Subject
from commands.threshold import check_task
from core.evaluation import select
from core.inference import thresholds
from core.metrics.sweep import THRESHOLDS, Sweep
from core.runs import folder as run_folder
from deployment import backend as backends
from options import averaging
from options.config import Config
from utils import files, log


def main(config: Config) -> dict:
    """Finds thresholds.

    Args:
      config: The options of `threshold`; what was not given is taken from the checkpoint's folder.

    Returns:
      What was stored, without what identifies the checkpoint.

    Raises:
      OptionError: If an option cannot be used with this checkpoint or data.
      UserError: If the checkpoint, the data or the folder cannot be used.
    """
    logging.set_verbosity(logging.INFO if config.command.debug else logging.WARNING)
    config = config.with_values({"threshold_sweep": True, "report": False}, "the search")
    backend = backends.create(config.device, config.ranks)
    try:
        backend.start()
        return _find(config, backend)
    finally:
        backend.stop()


def _find(config: Config, backend) -> dict:
    options = config.evaluation
    prefixes = list(options.prefixes) or select.chosen(options.checkpoint_dir, options.checkpoint)
    subject = Subject.open(config, prefixes)
    check_task(subject.classes.task)
    (member,) = subject.members
    if backend.is_chief:
        flag = "--checkpoint_dir" if options.checkpoint_dir else "--checkpoint_path"
        files.check_writable(os.path.dirname(member.checkpoint_path) or ".", flag)
    half = thresholds.by_hand(subject.config.task, subject.classes)
    result = subject.measure(half, backend)
    (sweep,) = [measure for measure in result.measures if isinstance(measure, Sweep)]
    content = {**_found(sweep, config.search), **_method(subject, result)}
    if backend.is_chief:
        log.message(_table(content))
        log.message(f"Stored in {thresholds.write(member, content)}.")
    return content


def _found(sweep: Sweep, options) -> dict:
    """Returns the thresholds by class, the one for all, and their scores."""
    curves = sweep.curves()[options.metric]
    for_all = sweep.best_for_all(options.metric)
    classes, scores = {}, {}
    for name, curve, best in zip(sweep.names, curves, sweep.best(options.metric)):
        chosen = best if options.per_class else for_all
        if best is None:
            logging.warning("%s is nowhere in this split: its threshold is 0.5.", name)
        classes[name] = 0.5 if best is None else chosen.threshold
        scores[name] = {
            "score": _known(curve, classes[name]),
            "score_at_0.5": None if best is None else _known(curve, 0.5),
        }
    return {
        "metric": options.metric,
        "classes": classes,
        "per_class": options.per_class,
        "scores": scores,
        "for_all": None if for_all is None else for_all._asdict(),
    }


def _known(curve, threshold: float) -> float | None:
    """Returns the score at a threshold, None where it is not defined."""
    value = float(curve[THRESHOLDS.index(threshold)])
    return None if math.isnan(value) else value


def _method(subject: Subject, result) -> dict:
    """Returns on what and how they were found."""
    options = subject.config.evaluation
    averaged = averaging.of(options, options.eval_scales)
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "split": options.eval_split,
        "dataset": subject.classes.name,
        "num_images": result.num_images,
        "empty_images": options.empty_images,
        "step": result.step,
        "eval_scales": list(averaged.scales),
        **averaged.settings(),
        "versions": run_folder.versions(),
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
    }


def _table(content: dict) -> str:
    """Returns the thresholds as a table for a terminal."""
    width = max(5, *map(len, content["classes"]))
    metric = content["metric"]
    lines = [f"{'class':{width}}  threshold  {metric:>14}  {'at 0.5':>8}"]
    for name, threshold in content["classes"].items():
        score, at_half = content["scores"][name].values()
        lines.append(f"{name:{width}}  {threshold:9.2f}  {_cell(score):>14}  {_cell(at_half):>8}")
    if content["for_all"] is not None:
        best = content["for_all"]
        lines.append(f"one for all: {best['threshold']:.2f}, mean {metric} {best['value']:.4f}")
    lines.append(f"{content['num_images']} images of split {content['split']}")
    return "\n".join(lines)


def _cell(value) -> str:
    return "-" if value is None else f"{value:.4f}"
