"""What is measured: checkpoints with the options saved beside them, on a split of a data set."""

from __future__ import annotations

import dataclasses
import os

from absl import logging

from core import network
from core import task as tasks
from core.evaluation import evaluator
from core.inference import steps, windows
from core.inference.predictor import Member
from core.inference.thresholds import Thresholds
from datasets.dataset import Dataset
from options import averaging
from options import saved as saved_options
from options.config import Config
from options.saved import SavedOptions
from utils.classes import ClassSet, task_of
from utils.compat import tf


@dataclasses.dataclass(frozen=True)
class Subject:
    """Checkpoints whose probabilities are averaged, usually one, and a split.

    Attributes:
      config: The options, joined with those saved beside the first checkpoint.
      saved: What was saved beside it.
      members: The checkpoints.
      dataset: The data.
      classes: Their classes, with the task.
      num_images: Images of the split.
      windows: How large images are cut, or None.
    """

    config: Config
    saved: SavedOptions
    members: tuple
    dataset: Dataset
    classes: ClassSet
    num_images: int
    windows: object

    @classmethod
    def open(cls, config: Config, prefixes) -> Subject:
        """Opens the data, and joins the options.

        Args:
          config: The options of the command.
          prefixes: The prefixes of the checkpoints.

        Raises:
          OptionError: If an option cannot be used with these checkpoints or data.
          UserError: If the data cannot be used.
        """
        options = config.evaluation
        folders = [options.checkpoint_dir or os.path.dirname(path) or "." for path in prefixes]
        joined = [_join(config, folder) for folder in folders]
        first, saved = joined[0]
        for one, _ in joined:
            network.check(one.spec, crop_size=one.input.eval_size)
        members = tuple(
            Member(path, one.spec, options.use_ema) for path, (one, _) in zip(prefixes, joined)
        )
        dataset = Dataset.open(first)
        for one, _ in joined:
            dataset.check_channels(options.eval_split, one.network.input_channels)
        classes = tasks.resolve(first.task, dataset.classes, task_of(saved.run))
        num_images = dataset.count(options.eval_split, needs_label=False)
        stated = first.data.num_evaluating_samples
        config.check_count("num_evaluating_samples", stated, num_images)
        data = dataset.with_classes(classes)
        return cls(first, saved, members, data, classes, num_images, windows.of(first))

    def measure(self, chosen: Thresholds, backend) -> evaluator.Result:
        """Returns the result of one pass over the split.

        Args:
          chosen: What a probability must exceed.
          backend: The started device.
        """
        options = self.config.evaluation
        logging.info(
            "Evaluating %s on split %s of %s, %s.",
            " + ".join(member.checkpoint_path for member in self.members),
            options.eval_split,
            self.dataset.name,
            self.config.data.dataset_dir,
        )
        backend.agree("checkpoints and data", self._facts(chosen))

        def make_batches():
            return self.dataset.eval_batches(
                split=options.eval_split,
                batch_size=options.eval_batch_size,
                pad_color=network.pad_color(self.members[0].spec),
                rank=backend.rank,
                ranks=backend.ranks,
            )

        try:
            return evaluator.run(
                make_batches,
                checkpoint_path=self.members[0].checkpoint_path,
                spec=self.members[0].spec,
                options=options,
                crop_size=self.config.input.eval_size,
                classes=self.classes,
                threshold=chosen.decides,
                backend=backend,
                num_images=self.num_images,
                windows=self.windows,
                others=self.members[1:],
            )
        except tf.errors.OpError:
            backend.raise_failure()
            # TensorFlow names no record; this does, if one is at fault.
            self.dataset.explain_failure(options.eval_split, training=False)
            raise

    def _facts(self, chosen: Thresholds) -> dict:
        """Returns what all ranks must have in common."""
        options = self.config.evaluation
        averaged = averaging.of(options, options.eval_scales)
        return {
            "checkpoint": [os.path.basename(member.checkpoint_path) for member in self.members],
            "number of images": self.num_images,
            "options of the network": self.config.spec.to_dict(),
            "--eval_batch_size": options.eval_batch_size,
            "--eval_scales": list(options.eval_scales),
            **{f"--{name}": value for name, value in averaged.settings().items()},
            "--postprocess": steps.texts_of(options.postprocess),
            "--boundary_width": options.boundary_width,
            "--calibration_bins": options.calibration_bins,
            "--empty_images": options.empty_images,
            "--threshold_sweep": options.threshold_sweep,
            "--musket_metrics": options.musket_metrics,
            "--eval_crop_size": list(self.config.input.eval_crop_size),
            "thresholds": list(chosen.values),
        }


def _join(config: Config, folder: str) -> tuple:
    """Returns the options with those saved in a checkpoint's folder, and the saved ones."""
    saved = saved_options.load(folder)
    joined = saved_options.join(config, saved, change_network=config.evaluation.change_network)
    return windows.with_whole_images(joined), saved
