"""Evaluates checkpoints on a split: per-class IoU, mIoU, and a report to look at.

  python eval.py --checkpoint_dir=RUN --dataset_dir=DIR
  python eval.py --checkpoint_dir=RUN --dataset_dir=DIR --eval_split=test \
      --eval_scales=0.5 --eval_scales=1.0 --eval_scales=1.5 --add_flipped_images
  python eval.py --checkpoint_dir=RUN --dataset_dir=DIR --checkpoint=all
  python eval.py --checkpoint_dir=RUN --dataset_dir=DIR --watch
  python eval.py --checkpoint_path=A/model.ckpt-9 --checkpoint_path=B/model.ckpt-9 --dataset_dir=DIR

The options of the network are those that training saved beside the checkpoint. docs/evaluation.md
tells more; `--helpfull` lists every flag.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os

from absl import logging

import common
from options import saved as saved_options
from options.data import AUTO, DataOptions
from options.device import DeviceOptions
from options.evaluation import EvalOptions
from options.inference import WindowOptions
from options.network import NETWORK_RECORDS, NetworkSpec
from utils.errors import OptionError, UserError

OPTION_CLASSES = (*NETWORK_RECORDS, EvalOptions, WindowOptions, DataOptions, DeviceOptions)


def main(flag_values):
    """Reads the flags and evaluates."""
    evaluate(
        NetworkSpec.from_flags(flag_values),
        common.from_flags(EvalOptions, flag_values),
        common.from_flags(DataOptions, flag_values),
        common.from_flags(DeviceOptions, flag_values),
        common.from_flags(WindowOptions, flag_values),
        given=common.given_flags(flag_values),
    )


def evaluate(
    spec: NetworkSpec,
    options: EvalOptions,
    data_options: DataOptions,
    device_options: DeviceOptions,
    window_options: WindowOptions | None = None,
    *,
    given: frozenset = frozenset(),
) -> dict:
    """Evaluates one checkpoint, several one after the other, or the mean of several.

    Args:
      spec: The network; what is not in `given` is taken from the checkpoint's folder.
      options: The checkpoints, and how they are evaluated.
      data_options: The data; what is not in `given` is taken from the checkpoint's folder.
      device_options: The device.
      window_options: Whether large images are cut; None: they are not.
      given: Names of the options that were given on purpose.

    Returns:
      The content of `metrics.json`, of the last evaluation if there were several.

    Raises:
      OptionError: If an option cannot be used with this checkpoint or data.
      UserError: If the checkpoint, the data or the folder is not as it must be.
    """
    first_folder = options.folders()[0]
    watches = options.watch or options.max_number_of_evaluations > 1
    if watches and (options.checkpoint_path or options.checkpoint != "newest"):
        raise OptionError(
            "--watch (or --max_number_of_evaluations above 1) evaluates the newest checkpoints of "
            "--checkpoint_dir; leave out --checkpoint and --checkpoint_path."
        )
    windows = window_options or WindowOptions()
    flagged = _Flagged(spec, options, data_options, device_options, windows, given)
    flagged.join(first_folder)

    # TensorFlow is loaded after the options were found good.
    from core.evaluation import results, select

    logdir = options.eval_logdir or os.path.join(first_folder, "eval")
    if watches:
        return _watch(flagged, first_folder, logdir)
    if options.checkpoint_path:
        return _evaluate(flagged, options.checkpoint_path, logdir)
    chosen = select.chosen(first_folder, options.checkpoint)
    if len(chosen) == 1:
        return _evaluate(flagged, chosen, logdir)
    for prefix in chosen:
        summary = _evaluate(flagged, [prefix], results.folder_of(logdir, prefix))
        results.append_history(logdir, summary)
    return summary


@dataclasses.dataclass(frozen=True)
class _Flagged:
    """The options as the flags say."""

    model: NetworkSpec
    options: EvalOptions
    data: DataOptions
    device: DeviceOptions
    windows: WindowOptions
    given: frozenset

    def join(self, folder: str) -> _Joined:
        """Returns the options together with what was saved in a checkpoint's folder.

        Raises:
          OptionError: If they contradict each other.
        """
        saved = saved_options.load(folder)
        change = self.options.change_network
        spec = saved_options.join(
            self.model, saved, "model", given=self.given, change_network=change
        )
        data_options = saved_options.join(
            self.data,
            saved,
            "data",
            given=self.given,
            of_the_network=saved_options.DATA_OF_THE_NETWORK,
            change_network=change,
        )
        if self.windows.cuts and data_options.eval_size is not None:
            if "eval_crop_size" in self.given:
                raise OptionError(
                    "--window_size and --max_pixels cut images at their own size; pass "
                    "--eval_crop_size=auto with them, or leave it out."
                )
            data_options = dataclasses.replace(data_options, eval_crop_size=(AUTO,))
        return _Joined(spec, data_options, saved)


@dataclasses.dataclass(frozen=True)
class _Joined:
    """The options that a checkpoint is evaluated with, and what was saved beside it."""

    model: NetworkSpec
    data: DataOptions
    saved: saved_options.SavedOptions


def _watch(flagged: _Flagged, folder: str, logdir: str) -> dict:
    """Evaluates each newest checkpoint while a training writes them; returns the last summary."""
    from core.evaluation import results, select

    options = flagged.options
    found = select.new_checkpoints(
        folder, interval=options.eval_interval_secs, timeout=options.watch_timeout_secs
    )
    summary, number = None, 0
    for prefix in found:
        try:
            summary = _evaluate(flagged, [prefix], results.folder_of(logdir, prefix))
        except UserError:
            if not select.is_gone(prefix):
                raise
            logging.warning("%s was removed before it was evaluated; going on.", prefix)
            continue
        results.append_history(logdir, summary)
        number += 1
        if number == options.max_number_of_evaluations:
            break
    if summary is None:
        raise UserError(f"{folder} got no checkpoint in {options.watch_timeout_secs} s.")
    return summary


def _evaluate(flagged: _Flagged, prefixes, logdir: str) -> dict:
    """Evaluates the mean of some checkpoints, usually of one, and writes the results."""
    from core import network
    from core.evaluation import results
    from core.inference.predictor import Member
    from datasets import info as dataset_info
    from deployment import backend as backends
    from utils import report

    options, data_folder = flagged.options, flagged.options.checkpoint_dir
    joined = [flagged.join(data_folder or os.path.dirname(path) or ".") for path in prefixes]
    data_options = joined[0].data
    if options.report:
        report.check_available()
    for one in joined:
        network.check(one.model, crop_size=data_options.eval_size)
    members = [Member(path, one.model, options.use_ema) for path, one in zip(prefixes, joined)]
    info = dataset_info.load(data_options, flagged.given)
    num_images = _count_images(data_options, options.eval_split, info, flagged.given)
    backend = backends.create(flagged.device)
    logging.info(
        "Evaluating %s on split %s of %s, %s.",
        " + ".join(prefixes),
        options.eval_split,
        info.name,
        data_options.dataset_dir,
    )
    windows = _windows(flagged.windows, data_options)
    try:
        with results.prepared(logdir) if backend.is_chief else contextlib.nullcontext():
            backend.agree("checkpoints and data", _facts(joined[0], options, prefixes, num_images))
            backend.start()
            result = _measure(members, options, data_options, windows, info, num_images, backend)
    finally:
        backend.stop()
    settings = _settings(options, data_options, windows, info)
    summary = results.summary(result, settings, backend.name)
    if backend.is_chief:
        _publish(result, summary, logdir, info, joined[0], options)
    return summary


def _facts(joined, options: EvalOptions, prefixes, num_images: int) -> dict:
    """Returns what all ranks must have in common."""
    return {
        "checkpoint": [os.path.basename(prefix) for prefix in prefixes],
        "number of images": num_images,
        "options of the network": joined.model.to_dict(),
        "--eval_batch_size": options.eval_batch_size,
        "--eval_scales": list(options.eval_scales),
        "--add_flipped_images": options.add_flipped_images,
        "--boundary_width": options.boundary_width,
        "--calibration_bins": options.calibration_bins,
        "--eval_crop_size": list(joined.data.eval_crop_size),
    }


def _windows(options: WindowOptions, data_options: DataOptions):
    """Returns how large images are cut, None if they are not."""
    from core.inference.windows import Windows

    if not options.cuts:
        return None
    size = options.window_size or data_options.train_crop_size
    return Windows(tuple(size), options.window_overlap, options.max_pixels)


def _measure(members, options, data_options, windows, info, num_images, backend):
    """Returns the result of one pass over the split."""
    from core import network
    from core.evaluation import evaluator as evaluation
    from datasets.pipeline import input_fn
    from utils.compat import tf

    def make_batches():
        return input_fn.eval_batches(
            data_options,
            info,
            split=options.eval_split,
            batch_size=options.eval_batch_size,
            pad_color=network.pad_color(members[0].spec),
            rank=backend.rank,
            ranks=backend.ranks,
        )

    try:
        return evaluation.run(
            make_batches,
            checkpoint_path=members[0].checkpoint_path,
            spec=members[0].spec,
            options=options,
            crop_size=data_options.eval_size,
            classes=info.classes,
            backend=backend,
            num_images=num_images,
            windows=windows,
            others=tuple(members[1:]),
        )
    except tf.errors.OpError:
        backend.raise_failure()
        # TensorFlow names no record; this does, if one is at fault.
        input_fn.explain_failure(data_options, info, options.eval_split, training=False)
        raise


def _publish(result, summary, logdir, info, joined, options):
    """Writes and shows the results."""
    from core.evaluation import report_page, results
    from utils import log

    notices = _notices(joined.saved, info)
    for notice in notices:
        logging.warning("%s", notice)
    page = None
    if options.report:
        page = report_page.page(result, summary, info.classes, joined.model, joined.saved, notices)
    results.write(logdir, summary, result, page, classes=info.classes, options=options)
    log.message(results.table(summary, result, info.classes))
    log.message(f"Results are in {logdir}.")


def _count_images(data_options: DataOptions, split: str, info, given: frozenset) -> int:
    """Returns the number of images of the split."""
    from datasets.pipeline import input_fn

    found = input_fn.count_images(data_options, split, info, needs_label=False)
    stated = data_options.num_evaluating_samples
    if "num_evaluating_samples" in given and stated != found:
        raise OptionError(
            f"--num_evaluating_samples is {stated}, but split {split} holds {found} images; leave "
            "the flag out or mend the records."
        )
    return found


def _settings(options: EvalOptions, data_options: DataOptions, windows, info) -> dict:
    """Returns what was evaluated and how, as plain values."""
    settings = {
        "dataset": info.name,
        "dataset_dir": data_options.dataset_dir,
        "eval_split": options.eval_split,
        "eval_scales": list(options.eval_scales),
        "add_flipped_images": options.add_flipped_images,
        "use_ema": options.use_ema,
        "eval_crop_size": list(data_options.eval_crop_size),
        "eval_batch_size": options.eval_batch_size,
        "min_resize_value": data_options.min_resize_value,
        "max_resize_value": data_options.max_resize_value,
        "resize_factor": data_options.resize_factor,
        "ignore_label": info.ignore_label,
    }
    if windows is not None:
        settings["window_size"] = list(windows.size)
        settings["window_overlap"] = windows.overlap
        settings["max_pixels"] = windows.max_pixels or windows.size[0] * windows.size[1]
    return settings


def _notices(saved: saved_options.SavedOptions, info) -> list:
    """Returns sentences about what fits only seemingly."""
    trained = saved.section("run").get("class_names")
    if trained is None or list(trained) == list(info.class_names):
        return []
    different = [
        f"{index} was {old}, is {new}"
        for index, (old, new) in enumerate(zip(trained, info.class_names))
        if old != new
    ]
    return [
        "The classes of this data set have other names than those of the training "
        f"({'; '.join(different[:5])}{'; ...' if len(different) > 5 else ''}): the scores mean "
        "something only if these are the same things."
    ]


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
