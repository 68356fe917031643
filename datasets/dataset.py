"""A data set, opened once: its records, classes, splits, cache and batches."""

from __future__ import annotations

import copy
import dataclasses
import os

import numpy as np
from absl import logging

from datasets import class_weights, opening, splits
from datasets.description import DATASET_FILE, Description
from datasets.pipeline import input_fn, preprocess
from datasets.records import cache, checks, fingerprint, label_counts, labels, shards
from options.config import Config
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError, UserError

# Labels 0, 1, 2... up to fewer than this are those of a small set of classes; images of a set with
# many classes, of whose labels some are missing, hardly have the first ones only.
_FEW_CLASSES = 6


class Dataset:
    """The records of a data set and their description.

    It keeps what it has read: the place of each record, and which are bad. It must live as long
    as its batches are read, because it holds the cache in memory.

    Attributes:
      config: Where the records are, and how images are prepared.
      folder: The folder of the records.
      description: Its classes, and the stated number of images of each split.
    """

    def __init__(self, folder: str, described: Description, config: Config):
        """Takes the parts; use `open`."""
        self.folder = folder
        self.description = described
        self.config = config
        self._indexes = {}
        self._usable = {}
        self._labels = labels.of(described.classes)
        records = config.data
        self._cache = cache.Cache(records.cache, records.cache_dir or folder)

    @classmethod
    def open(cls, config: Config) -> Dataset:
        """Opens the data set of `--dataset_dir`; reads no records.

        `dataset.json` describes it; without one --num_classes with --ignore_label do, or --dataset.
        Options that were given must not contradict it.

        Args:
          config: Options with the section `records`; those that batches need have `input`, and for
            training `augmentation`.

        Raises:
          OptionError: If an option contradicts `dataset.json`, or is needed and missing.
          UserError: If the folder has no records, its `dataset.json` cannot be used, or raw data
            cannot be converted.
        """
        folder = opening.folder_of(config.data)
        return cls(folder, opening.describe(folder, config.data, config.given), config)

    @property
    def name(self) -> str:
        """The name in reports."""
        return self.description.name

    @property
    def classes(self) -> ClassSet:
        """The classes."""
        return self.description.classes

    def with_classes(self, classes: ClassSet) -> Dataset:
        """Returns the same data set with other names, colours or another task of its labels."""
        other = copy.copy(self)
        other.description = dataclasses.replace(self.description, classes=classes)
        return other

    def index(self, split: str) -> shards.Index:
        """Returns the place of each record of a split.

        Raises:
          UserError: If the split does not exist, or a shard is missing or truncated.
        """
        if split not in self._indexes:
            self._indexes[split] = shards.index(self.folder, split)
        return self._indexes[split]

    def count(self, split: str, *, needs_label: bool = True) -> int:
        """Returns the number of images of a split, without those that are skipped.

        Args:
          split: The split.
          needs_label: Whether records without a label are bad: in training, not in evaluation.

        Raises:
          UserError: If the split does not exist, or a shard is missing or truncated.
        """
        if self.config.data.on_bad_record == "skip":
            return len(self._usable_index(split, needs_label=needs_label))
        return len(self.index(split))

    def fingerprint(self, split: str) -> str:
        """Returns 16 hexadecimal digits that stand for the records of a split."""
        return fingerprint.of_index(self.index(split))

    def label_weights(self, split: str, formula: str) -> list:
        """Returns one loss weight per class, from all labels of a split.

        Args:
          split: The split.
          formula: A key of `class_weights.NAMES`.

        Raises:
          UserError: If a label cannot be read.
        """
        counts = label_counts.of_split(self._usable_index(split, needs_label=True), self.classes)
        found = class_weights.suggested(self.classes, counts)
        return class_weights.rounded(found[class_weights.NAMES[formula]])

    def check_training(self, split: str):
        """Looks for what would make training on a split fail later; builds no graph.

        Raises:
          UserError: If records are missing, damaged, without label or with labels of other classes.
        """
        index = self._usable_index(split, needs_label=True)
        self._check_assumed(split, checks.check_sample(index, self.classes, needs_label=True))
        for other in shards.splits(self.folder):
            if other != split and splits.must_be_disjoint(split, other):
                self._compare(index, split, other)

    def _check_assumed(self, split: str, pixels: np.ndarray):
        """Refuses records that do not look like the data set they are taken for.

        That is without a `dataset.json` and flags: the known set of --dataset's default. Another
        number of images alone may be a part of it.

        Args:
          split: The split.
          pixels: The pixels of each label in some of its records, int64 [256].
        """
        stated = {"dataset", "num_classes", "ignore_label"}.intersection(self.config.given)
        if stated or os.path.exists(os.path.join(self.folder, DATASET_FILE)):
            return
        present = np.flatnonzero(pixels[: self.classes.count])
        first_classes = np.array_equal(present, np.arange(len(present)))
        known = self.description.splits.get(split)
        if (
            known not in (None, len(self.index(split)))
            and first_classes
            and len(present) < _FEW_CLASSES
        ):
            raise UserError(
                f"{self.folder} has no {DATASET_FILE}, and the labels of split {split} are 0 to "
                f"{present.max()} only: pass --num_classes={present.max() + 1} and --ignore_label, "
                f"or --dataset={self.name} if they are of {self.name}."
            )

    def _compare(self, index: shards.Index, split: str, other: str):
        """Warns of records that are also in another split, which may itself be unusable."""
        try:
            checks.warn_of_shared(index, self.index(other), split, other)
        except UserError as error:
            logging.warning("Split %s is not compared with split %s: %s", split, other, error)

    def check_channels(self, split: str, channels: int):
        """Looks for images that a network with so many input channels does not take.

        Raises:
          UserError: If there are some, or records are missing or damaged.
        """
        checks.check_channels(self.index(split), channels)

    def check_evaluation(self, split: str):
        """Looks for what would make evaluation of a split fail later; builds no graph.

        Raises:
          UserError: If records are missing, damaged or have labels of other classes.
          OptionError: If an image is larger than `--eval_crop_size`.
        """
        index = self._usable_index(split, needs_label=False)
        checks.check_sample(index, self.classes, needs_label=False)
        limit = self.config.input.eval_size
        if limit is None or self.config.input.augmentation == preprocess.IMAGENET:
            return
        (height, width), names = self._eval_sizes(index)
        too_large = np.flatnonzero((height > limit[0]) | (width > limit[1]))
        if too_large.size:
            first = too_large[0]
            resized = " after resizing" if self.config.input.min_resize_value else ""
            raise OptionError(
                f"image {names[first]} of split {split} is {height[first]}x{width[first]}{resized} "
                f"(height x width), larger than --eval_crop_size={limit[0]},{limit[1]}; pass "
                f"--eval_crop_size={height.max()},{width.max()}, which holds every image of the "
                "split, or --eval_crop_size=auto to evaluate each at its own size."
            )

    def _eval_sizes(self, index: shards.Index) -> tuple:
        """Returns int64 [2, images], height and width after resizing, and the image names."""
        sizes, names = checks.image_sizes(index)
        sides = preprocess.range_size(*sizes.T.astype(np.float32), self.config.input, math=np)
        return np.stack(sides).astype(np.int64), names

    def explain_failure(self, split: str, *, training: bool):
        """Raises UserError that names the record which made the pipeline fail, if there is one."""
        checks.explain_failure(self.index(split), self.classes, needs_label=training)

    def warn_of_skipped(self, split: str, *, needs_label: bool = True):
        """Warns again if records of a split were skipped."""
        kept, found = self.count(split, needs_label=needs_label), len(self.index(split))
        if kept < found:
            logging.warning(
                "%d of the %d records of split %s are left out; --on_bad_record=skip.",
                found - kept,
                found,
                split,
            )

    def _usable_index(self, split: str, *, needs_label: bool) -> shards.Index:
        """Returns the index of a split without bad records; checks their number the first time."""
        key = split, needs_label
        if key not in self._usable:
            index = self.index(split)
            self._check_number(split, len(index))
            self._usable[key] = index
            if self.config.data.on_bad_record == "skip":
                self._usable[key] = self._without_bad(index, split, needs_label)
                self.warn_of_skipped(split, needs_label=needs_label)
        return self._usable[key]

    def _check_number(self, split: str, found: int):
        if not found:
            raise UserError(f"split {split} of {self.folder} has no images.")
        stated = self.description.splits.get(split)
        if stated in (None, found):
            return
        if os.path.exists(os.path.join(self.folder, DATASET_FILE)):
            raise UserError(
                f"the shards of split {split} in {self.folder} hold {found} images, but "
                f"{DATASET_FILE} says {stated}; convert the data again."
            )
        logging.warning(
            "Split %s holds %d images; that of %s has %d.", split, found, self.name, stated
        )

    def _without_bad(self, index: shards.Index, split: str, needs_label: bool) -> shards.Index:
        """Returns the index without the records that cannot be used.

        They are found before the first step, so that order, shares of ranks and resuming are what
        they would be without these records in the files.
        """
        limit = self.config.data.max_bad_records
        bad = checks.find_bad(index, self.classes, needs_label=needs_label, limit=limit)
        for number, found in bad.items():
            logging.warning("%s is left out: %s.", index.name(number), found)
        kept = index.without(sorted(bad))
        if not len(kept):
            raise UserError(f"no record of split {split} can be used; convert the data again.")
        return kept

    def train_batches(self, *, split: str, **arguments) -> tf.data.Dataset:
        """Returns the endless batches of training; see `input_fn.train_batches`.

        Raises:
          UserError: See `check_training`.
        """
        self.check_training(split)
        samples = self._samples(split, needs_label=True, by_window=True)
        return input_fn.train_batches(
            samples,
            self.config.input,
            self.config.augmentation,
            stored=self._labels,
            **arguments,
        )

    def eval_batches(self, *, split: str, batch_size: int, **arguments) -> tf.data.Dataset:
        """Returns one pass over a split; see `input_fn.eval_batches`.

        Raises:
          UserError: See `check_evaluation`.
          OptionError: If an image is larger than `--eval_crop_size`.
        """
        self.check_evaluation(split)
        sizes = None
        if self.config.input.eval_size is None and batch_size > 1:
            sizes, _ = self._eval_sizes(self._usable_index(split, needs_label=False))
        return input_fn.eval_batches(
            self._samples(split, needs_label=False, by_window=False),
            self.config.input,
            stored=self._labels,
            batch_size=batch_size,
            sizes=sizes,
            **arguments,
        )

    def _samples(self, split: str, *, needs_label: bool, by_window: bool) -> input_fn.Samples:
        """Returns the samples of a split: of the records, or of what is cached of them."""
        index = self._usable_index(split, needs_label=needs_label)
        records = input_fn.of_records(index, self._labels, by_window=by_window)
        if self.config.data.cache == "none":
            return records

        def decoded():
            return input_fn.decoded(index, self._labels)

        cached = self._cache.index(
            split, index, self.fingerprint(split), decoded, self._labels.dtype.size
        )
        return input_fn.of_cache(cached, self._labels, by_window=by_window)
