"""The files of an evaluation: for programs, for logs of the reference's form, and for people."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import datetime
import io
import json
import os

from core.evaluation.evaluator import Result
from core.metrics import confusion as metrics
from core.runs import folder as run_folder
from options.evaluation import EvalOptions
from utils import log
from utils.errors import UserError
from utils.files import check_writable, removed_on_error, write_text

METRICS_FILE = "metrics.json"
CLASSES_FILE = "metrics.csv"
CONFUSION_FILE = "confusion_matrix.csv"
REPORT_FILE = "report.html"
LOG_FILE = "training.log"
HISTORY_FILE = "evaluations.csv"
_HISTORY = (
    "step",
    "miou",
    "pixel_accuracy",
    "mean_accuracy",
    "frequency_weighted_iou",
    "num_images",
    "date",
)


@contextlib.contextmanager
def prepared(folder: str):
    """Makes the folder of results, so that it does not fail after the work is done.

    A folder that was made for an evaluation that is refused is removed again.

    Raises:
      UserError: If nothing can be written there.
    """
    with removed_on_error(folder):
        check_writable(folder, "--eval_logdir")
        yield


def summary(result: Result, info, settings: dict, device: str) -> dict:
    """Returns everything that was measured as plain values, the content of `metrics.json`.

    Args:
      result: The evaluation.
      info: The data set: name, num_classes, class_names.
      settings: What was evaluated, and how: plain values by name.
      device: Name of the device.
    """
    confusion = result.confusion
    scores = metrics.class_scores(confusion)
    by_name = dataclasses.asdict(scores)
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "miou": metrics.mean_iou(confusion),
        "iou_per_class": scores.iou,
        "classes": [
            {"id": index, "name": name, **{key: by_name[key][index] for key in by_name}}
            for index, name in enumerate(info.class_names)
        ],
        "classes_in_mean": [index for index, iou in enumerate(scores.iou) if iou is not None],
        "pixel_accuracy": metrics.pixel_accuracy(confusion),
        "mean_accuracy": metrics.mean_accuracy(confusion),
        "frequency_weighted_iou": metrics.frequency_weighted_iou(confusion),
        "boundary": result.boundary,
        "calibration": result.calibration,
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


def write(folder: str, summary: dict, confusion, page: str | None, tag: str):
    """Writes all files; `metrics.json` comes last, so where it is, the others are complete.

    Args:
      folder: The folder of results.
      summary: From `summary`.
      confusion: Integers [classes, classes].
      page: The report as HTML, or None.
      tag: From `tag_of`.

    Raises:
      UserError: If a file cannot be written.
    """
    names = [row["name"] for row in summary["classes"]]
    files = {
        CLASSES_FILE: _class_table(summary["classes"]),
        CONFUSION_FILE: _confusion_table(confusion, names),
        REPORT_FILE: page,
        METRICS_FILE: json.dumps(summary, indent=2) + "\n",
    }
    try:
        for name in files:
            # Nothing of an earlier evaluation may stay beside what is new.
            if os.path.exists(os.path.join(folder, name)):
                os.remove(os.path.join(folder, name))
        for name, text in files.items():
            if text is not None:
                write_text(os.path.join(folder, name), text)
        _append_log(os.path.join(folder, LOG_FILE), summary, tag)
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
    row = {"checkpoint": os.path.basename(summary["checkpoint"])}
    row.update((name, summary[name]) for name in _HISTORY)
    try:
        is_new = not os.path.exists(path)
        with open(path, "a", encoding="utf-8") as file:
            file.write(_csv(([list(row)] if is_new else []) + [list(row.values())]))
    except OSError as error:
        raise UserError(f"cannot write to {path}: {error.strerror}.") from error


def tag_of(options: EvalOptions) -> str:
    """Returns the reference's name of the metric: miou_1.0, or miou_0.5_1.0_flipped."""
    scales = "_".join(str(scale) for scale in options.eval_scales)
    return f"miou_{scales}" + ("_flipped" if options.add_flipped_images else "")


def _append_log(path, summary, tag):
    """Appends the lines that scripts of the reference read; nan where a class has no score."""
    run_log = log.RunLog(path)
    for index, iou in enumerate(summary["iou_per_class"]):
        value = "nan" if iou is None else f"{iou:.5f}"
        run_log.line(f"eval/{tag}_class_{index} : {value}", show=False)
    run_log.line(f"eval/{tag}_overall : {summary['miou']:.5f}", show=False)


def _class_table(rows) -> str:
    """Returns CSV with a line per class; scores that are not defined are empty."""
    return _csv(
        [list(rows[0])]
        + [["" if value is None else value for value in row.values()] for row in rows]
    )


def _confusion_table(confusion, names) -> str:
    """Returns CSV with labels as rows and predictions as columns."""
    return _csv(
        [["label", *names]] + [[name, *row] for name, row in zip(names, confusion.tolist())]
    )


def _csv(rows) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def table(summary: dict) -> str:
    """Returns the scores as a table for a terminal."""
    rows = summary["classes"]
    total = sum(row["labelled"] for row in rows)
    width = max(5, *(len(row["name"]) for row in rows))
    lines = [f"  id  {'class':{width}}     IoU  precision  recall      F1   pixels"]
    for row in rows:
        scores = [_cell(row[key]) for key in ("iou", "precision", "recall", "f1")]
        lines.append(
            f"{row['id']:4d}  {row['name']:{width}}  {scores[0]:>6}  {scores[1]:>9}  "
            f"{scores[2]:>6}  {scores[3]:>6}  {100 * row['labelled'] / total:5.2f} %"
        )
    counted = len(summary["classes_in_mean"])
    absent = [row["name"] for row in rows if row["iou"] is None]
    lines += [
        "",
        *([f"not in the mean, without any pixel: {', '.join(absent)}"] if absent else []),
        f"mIoU                    {summary['miou']:.4f}  (over {counted} of {len(rows)} classes)",
        f"pixel accuracy          {summary['pixel_accuracy']:.4f}",
        f"mean accuracy           {summary['mean_accuracy']:.4f}",
        f"frequency-weighted IoU  {summary['frequency_weighted_iou']:.4f}",
        *_further_lines(summary),
        f"{summary['num_images']} images in {log.duration(summary['seconds'])}, "
        f"{summary['images_per_second']:.2f} images/s",
    ]
    return "\n".join(lines)


def _further_lines(summary: dict) -> list:
    """Returns the lines of what is measured on request."""
    lines = []
    edges, sure = summary["boundary"], summary["calibration"]
    if edges:
        width = f"within {100 * edges['width']:g} % of the diagonal"
        lines.append(f"boundary IoU            {_cell(edges['boundary_iou'])}  ({width})")
        lines.append(f"boundary F1             {_cell(edges['boundary_f1'])}  ({width})")
    if sure:
        bins = f"{len(sure['bins'])} bins"
        lines.append(f"calibration error       {sure['ece']:.4f}  (expected, {bins})")
    return lines


def _cell(value) -> str:
    return "-" if value is None else f"{value:.4f}"
