"""The page of an audit: its images, tables and bars."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from datasets import class_weights
from datasets.audit.counts import Counts, Item
from datasets.audit.findings import PROBLEM, SHOWN, training_split
from datasets.audit.report import (
    ignored_share,
    pairs_of_classes,
    shares,
    size_range,
)
from datasets.records import labels as label_kinds
from utils import pictures, report
from utils.classes import ClassSet

_LONGEST_SIDE = 420
# Bars are logarithmic; a share of this or less has an empty one.
_LEAST_SHARE = 1e-5
_CLASSES_OF_A_SAMPLE = 5
_IMAGES_OF_A_FINDING = 2


@dataclasses.dataclass(frozen=True)
class Part:
    """A class in a split: its pixels, their share, the length of its bar (0..1), its images."""

    pixels: int
    share: float
    bar: float
    images: int


@dataclasses.dataclass(frozen=True)
class ClassRow:
    """A class: one part per split with labels, and its weight by each formula."""

    id: int
    name: str
    color: tuple
    ignored: bool
    parts: tuple
    weights: tuple


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image on the page.

    Attributes:
      name: Its name.
      split: Its split.
      reason: Why it is on the page.
      bad: Whether it has a defect.
      classes: (name, colour, share of its pixels), most first.
      image: A JPEG file.
      overlay: A JPEG file.
    """

    name: str
    split: str
    reason: str
    bad: bool
    classes: tuple
    image: bytes
    overlay: bytes


def render(data, counts: Counts, findings: list, num_samples: int) -> str:
    """Returns the page as HTML."""
    trained = training_split(counts)
    weights = class_weights.suggested(data.classes, counts.splits[trained]) if trained else {}
    return report.page(
        "audit.html.j2",
        data=data,
        name=data.classes.name,
        headlines=_headlines(data, counts, findings),
        findings=findings,
        problem=PROBLEM,
        shown=SHOWN,
        splits=[_split_row(data.classes, *entry) for entry in counts.splits.items()],
        labelled=_labelled(counts),
        classes=_class_rows(data.classes, counts, weights),
        pairs=_pairs(data.classes, counts),
        trained=trained,
        weights={name: class_weights.as_flags(values) for name, values in weights.items()},
        samples=list(_samples(data, counts, findings, num_samples)),
        now=time.strftime("%Y-%m-%d %H:%M:%S %Z"),
    )


def _headlines(data, counts: Counts, findings: list) -> list:
    images = sum(sums.images for sums in counts.splits.values())
    problems = sum(finding.level == PROBLEM for finding in findings)
    counted = list(data.classes.counted)
    seen = sum(sums.pixels for sums in counts.splits.values())[counted] > 0
    splits = ", ".join(f"{split} {sums.images:,}" for split, sums in counts.splits.items())
    return [
        report.Headline("problems", str(problems), f"and {len(findings) - problems} warnings"),
        report.Headline("images", f"{images:,}", splits),
        report.Headline("classes", str(len(counted)), f"{seen.sum()} of them appear"),
        report.Headline("rarest to most frequent class", *_imbalance(data.classes, counts)),
    ]


def _imbalance(classes: ClassSet, counts: Counts) -> tuple:
    trained = training_split(counts)
    if trained is None:
        return "\u2013", "no labels"
    share = shares(classes, counts.splits[trained])
    present = [label for label in classes.counted if share[label] > 0]
    if not present:
        return "\u2013", "no class appears"
    low, high = min(present, key=lambda c: share[c]), max(present, key=lambda c: share[c])
    ratio = share[high] / share[low]
    return f"1 : {ratio:,.0f}", f"{classes.names[low]} to {classes.names[high]}, in {trained}"


def _labelled(counts: Counts) -> list:
    return [split for split, sums in counts.splits.items() if sums.labelled]


