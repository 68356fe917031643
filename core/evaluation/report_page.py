"""Fills the HTML report with the results of an evaluation and the options of the training."""

from __future__ import annotations

import dataclasses
import os

from core import task as tasks
from core.checkpoints import restore
from core.evaluation.evaluator import Result
from core.runs import records
from options.averaging import GEOMETRIC_MEAN
from options.network import NetworkSpec
from options.saved import DATA, TRAINING, SavedOptions, as_text
from utils import charts, report
from utils.classes import ClassSet

# Setting -> what is averaged in.
_ADDED = {
    "add_flipped_images": "mirrored",
    "add_vertically_flipped_images": "vertically mirrored",
    "add_rotated_images": "turned",
}
_BLUE, _ORANGE, _GREEN = "#1f5fbf", "#d9822b", "#2f8f5b"
# The options to show first; the rest is in a folded table.
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
    "init",
    "seed",
)


def page(
    result: Result,
    summary: dict,
    classes: ClassSet,
    spec: NetworkSpec,
    saved: SavedOptions,
    notices=(),
) -> str:
    """Returns the report as HTML.

    Args:
      result: The evaluation.
      summary: Its `results.summary`.
      classes: The classes.
      spec: The network that was evaluated.
      saved: The options saved beside the checkpoint.
      notices: Warnings to show first.

    Raises:
      UserError: If the training's curves cannot be read.
    """
    settings = summary["settings"]
    content = report.Report(
        title=f"{classes.name}: {spec.options.model_variant} on split {settings['eval_split']}",
        subtitle=f"{_of_what(result)}, {result.num_images} images, {_how(settings)}",
        headlines=_headlines(result, summary),
        notices=tuple(notices),
        charts=_charts(restore.run_of(result.checkpoint), result, classes),
        columns=tuple(report.Column(column.title, column.is_share) for column in result.columns()),
        classes=_classes(result, classes),
        samples=result.samples,
        figures=tuple(figure for measure in result.measures for figure in measure.figures()),
        settings=_settings(settings, spec, saved),
        footer=_footer(summary, saved),
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
    added = [word for name, word in _ADDED.items() if settings[name]]
    text += f" with {' and '.join(added)} images" if added else ""
    text += ", geometric mean" if settings["average"] == GEOMETRIC_MEAN else ""
    text += ", averaged weights" if settings["use_ema"] else ""
    if "postprocess" in settings:
        text += f", after {', '.join(settings['postprocess'])}"
    if "window_grid" in settings:
        text += ", in {0}x{0} cells".format(settings["window_grid"])
    if "window_size" in settings:
        height, width = settings["window_size"]
        text += f", in windows of {height}x{width}"
    return text


def _headlines(result: Result, summary: dict) -> tuple:
    return (
        *(
            report.Headline(score.name, report.score(score.value), score.note)
            for score in result.headlines()
        ),
        report.Headline(
            "images",
            f"{summary['num_images']:,}",
            f"{summary['images_per_second']:.3g} images/s",
        ),
    )


def _classes(result: Result, classes: ClassSet) -> tuple:
    columns = [column.values for column in result.columns()]
    return tuple(
        report.ClassRow(index, name, color, tuple(values[index] for values in columns))
        for index, (name, color) in enumerate(zip(classes.names, classes.colors))
    )


def _charts(folder: str, result: Result, classes: ClassSet) -> tuple:
    """Returns the curves of the training that left `metrics.jsonl` in the folder, if any."""
    found = records.read(folder)
    marker = None if result.step is None else (result.step, "evaluated")

    def curve(key, name, color):
        points = tuple((record["step"], record.get(key)) for record in found)
        return charts.Curve(name, color, points)

    losses = [
        curve("total_loss", "total loss", _BLUE),
        curve("loss", "without regularisation", _ORANGE),
    ]
    rate = [curve("learning_rate", "learning rate", _GREEN)]
    monitor = tasks.of(classes).monitor
    scores = [curve(f"eval_{monitor}", "evaluated while training", _BLUE)]
    (title,) = [score.name for score in result.headlines() if score.key == monitor]
    return (
        charts.line_chart("Loss", "step", losses, marker=marker),
        charts.line_chart(title, "step", scores, marker=marker),
        charts.line_chart("Learning rate", "step", rate, marker=marker),
    )


def _settings(settings: dict, spec: NetworkSpec, saved: SavedOptions) -> tuple:
    network = [
        (field.name, as_text(getattr(record, field.name)))
        for record in spec.records
        for field in dataclasses.fields(record)
        if field.name in ("model_variant", "output_stride", "atrous_rates")
        or getattr(record, field.name) != field.default
    ]
    training, data = saved.values(*TRAINING), saved.values(*DATA)
    tables = [
        report.Settings("Evaluation", _rows(settings)),
        report.Settings("Network", tuple(network)),
    ]
    if training:
        chosen = {name: training[name] for name in _TRAINING if name in training}
        tables.append(report.Settings("Training", _rows(chosen)))
    folded = [("All options of the network", spec.to_dict())]
    folded += [
        (title, values)
        for title, values in (
            ("All options of the training", training),
            ("All options of its data", data),
        )
        if values
    ]
    tables += [report.Settings(title, _rows(values), folded=True) for title, values in folded]
    return tuple(tables)


def _rows(values: dict) -> tuple:
    return tuple((name, as_text(value)) for name, value in values.items())


def _footer(summary: dict, saved: SavedOptions) -> tuple:
    def joined(versions):
        return ", ".join(f"{name} {version}" for name, version in versions.items())

    step = summary["step"]
    trained = saved.run
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
    seed = saved.values().get("seed")
    rows.append(("seed of the training", "unknown" if seed is None else str(seed)))
    return tuple(rows)
