"""Findings of an audit: problems, which harm training or its results, and warnings."""

from __future__ import annotations

import collections
import dataclasses
import itertools

from datasets import splits as split_rules
from datasets.audit import near_duplicates
from datasets.audit.counts import Counts, Item, Split
from datasets.files import defects, mask_files
from datasets.records import labels

PROBLEM = "problem"
WARNING = "warning"
# Examples on the terminal and the page; audit.json has all.
SHOWN = 10
# A larger share of images with class 0 alone is worth a warning.
_MANY_EMPTY = 0.5


@dataclasses.dataclass(frozen=True)
class Finding:
    """A finding.

    Attributes:
      level: PROBLEM or WARNING.
      kind: A fixed word, for programs.
      text: One sentence.
      examples: One text for each case.
      images: (split, number) of images to show.
    """

    level: str
    kind: str
    text: str
    examples: tuple = ()
    images: tuple = ()


def find(data, counts: Counts, near_duplicates_bits: int = 0) -> list:
    """Returns the findings, problems first.

    Args:
      data: The data.
      counts: Its counts.
      near_duplicates_bits: Images are near duplicates if at most this many of 64 bits differ; 0: no
        comparison.
    """
    found = [
        *(Finding(PROBLEM, "folder", f"{d.where}: {d.text}.") for d in data.defects),
        *_defects(data, counts),
        *_labels_missing(data, counts),
        *_binary(data, counts),
        *_blank(data, counts),
        *_shared_images(data, counts),
    ]
    if near_duplicates_bits:
        found += _near_duplicates(data, counts, near_duplicates_bits)
    for split, sums in counts.splits.items():
        found += _few_classes(data, split, sums, counts)
    found += _never_trained(data, counts)
    found += _changes(counts)
    return sorted(found, key=lambda finding: finding.level != PROBLEM)


def training_split(counts: Counts) -> str | None:
    """Returns the split for class weights: the largest that is not for evaluation."""
    labelled = {split: sums.labelled for split, sums in counts.splits.items() if sums.labelled}
    candidates = [split for split in labelled if not split_rules.is_evaluation(split)]
    return max(candidates or labelled, key=labelled.get, default=None)


def _defects(data, counts: Counts):
    by_kind = collections.defaultdict(list)
    for item in counts.items:
        if item.defect:
            by_kind[item.defect.kind].append(item)
    for kind, (name, advice) in defects.KINDS.items():
        items = by_kind[kind]
        if items:
            text = f"{name}: {_number(items, 'image')}; {advice}."
            yield _of_items(PROBLEM, kind, text, items, [item.defect.text for item in items])
    if counts.bad_checksums:
        name, advice = defects.KINDS[defects.CHECKSUM]
        files = [f"record {bad.record} of {bad.path}" for bad in counts.bad_checksums]
        text = f"{name}: {_number(files, 'file')}; {advice}."
        yield Finding(PROBLEM, defects.CHECKSUM, text, tuple(files))


def _labels_missing(data, counts: Counts):
    """A split may have no labels at all; one where some are missing was meant to have them."""
    for split, sums in counts.splits.items():
        without = [
            item
            for item in counts.items
            if item.split == split and item.values is None and not item.defect
        ]
        if without and sums.labelled:
            name, advice = defects.KINDS[defects.NO_LABEL]
            text = f"{name}: {_number(without, 'image')} of split {split}; {advice}."
            examples = [data.place(split, item.number) for item in without]
            yield _of_items(PROBLEM, defects.NO_LABEL, text, without, examples)
        elif without:
            text = f"split {split} has no labels: it can serve neither training nor evaluation."
            yield Finding(WARNING, "split_without_labels", text)


def _binary(data, counts: Counts):
    if not labels.of(data.classes).is_exclusive:
        return
    pixels = sum(sums.pixels for sums in counts.splits.values())
    if data.classes.count > 1 and mask_files.only_0_and_255(pixels, data.classes.ignore_label):
        text = (
            "the masks hold only 0 and 255, and 255 is the ignore label, so that no class but 0 "
            "would be learned; convert with what the values mean, for example "
            "--mask_values=0:background,255:object."
        )
        yield Finding(PROBLEM, "only_0_and_255", text)


def _few_classes(data, split: str, sums: Split, counts: Counts):
    if not sums.labelled:
        return
    counted = data.classes.counted
    names = data.classes.names
    present = [label for label in counted if sums.pixels[label]]
    # Labels that cannot be used are missing here; they have findings of their own.
    bad = any(item.defect and item.split == split for item in counts.items)
    if not present and not bad:
        what = "has no class" if sums.counted else "is ignored"
        text = f"every pixel of split {split} {what}; check the masks and the ignore label."
        yield Finding(PROBLEM, "all_ignored", text)
    if len(present) == 1 and len(counted) > 1 and not bad:
        text = f"split {split} has only the class {names[present[0]]}; check its masks."
        yield Finding(PROBLEM, "one_class", text)
    absent = [label for label in counted if not sums.pixels[label]]
    if absent and len(present) > 1:
        shown = ", ".join(names[label] for label in absent[:SHOWN])
        more = f" and {len(absent) - SHOWN} others" if len(absent) > SHOWN else ""
        text = (
            f"{len(absent)} of {len(counted)} classes never appear in split {split}: {shown}{more}."
        )
        yield Finding(WARNING, "absent_classes", text)
    yield from _images_alike(data, split, sums, counts)


