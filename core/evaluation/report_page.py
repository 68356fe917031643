"""Fills the HTML report with what an evaluation measured and what is known of the training."""

from __future__ import annotations

import dataclasses
import json
import os

from core.checkpoints import restore
from core.evaluation.evaluator import Result
from options.network import NetworkSpec
from options.saved import SavedOptions, as_text
from utils import charts, report
from utils.errors import UserError

_CURVES_FILE = "metrics.jsonl"
_BLUE, _ORANGE, _GREEN = "#1f5fbf", "#d9822b", "#2f8f5b"
# What one asks first about a training; the rest is in the folded table.
_TRAINING = (
    "train_split",
    "train_batch_size",
    "training_number_of_steps",
    "optimizer",
    "base_learning_rate",
    "learning_policy",
    "weight_decay",
    "fine_tune_batch_norm",
    "tf_initial_checkpoint",
    "seed",
)


def page(
    result: Result,
    summary: dict,
    info,
    spec: NetworkSpec,
    saved: SavedOptions,
    notices=(),
) -> str:
    """Returns the report as HTML.

    Args:
      result: The evaluation.
      summary: Its `results.summary`.
      info: The data set: name, class_names, colors.
      spec: The network that was evaluated.
      saved: The options saved beside the checkpoint.
      notices: Sentences that a reader must not miss.

    Raises:
      UserError: If the training's curves cannot be read.
    """
    settings = summary["settings"]
    content = report.Report(
        title=f"{info.name}: {spec.options.model_variant} on split {settings['eval_split']}",
        subtitle=f"{_of_what(result)}, {result.num_images} images, {_how(settings)}",
        headlines=_headlines(summary),
        notices=tuple(notices),
        charts=_charts(restore.run_of(result.checkpoint), result.step),
        classes=_classes(summary, info),
        confusion=result.confusion,
        samples=result.samples,
        settings=_settings(settings, spec, saved),
        footer=_footer(summary, saved),
        reliability=_reliability(summary),
    )
    return report.render(content)


def _of_what(result: Result) -> str:
    if len(result.checkpoints) > 1:
        return f"mean of {len(result.checkpoints)} checkpoints"
    return os.path.basename(result.checkpoint)


def _how(settings: dict) -> str:
    scales = settings["eval_scales"]
    text = (
        f"scale {scales[0]:g}"
        if len(scales) == 1
        else ("scales " + ", ".join(f"{scale:g}" for scale in scales))
    )
    text += " with mirrored images" if settings["add_flipped_images"] else ""
    text += ", averaged weights" if settings["use_ema"] else ""
    if "window_size" in settings:
        height, width = settings["window_size"]
        text += f", in windows of {height}x{width}"
    return text


def _headlines(summary: dict) -> tuple:
    classes, counted = len(summary["classes"]), len(summary["classes_in_mean"])
    over = f"all {classes} classes" if counted == classes else f"{counted} of {classes} classes"
    return (
        report.Headline("mIoU", f"{summary['miou']:.4f}", f"mean over {over}"),
        report.Headline(
            "pixel accuracy", f"{summary['pixel_accuracy']:.4f}", "share of pixels right"
        ),
        report.Headline(
            "mean accuracy", f"{summary['mean_accuracy']:.4f}", "mean recall of classes"
        ),
        report.Headline(
            "frequency-weighted IoU",
            f"{summary['frequency_weighted_iou']:.4f}",
            "weighted by pixels",
        ),
        *_further_headlines(summary),
        report.Headline(
            "images",
            f"{summary['num_images']:,}",
            f"{summary['images_per_second']:.3g} images/s",
        ),
    )


def _reliability(summary: dict):
    measured = summary["calibration"]
    return charts.reliability(measured["bins"]) if measured else None


def _further_headlines(summary: dict) -> list:
    """Returns the numbers that are measured on request."""
    found = []
    edges, sure = summary["boundary"], summary["calibration"]
    if edges:
        note = f"within {100 * edges['width']:g} % of the diagonal"
        for name, key in (("boundary IoU", "boundary_iou"), ("boundary F1", "boundary_f1")):
            value = edges[key]
            text = "\u2013" if value is None else f"{value:.4f}"
            found.append(report.Headline(name, text, note))
    if sure:
        note = f"expected, {len(sure['bins'])} bins"
        found.append(report.Headline("calibration error", f"{sure['ece']:.4f}", note))
    return found


