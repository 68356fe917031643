"""The report of an audit: the tables on the terminal, and audit.json."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from datasets import class_weights
from datasets.audit.counts import Counts, Split
from datasets.audit.findings import PROBLEM, SHOWN, Finding, training_split
from utils.classes import ClassSet

_LONGEST_NAME = 24


def size_range(sums: Split) -> tuple | None:
    """Returns the smallest, median and largest (height, width) by side; None without images."""
    if not sums.sizes:
        return None
    sizes = np.repeat(list(sums.sizes), list(sums.sizes.values()), axis=0)
    middle = np.sort(sizes, axis=0)[len(sizes) // 2]
    return tuple(sizes.min(axis=0)), tuple(middle), tuple(sizes.max(axis=0))


def shares(classes: ClassSet, sums: Split) -> np.ndarray:
    """Returns each class's share of the pixels that count, [num_classes]."""
    counted = list(classes.counted)
    pixels = np.zeros(classes.count)
    pixels[counted] = sums.pixels[counted]
    return pixels / max(1, sums.counted)


class Pair(NamedTuple):
    """Two classes on the same pixels, and these pixels' share of each class."""

    first: str
    second: str
    pixels: int
    of_first: float
    of_second: float


def pairs_of_classes(classes: ClassSet, sums: Split) -> list:
    """Returns the pairs of classes that share pixels, those with the most first."""
    if sums.together is None:
        return []
    found = [
        Pair(
            classes.names[first],
            classes.names[second],
            int(sums.together[first, second]),
            float(sums.together[first, second] / sums.pixels[first]),
            float(sums.together[first, second] / sums.pixels[second]),
        )
        for first, second in zip(*np.triu_indices(classes.count, 1))
        if sums.together[first, second]
    ]
    return sorted(found, key=lambda pair: -pair.pixels)


def as_text(data, counts: Counts, findings: list) -> str:
    """Returns the text for the terminal."""
    parts = [
        f"{data.title}: {data.classes.name}, {data.classes.count} classes, ignore label "
        f"{data.classes.ignore_label}",
        _split_table(data.classes, counts),
    ]
    if any(sums.labelled for sums in counts.splits.values()):
        parts.append(_class_table(data.classes, counts))
        parts += _pair_tables(data.classes, counts)
        parts.append(_weights(data.classes, counts))
    parts += [_finding_text(finding) for finding in findings]
    parts.append(verdict(findings))
    return "\n\n".join(parts)


def verdict(findings: list) -> str:
    """Returns the number of problems and warnings, a sentence."""
    problems = sum(finding.level == PROBLEM for finding in findings)
    warnings = len(findings) - problems
    found = [_number(problems, "problem"), _number(warnings, "warning")]
    return f"Found {' and '.join(found)}."


def _number(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _split_table(classes: ClassSet, counts: Counts) -> str:
    rows = [["split", "images", "labelled", "height", "width", "ignored"]]
    for split, sums in counts.splits.items():
        rows.append([split, f"{sums.images:,}", f"{sums.labelled:,}", *_sides(sums)])
        rows[-1].append(_percent(ignored_share(classes, sums)) if sums.labelled else "")
    return _aligned(rows)


def ignored_share(classes: ClassSet, sums: Split) -> float:
    """Returns the share of a split's labelled pixels that are ignored."""
    return sums.pixels[classes.ignore_label] / max(1, sums.area)


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


def _class_table(classes: ClassSet, counts: Counts) -> str:
    labelled = {split: sums for split, sums in counts.splits.items() if sums.labelled}
    header = ["id", "class"]
    for split in labelled:
        header += [f"{split} pixels", "share", "images"]
    rows = [header]
    for label in range(classes.count):
        rows.append([str(label), classes.names[label][:_LONGEST_NAME]])
        for sums in labelled.values():
            share = shares(classes, sums)[label]
            rows[-1] += [f"{sums.pixels[label]:,}", _percent(share), f"{sums.images_with[label]:,}"]
    return _aligned(rows, left=(1,))


def _pair_tables(classes: ClassSet, counts: Counts):
    for split, sums in counts.splits.items():
        pairs = pairs_of_classes(classes, sums)
        if pairs:
            rows = [["classes on the same pixels", "", f"{split} pixels", "of first", "of second"]]
            for pair in pairs[:SHOWN]:
                names = [name[:_LONGEST_NAME] for name in (pair.first, pair.second)]
                shares_of = [_percent(share) for share in (pair.of_first, pair.of_second)]
                rows.append([*names, f"{pair.pixels:,}", *shares_of])
            yield _aligned(rows, left=(1,))


def _weights(classes: ClassSet, counts: Counts) -> str:
    split = training_split(counts)
    lines = [f"Suggested class weights, of split {split}:"]
    for name, weights in class_weights.suggested(classes, counts.splits[split]).items():
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
        "name": data.classes.name,
        "num_classes": data.classes.count,
        "class_names": list(data.classes.names),
        "task": data.classes.task,
        "ignore_label": data.classes.ignore_label,
        "splits": {split: _split_json(data.classes, sums) for split, sums in counts.splits.items()},
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
        weights = class_weights.suggested(data.classes, counts.splits[trained])
        content["label_weights"] = {
            "split": trained,
            **{name: class_weights.rounded(values) for name, values in weights.items()},
        }
    return content


def _split_json(classes: ClassSet, sums: Split) -> dict:
    limits = size_range(sums)
    pairs = {} if sums.together is None else {"pixels_of_pairs": sums.together.tolist()}
    return {
        **pairs,
        "images": sums.images,
        "labelled": sums.labelled,
        "smallest_median_largest_size": [[int(side) for side in size] for size in limits or ()],
        "pixels": [int(value) for value in sums.pixels[: classes.count]],
        "images_with_class": [int(value) for value in sums.images_with[: classes.count]],
        "ignored_pixels": int(sums.pixels[classes.ignore_label]),
        "pixels_of_other_values": {
            str(value): int(sums.pixels[value])
            for value in np.flatnonzero(sums.pixels)
            if value >= classes.count and value != classes.ignore_label
        },
    }
