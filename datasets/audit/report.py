"""An audit in words and numbers: the table on the terminal, and audit.json."""

from __future__ import annotations

import numpy as np

from datasets import class_weights
from datasets.audit.counts import Counts, Split, counted_classes
from datasets.audit.findings import PROBLEM, SHOWN, Finding, training_split
from datasets.info import DatasetInfo

_LONGEST_NAME = 24


def suggested_weights(info: DatasetInfo, sums: Split) -> dict:
    """Returns formula -> weights of all classes; classes that never count get 1.

    Args:
      info: The classes.
      sums: Counts of the split to train on.
    """
    classes = counted_classes(info)
    pixels, images = sums.pixels[classes], sums.images_with[classes]
    found = {
        "median frequency": class_weights.median_frequency(pixels, sums.pixels_of_images[classes]),
        "inverse frequency": class_weights.inverse_frequency(pixels),
        "effective number": class_weights.effective_number(images),
    }
    return {name: _of_all(values, classes, info.num_classes) for name, values in found.items()}


def _of_all(values, classes: list, number: int) -> np.ndarray:
    weights = np.ones(number)
    weights[classes] = values
    return weights


def size_range(sums: Split) -> tuple | None:
    """Returns the smallest, median and largest (height, width) by side; None without images."""
    if not sums.sizes:
        return None
    sizes = np.repeat(list(sums.sizes), list(sums.sizes.values()), axis=0)
    middle = np.sort(sizes, axis=0)[len(sizes) // 2]
    return tuple(sizes.min(axis=0)), tuple(middle), tuple(sizes.max(axis=0))


def shares(info: DatasetInfo, sums: Split) -> np.ndarray:
    """Returns each class's share of the pixels that count, [num_classes]."""
    classes = counted_classes(info)
    counted = np.zeros(info.num_classes)
    counted[classes] = sums.pixels[classes]
    return counted / max(1.0, counted.sum())


def as_text(data, counts: Counts, findings: list) -> str:
    """Returns what the terminal shows."""
    parts = [
        f"{data.title}: {data.info.name}, {data.info.num_classes} classes, ignore label "
        f"{data.info.ignore_label}",
        _split_table(data.info, counts),
    ]
    if any(sums.labelled for sums in counts.splits.values()):
        parts.append(_class_table(data.info, counts))
        parts.append(_weights(data.info, counts))
    parts += [_finding_text(finding) for finding in findings]
    parts.append(verdict(findings))
    return "\n\n".join(parts)


def verdict(findings: list) -> str:
    """Returns the result in a sentence."""
    problems = sum(finding.level == PROBLEM for finding in findings)
    warnings = len(findings) - problems
    found = [_number(problems, "problem"), _number(warnings, "warning")]
    return f"Found {' and '.join(found)}."


def _number(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _split_table(info: DatasetInfo, counts: Counts) -> str:
    rows = [["split", "images", "labelled", "height", "width", "ignored"]]
    for split, sums in counts.splits.items():
        rows.append([split, f"{sums.images:,}", f"{sums.labelled:,}", *_sides(sums)])
        rows[-1].append(_percent(ignored_share(info, sums)) if sums.labelled else "")
    return _aligned(rows)


def ignored_share(info: DatasetInfo, sums: Split) -> float:
    """Returns the share of a split's labelled pixels that are ignored."""
    return sums.pixels[info.ignore_label] / max(1, sums.pixels.sum())


def _sides(sums: Split) -> list:
    found = size_range(sums)
    if found is None:
        return ["", ""]
    low, middle, high = found
    return [
        f"{low[side]}"
        if low[side] == high[side]
        else f"{low[side]} - {middle[side]} - {high[side]}"
        for side in (0, 1)
    ]


def _class_table(info: DatasetInfo, counts: Counts) -> str:
    labelled = {split: sums for split, sums in counts.splits.items() if sums.labelled}
    header = ["id", "class"]
    for split in labelled:
        header += [f"{split} pixels", "share", "images"]
    rows = [header]
    for label in range(info.num_classes):
        rows.append([str(label), info.class_names[label][:_LONGEST_NAME]])
        for sums in labelled.values():
            share = shares(info, sums)[label]
            rows[-1] += [f"{sums.pixels[label]:,}", _percent(share), f"{sums.images_with[label]:,}"]
    return _aligned(rows, left=(1,))


def _weights(info: DatasetInfo, counts: Counts) -> str:
    split = training_split(counts)
    lines = [f"Suggested class weights, of split {split}:"]
    for name, weights in suggested_weights(info, counts.splits[split]).items():
        lines.append(f"  {name}\n    {class_weights.as_flags(weights)}")
    return "\n".join(lines)


def _finding_text(finding: Finding) -> str:
    lines = [f"{finding.level.upper()}: {finding.text}"]
    lines += [f"  {example}" for example in finding.examples[:SHOWN]]
    if len(finding.examples) > SHOWN:
        lines.append(f"  and {len(finding.examples) - SHOWN} more: see audit.json")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.{2 if share >= 0.001 or share == 0 else 4}f} %"


def _aligned(rows: list, left: tuple = ()) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if column == 0 or column in left else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def as_json(data, counts: Counts, findings: list) -> dict:
    """Returns the content of audit.json."""
    trained = training_split(counts)
    content = {
        "title": data.title,
        "name": data.info.name,
        "num_classes": data.info.num_classes,
        "class_names": list(data.info.class_names),
        "ignore_label": data.info.ignore_label,
        "splits": {split: _split_json(data.info, sums) for split, sums in counts.splits.items()},
        "findings": [
            {
                "level": finding.level,
                "kind": finding.kind,
                "text": finding.text,
                "examples": list(finding.examples),
            }
            for finding in findings
        ],
        "problems": sum(finding.level == PROBLEM for finding in findings),
    }
    if trained is not None:
        weights = suggested_weights(data.info, counts.splits[trained])
        content["label_weights"] = {
            "split": trained,
            **{
                name: [float(f"{value:.6g}") for value in values]
                for name, values in weights.items()
            },
        }
    return content


def _split_json(info: DatasetInfo, sums: Split) -> dict:
    limits = size_range(sums)
    return {
        "images": sums.images,
        "labelled": sums.labelled,
        "smallest_median_largest_size": [[int(side) for side in size] for size in limits or ()],
        "pixels": [int(value) for value in sums.pixels[: info.num_classes]],
        "images_with_class": [int(value) for value in sums.images_with[: info.num_classes]],
        "ignored_pixels": int(sums.pixels[info.ignore_label]),
        "pixels_of_other_values": {
            str(value): int(sums.pixels[value])
            for value in np.flatnonzero(sums.pixels)
            if value >= info.num_classes and value != info.ignore_label
        },
    }