def _split_row(classes: ClassSet, split: str, sums) -> dict:
    limits = size_range(sums)
    texts = ["{} \u00d7 {}".format(*size) for size in limits or ()]
    common = sorted(sums.sizes.items(), key=lambda entry: -entry[1])[:3]
    return {
        "name": split,
        "images": sums.images,
        "labelled": sums.labelled,
        "sizes": texts if len(set(texts)) > 1 else texts[:1],
        "frequent": [("{} \u00d7 {}".format(*size), number) for size, number in common],
        "kinds": len(sums.sizes),
        "ignored": ignored_share(classes, sums) if sums.labelled else None,
        "largest": "{},{}".format(*limits[2]) if limits else None,
    }


def _class_rows(classes: ClassSet, counts: Counts, weights: dict) -> list:
    by_split = {split: shares(classes, counts.splits[split]) for split in _labelled(counts)}
    return [
        ClassRow(
            id=label,
            name=classes.names[label],
            color=classes.colors[label],
            ignored=label == classes.ignore_label,
            parts=tuple(
                Part(
                    int(counts.splits[split].pixels[label]),
                    float(values[label]),
                    _bar(values[label]),
                    int(counts.splits[split].images_with[label]),
                )
                for split, values in by_split.items()
            ),
            weights=tuple(float(values[label]) for values in weights.values()),
        )
        for label in range(classes.count)
    ]


def _pairs(classes: ClassSet, counts: Counts) -> dict:
    """Returns split -> the most frequent pairs of classes on the same pixels."""
    found = {split: pairs_of_classes(classes, sums) for split, sums in counts.splits.items()}
    return {split: pairs[:SHOWN] for split, pairs in found.items() if pairs}


def _bar(share: float) -> float:
    return 1.0 - math.log(max(share, _LEAST_SHARE)) / math.log(_LEAST_SHARE)


def _samples(data, counts: Counts, findings: list, number: int):
    """Yields images of the findings, then those with the most of the rarest classes."""
    for item, reason in list(_chosen(data.classes, counts, findings))[:number]:
        inspection = data.read(item.split, item.number).inspection
        if inspection.image is None:
            continue
        image = np.asarray(inspection.image.convert("RGB"))
        labels = inspection.label
        if labels is None or labels.shape != image.shape[:2]:
            labels = np.full(image.shape[:2], data.classes.ignore_label)
        else:
            labels = label_kinds.of(data.classes).shown(labels)
        views = pictures.overlay(
            image,
            labels,
            colors=data.classes.colors,
            ignore_label=data.classes.ignore_label,
            longest_side=_LONGEST_SIDE,
        )
        bad = item.defect is not None
        yield Sample(item.name, item.split, reason, bad, _classes_of(data.classes, item), *views)


def _chosen(classes: ClassSet, counts: Counts, findings: list):
    """Yields (item, reason), each item once."""
    items = {(item.split, item.number): item for item in counts.items}
    taken = set()
    for finding in findings:
        shown = [key for key in finding.images if items[key].size and key not in taken]
        for key in shown[:_IMAGES_OF_A_FINDING]:
            taken.add(key)
            defect = items[key].defect
            yield items[key], defect.text if defect else finding.text
    trained = training_split(counts)
    if trained is None:
        return
    pixels = counts.splits[trained].pixels
    labels = [label for label in classes.counted if pixels[label]]
    for label in sorted(labels, key=lambda label: pixels[label]):
        free = [item for key, item in items.items() if item.split == trained and key not in taken]
        best = max(free, key=lambda item: item.share(label), default=None)
        if best is not None and best.share(label):
            taken.add((best.split, best.number))
            yield best, f"most of {classes.names[label]}: {100 * best.share(label):.1f} %"


def _classes_of(classes: ClassSet, item: Item) -> tuple:
    if item.values is None:
        return ()
    seen = [(int(value), item.share(value)) for value in item.values]
    seen.sort(key=lambda entry: -entry[1])
    return tuple(_named(classes, *entry) for entry in seen[:_CLASSES_OF_A_SAMPLE])


def _named(classes: ClassSet, value: int, share: float) -> tuple:
    if value == classes.ignore_label:
        return "ignored", (241, 242, 244), share
    if value >= classes.count:
        return f"value {value}", (235, 40, 70), share
    return classes.names[value], classes.colors[value], share