def _classes(summary: dict, info) -> tuple:
    edges = (summary["boundary"] or {}).get("boundary_iou_per_class")
    total = sum(row["labelled"] for row in summary["classes"])
    return tuple(
        report.ClassRow(
            id=row["id"],
            name=row["name"],
            color=info.colors[row["id"]],
            iou=row["iou"],
            precision=row["precision"],
            recall=row["recall"],
            f1=row["f1"],
            share=row["labelled"] / total,
            boundary_iou=edges[row["id"]] if edges else None,
        )
        for row in summary["classes"]
    )


def _charts(folder: str, step: int | None) -> tuple:
    """Returns the curves of the training that left `metrics.jsonl` in the folder, if any."""
    records = read_curves(os.path.join(folder, _CURVES_FILE))
    marker = None if step is None else (step, "evaluated")

    def curve(key, name, color):
        points = tuple((record["step"], record.get(key)) for record in records)
        return charts.Curve(name, color, points)

    losses = [
        curve("total_loss", "total loss", _BLUE),
        curve("loss", "without regularisation", _ORANGE),
    ]
    rate = [curve("learning_rate", "learning rate", _GREEN)]
    scores = [curve("eval_miou", "evaluated while training", _BLUE)]
    return (
        charts.line_chart("Loss", "step", losses, marker=marker),
        charts.line_chart("mIoU", "step", scores, marker=marker),
        charts.line_chart("Learning rate", "step", rate, marker=marker),
    )


def read_curves(path: str) -> list:
    """Returns the records of `metrics.jsonl`, none where there is no file.

    A last line without its end is left out: a training that is running may be writing it.

    Raises:
      UserError: If a line is damaged.
    """
    if not os.path.exists(path):
        return []
    records = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                break
            try:
                record = json.loads(line)
                record["step"] + 0
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"line {number} of {path} is no record with a step; mend or remove the file, "
                    "it is only needed for the curves."
                ) from error
            records.append(record)
    return records


def _settings(settings: dict, spec: NetworkSpec, saved: SavedOptions) -> tuple:
    network = [
        (field.name, as_text(getattr(record, field.name)))
        for record in spec.records
        for field in dataclasses.fields(record)
        if field.name in ("model_variant", "output_stride", "atrous_rates")
        or getattr(record, field.name) != field.default
    ]
    training = saved.section("train")
    tables = [
        report.Settings("Evaluation", _rows(settings)),
        report.Settings("Network", tuple(network)),
    ]
    if training:
        chosen = {name: training[name] for name in _TRAINING if name in training}
        tables.append(report.Settings("Training", _rows(chosen)))
    folded = [("All options of the network", spec.to_dict())]
    folded += [
        (title, saved.section(name))
        for title, name in (
            ("All options of the training", "train"),
            ("All options of its data", "data"),
        )
        if saved.section(name)
    ]
    tables += [report.Settings(title, _rows(values), folded=True) for title, values in folded]
    return tuple(tables)


def _rows(values: dict) -> tuple:
    return tuple((name, as_text(value)) for name, value in values.items())


def _footer(summary: dict, saved: SavedOptions) -> tuple:
    def joined(versions):
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    step = summary["step"]
    trained = saved.section("run")
    rows = [
        *(("checkpoint", os.path.abspath(path)) for path in summary["checkpoints"]),
        ("step", "not stored in the checkpoint" if step is None else f"{step:,}"),
        ("evaluated", f"{summary['date']} in {summary['seconds']:.1f} s"),
        ("device", summary["device"]),
        ("versions", joined(summary["versions"])),
        ("commit", summary["commit"] or "unknown"),
    ]
    if trained.get("versions"):
        rows.append(
            (
                "trained with",
                f"{joined(trained['versions'])}; device {trained.get('device')}, "
                f"commit {trained.get('commit') or 'unknown'}",
            )
        )
    seed = saved.section("train").get("seed")
    rows.append(("seed of the training", "unknown" if seed is None else str(seed)))
    return tuple(rows)