def _images_alike(data, split: str, sums: Split, counts: Counts):
    items = [item for item in counts.items if item.split == split and item.defect is None]
    ignored = [item for item in items if item.is_only(data.classes.ignore_label)]
    empty = [item for item in items if labels.of(data.classes).is_exclusive and item.is_only(0)]
    if ignored:
        text = f"ignored pixels only: {_number(ignored, 'image')} of split {split}."
        examples = [data.place(split, item.number) for item in ignored]
        yield _of_items(WARNING, "images_all_ignored", text, ignored, examples)
    if len(empty) > _MANY_EMPTY * sums.labelled and len(empty) < sums.labelled:
        text = (
            f"{len(empty)} of {sums.labelled} images of split {split} have only the class "
            f"{data.classes.names[0]}."
        )
        yield _of_items(WARNING, "mostly_empty", text, empty, ())


def _blank(data, counts: Counts):
    blank = [item for item in counts.items if item.blank]
    if blank:
        text = f"images of one colour: {len(blank)}; nothing can be learned from them."
        examples = [data.place(*_key(item)) for item in blank]
        yield _of_items(WARNING, "blank_images", text, blank, examples)


def _shared_images(data, counts: Counts):
    """Compares images within a split, and a training split with the evaluation splits."""
    # Blank images are identical and have a finding of their own.
    seen = [item for item in counts.items if item.fingerprint is not None and not item.blank]
    same = _groups(seen, lambda item: item.fingerprint)
    for splits, groups in _by_splits(same):
        if len(splits) == 1:
            text = f"duplicates: {_number(groups, 'image')} of split {splits[0]}."
            yield _of_groups(data, WARNING, "duplicates_within", text, groups)
        else:
            text = (
                f"duplicates in split {splits[0]} and in split {splits[1]}: "
                f"{_number(groups, 'image')}; results on them do not generalize: remove them from "
                "one split."
            )
            yield _of_groups(data, PROBLEM, "duplicates", text, groups)
    yield from _same_names(data, seen)


def _near_duplicates(data, counts: Counts, most: int):
    """Compares images between splits that must be disjoint."""
    by_split = collections.defaultdict(list)
    for item in counts.items:
        if item.difference_hash is not None and not item.blank:
            by_split[item.split].append(item)
    for splits in itertools.combinations(by_split, 2):
        if not split_rules.must_be_disjoint(*splits):
            continue
        first, second = (by_split[split] for split in splits)
        hashes = ([item.difference_hash for item in items] for items in (first, second))
        # Identical images have a finding of their own.
        pairs = [
            (first[one], second[other], bits)
            for one, other, bits in near_duplicates.pairs(*hashes, most)
            if first[one].fingerprint != second[other].fingerprint
        ]
        if pairs:
            text = (
                f"near duplicates in split {splits[0]} and in split {splits[1]}: "
                f"{_number(pairs, 'pair')}; if they show the same scene, results on them do not "
                "generalize (--near_duplicates=0 disables this check)."
            )
            examples = [
                f"{data.place(*_key(one))} ~ {data.place(*_key(other))} ({bits} of "
                f"{near_duplicates.BITS} bits differ)"
                for one, other, bits in pairs
            ]
            images = tuple(_key(item) for one, other, _ in pairs for item in (one, other))
            yield Finding(WARNING, "near_duplicates", text, tuple(examples), images)


def _same_names(data, items: list):
    named = [item for item in items if item.name]
    for splits, groups in _by_splits(_groups(named, lambda item: item.name)):
        groups = [group for group in groups if len({item.fingerprint for item in group}) > 1]
        if groups:
            where = f"in split {splits[1]}" if len(splits) > 1 else "again"
            text = f"the same name in split {splits[0]} and {where}, but different images: "
            text += f"{_number(groups, 'name')}."
            yield _of_groups(data, WARNING, "same_names", text, groups)


def _groups(items: list, key) -> list:
    """Returns lists of two or more items with the same key."""
    found = collections.defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return [group for group in found.values() if len(group) > 1]


def _by_splits(groups: list) -> list:
    """Returns ((split,) or (split, split), groups): within a split, and between two that leak."""
    found = collections.defaultdict(list)
    for group in groups:
        by_split = collections.defaultdict(list)
        for item in group:
            by_split[item.split].append(item)
        for split, items in by_split.items():
            if len(items) > 1:
                found[(split,)].append(items)
        for first, second in itertools.combinations(by_split, 2):
            if split_rules.must_be_disjoint(first, second):
                found[first, second].append(by_split[first] + by_split[second])
    return sorted(found.items())


def _never_trained(data, counts: Counts):
    trained = training_split(counts)
    if trained is None or split_rules.is_evaluation(trained):
        return
    pixels = counts.splits[trained].pixels
    for split, sums in counts.splits.items():
        classes = [
            data.classes.names[label]
            for label in data.classes.counted
            if sums.pixels[label] and not pixels[label]
        ]
        if split != trained and classes:
            shown = ", ".join(classes[:SHOWN])
            text = f"classes in split {split}, but in no image of split {trained}: {shown}."
            yield Finding(WARNING, "classes_not_trained", text)


def _changes(counts: Counts):
    changed = collections.Counter(item.change for item in counts.items if item.change)
    for change, number in changed.items():
        yield Finding(WARNING, "converted", f"a conversion changes {number} images: {change}.")


def _key(item: Item) -> tuple:
    return item.split, item.number


def _of_items(level: str, kind: str, text: str, items: list, examples) -> Finding:
    return Finding(level, kind, text, tuple(examples), tuple(map(_key, items)))


def _of_groups(data, level: str, kind: str, text: str, groups: list) -> Finding:
    examples = [" = ".join(data.place(*_key(item)) for item in group) for group in groups]
    images = [_key(item) for group in groups for item in group]
    return Finding(level, kind, text, tuple(examples), tuple(images))


def _number(items, what: str) -> str:
    """Returns "1 image" or "3 images"."""
    plural = {"class": "classes"}.get(what, f"{what}s")
    return f"{len(items)} {what if len(items) == 1 else plural}"
