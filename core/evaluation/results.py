"""Writes an evaluation: JSON and CSV files, log lines of the reference, a table, a report."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import json
import os

from core import task as tasks
from core.evaluation.evaluator import MEASURES, Result, single_scores
from core.inference import steps
from core.runs import folder as run_folder
from options.averaging import GEOMETRIC_MEAN
from options.evaluation import EvalOptions
from utils import log
from utils.classes import ClassSet
from utils.errors import UserError
from utils.files import check_writable, removed_on_error, write_text

METRICS_FILE = "metrics.json"
CLASSES_FILE = "metrics.csv"
CONFUSION_FILE = "confusion_matrix.csv"
REPORT_FILE = "report.html"
LOG_FILE = "training.log"
HISTORY_FILE = "evaluations.csv"


@contextlib.contextmanager
def prepared(folder: str):
    """Creates the folder of results beforehand, so that writing does not fail at the end.

    A folder created for an evaluation that is refused is removed again.

    Raises:
      UserError: If nothing can be written there.
    """
    with removed_on_error(folder):
        check_writable(folder, "--eval_logdir")
        yield


def summary(result: Result, settings: dict, device: str) -> dict:
    """Returns the result as plain values, the content of `metrics.json`.

    Args:
      result: The evaluation.
      settings: The settings of the evaluation, plain values by name.
      device: Name of the device.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        **result.scores(),
        "num_images": result.num_images,
        "settings": settings,
        "checkpoint": result.checkpoint,
        "checkpoints": list(result.checkpoints),
        "step": result.step,
        "device": device,
        "versions": run_folder.versions(),
        "commit": run_folder.git_commit(),
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": round(result.seconds, 3),
        "images_per_second": round(result.num_images / max(result.seconds, 1e-9), 3),
    }


def write(
    folder: str,
    summary: dict,
    result: Result,
    page: str | None,
    *,
    classes: ClassSet,
    options: EvalOptions,
):
    """Writes all files, `metrics.json` last: if it exists, the others are complete.

    Args:
      folder: The folder of results.
      summary: From `summary`.
      result: The evaluation.
      page: The report as HTML, or None.
      classes: The classes.
      options: The options of the evaluation.

    Raises:
      UserError: If a file cannot be written.
    """
    files = {CLASSES_FILE: _class_table(summary["classes"])}
    for measure in result.measures:
        files.update((name, _csv(rows)) for name, rows in measure.tables().items())
    files[REPORT_FILE] = page
    files[METRICS_FILE] = json.dumps(summary, indent=2) + "\n"
    old = [name for measure in MEASURES.values() for name in measure.files]
    try:
        for name in [*old, *files]:
            # No file of an earlier evaluation may stay beside the new ones.
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(folder, name))
        for name, text in files.items():
            if text is not None:
                write_text(os.path.join(folder, name), text)
        overall = result.score(tasks.of(classes).monitor)
        lines = _log_lines(summary["iou_per_class"], overall, tag_of(options, classes))
        run_log = log.RunLog(os.path.join(folder, LOG_FILE))
        for line in lines:
            run_log.line(line, show=False)
    except OSError as error:
        raise UserError(
            f"cannot write results to {folder}: {error.strerror}; free some space or pass another "
            "--eval_logdir."
        ) from error


def folder_of(logdir: str, prefix: str) -> str:
    """Returns the folder of one of several evaluations."""
    return os.path.join(logdir, os.path.basename(prefix))


def append_history(logdir: str, summary: dict):
    """Appends a line to the table of evaluations, `evaluations.csv`.

    Raises:
      UserError: If it cannot be written.
    """
    path = os.path.join(logdir, HISTORY_FILE)
    names = ("step", *single_scores(summary), "num_images", "date")
    row = {"checkpoint": os.path.basename(summary["checkpoint"])}
    row.update((name, summary[name]) for name in names)
    try:
        is_new = not os.path.exists(path)
        with open(path, "a", encoding="utf-8") as file:
            file.write(_csv(([list(row)] if is_new else []) + [list(row.values())]))
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror}.") from error


def tag_of(options: EvalOptions, classes: ClassSet) -> str:
    """Returns the reference's name of the metric: miou_1.0, or miou_0.5_1.0_flipped."""
    scales = [str(scale) for scale in options.eval_scales]
    endings = {
        "flipped": options.add_flipped_images,
        "vertically_flipped": options.add_vertically_flipped_images,
        "rotated": options.add_rotated_images,
        "gmean": options.average == GEOMETRIC_MEAN,
        "postprocessed": bool(steps.texts_of(options.postprocess)),
    }
    chosen = [ending for ending, is_set in endings.items() if is_set]
    return "_".join([tasks.of(classes).monitor, *scales, *chosen])


def _log_lines(ious, overall, tag) -> list:
    """Returns the log lines that scripts of the reference parse; nan where a class has no score."""
    values = {f"class_{index}": iou for index, iou in enumerate(ious)}
    values["overall"] = overall
    return [
        f"eval/{tag}_{name} : {'nan' if value is None else f'{value:.5f}'}"
        for name, value in values.items()
    ]


def _class_table(rows) -> str:
    """Returns CSV with a line per class; scores that are not defined are empty."""
    return _csv(
        [list(rows[0])]
        + [["" if value is None else value for value in row.values()] for row in rows]
    )


def _csv(rows) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def table(summary: dict, result: Result, classes: ClassSet) -> str:
    """Returns the scores as a table for a terminal.

    Args:
      summary: From `summary`.
      result: The evaluation.
      classes: The classes.
    """
    columns = result.columns()
    width = max(5, *(len(name) for name in classes.names))
    sizes = [max(6, len(column.title)) for column in columns]
    titles = [f"{column.title:>{size}}" for column, size in zip(columns, sizes)]
    lines = [f"  id  {'class':{width}}  {'  '.join(titles)}"]
    for index, name in enumerate(classes.names):
        cells = [
            f"{_cell(column.values[index], column.is_share):>{size}}"
            for column, size in zip(columns, sizes)
        ]
        lines.append(f"{index:4d}  {name:{width}}  {'  '.join(cells)}")
    absent = [name for name, iou in zip(classes.names, columns[0].values) if iou is None]
    lines.append("")
    lines += [f"not in the mean, without any pixel: {', '.join(absent)}"] if absent else []
    lines += [
        f"{score.name:22}  {_cell(score.value)}  ({score.note})" for score in result.headlines()
    ]
    lines.append(
        f"{summary['num_images']} images in {log.duration(summary['seconds'])}, "
        f"{summary['images_per_second']:.2f} images/s"
    )
    return "\n".join(lines)


def _cell(value, is_share: bool = False) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if is_share else f"{value:.4f}"
