"""The data set of a run, opened once: its classes, its records and its batches."""

from __future__ import annotations

from datasets import info as dataset_info
from datasets import raw_records
from datasets.pipeline import input_fn
from datasets.records import fingerprint
from options.data import DataOptions


class Dataset:
    """The records that `--dataset_dir` names.

    Attributes:
      info: Name, classes, ignore label, splits.
    """

    def __init__(self, options: DataOptions, info):
        """Takes the parts; use `open`."""
        self.options = options
        self.info = info

    @classmethod
    def open(cls, options: DataOptions, given: frozenset) -> Dataset:
        """Opens the data set.

        Raises:
          OptionError: If an option contradicts `dataset.json`, or is needed and missing.
          UserError: If the folder has no records, or its `dataset.json` cannot be used.
        """
        return cls(options, dataset_info.load(options, given))

    def count(self, split: str, *, needs_label: bool = True) -> int:
        """Returns the number of images of a split that can be used."""
        return input_fn.count_images(self.options, split, self.info, needs_label=needs_label)

    def check_evaluation(self, split: str):
        """Raises UserError for what would make the evaluation of a split fail."""
        input_fn.check_evaluation(self.options, self.info, split)

    def fingerprint(self, split: str) -> str:
        """Returns what stands for the records of a split."""
        return fingerprint.of_split(raw_records.folder(self.options), split)

    def train_batches(self, *, split: str, **settings):
        """Returns the endless batches of training; see `input_fn.train_batches`."""
        return input_fn.train_batches(self.options, self.info, split=split, **settings)

    def eval_batches(self, *, split: str, **settings):
        """Returns one pass over a split; see `input_fn.eval_batches`."""
        return input_fn.eval_batches(self.options, self.info, split=split, **settings)

    def explain_failure(self, split: str, *, training: bool):
        """Raises UserError that names the record which made the pipeline fail, if there is one."""
        input_fn.explain_failure(self.options, self.info, split, training=training)
