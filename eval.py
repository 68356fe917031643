"""Evaluates a checkpoint on a split: per-class IoU, mIoU, and a report to look at.

  python eval.py --checkpoint_dir=RUN --dataset_dir=DIR
  python eval.py --checkpoint_path=RUN/model.ckpt-30000 --dataset_dir=DIR --eval_split=test \
      --eval_scales=0.5 --eval_scales=1.0 --eval_scales=1.5 --add_flipped_images

The options of the network are those that training saved beside the checkpoint. `--helpfull` lists
every flag.
"""

from __future__ import annotations

import os

from absl import logging

import common
from core import saved_options
from core.options import EvalOptions, ModelOptions
from datasets.options import DataOptions
from deployment.options import DeviceOptions
from utils.errors import OptionError

OPTION_CLASSES = (ModelOptions, EvalOptions, DataOptions, DeviceOptions)


def main(flag_values):
    """Reads the flags and evaluates."""
    evaluate(
        common.from_flags(ModelOptions, flag_values),
        common.from_flags(EvalOptions, flag_values),
        common.from_flags(DataOptions, flag_values),
        common.from_flags(DeviceOptions, flag_values),
        given=common.given_flags(flag_values),
    )


def evaluate(
    model_options: ModelOptions,
    options: EvalOptions,
    data_options: DataOptions,
    device_options: DeviceOptions,
    *,
    given: frozenset = frozenset(),
) -> dict:
    """Evaluates a checkpoint and writes the results.

    Args:
      model_options: The network; what is not in `given` is taken from the checkpoint's folder.
      options: The checkpoint, and how it is evaluated.
      data_options: The data; what is not in `given` is taken from the checkpoint's folder.
      device_options: The device.
      given: Names of the options that were given on purpose.

    Returns:
      The content of `metrics.json`.

    Raises:
      OptionError: If an option cannot be used with this checkpoint or data.
      UserError: If the checkpoint, the data or the folder is not as it must be.
    """
    folder = _checkpoint_folder(options)
    saved = saved_options.load(folder)
    model_options, data_options = _with_saved(saved, model_options, options, data_options, given)

    # TensorFlow is loaded after the options were found good.
    from core import checkpoint, model, results
    from datasets import info as dataset_info
    from deployment import backend as backends
    from utils import report

    if options.report:
        report.check_available()
    model.check(model_options, crop_size=data_options.eval_crop_size)
    path = options.checkpoint_path or checkpoint.newest(folder)
    info = dataset_info.load(data_options, given)
    num_images = _count_images(data_options, options.eval_split, given)
    logdir = options.eval_logdir or os.path.join(folder, "eval")
    backend = backends.create(device_options)
    if backend.is_chief:
        results.prepare(logdir)
    logging.info(
        "Evaluating %s on split %s of %s, %s.",
        path,
        options.eval_split,
        info.name,
        data_options.dataset_dir,
    )
    backend.start()
    try:
        result = _measure(path, model_options, options, data_options, info, num_images, backend)
    finally:
        backend.stop()
    summary = results.summary(result, info, _settings(options, data_options, info), backend.name)
    if backend.is_chief:
        _publish(result, summary, logdir, info, model_options, options, saved)
    return summary


def _with_saved(saved, model_options, options, data_options, given):
    """Returns the options of network and data, with what was saved beside the checkpoint."""
    change = options.change_network
    return (
        saved_options.join(model_options, saved, "model", given=given, change_network=change),
        saved_options.join(
            data_options,
            saved,
            "data",
            given=given,
            of_the_network=saved_options.DATA_OF_THE_NETWORK,
            change_network=change,
        ),
    )


def _measure(path, model_options, options, data_options, info, num_images, backend):
    """Returns the result of one pass over the split."""
    from core import evaluate as evaluation
    from core import model
    from datasets import input_fn
    from utils.compat import tf

    def make_batches():
        return input_fn.eval_batches(
            data_options,
            info,
            split=options.eval_split,
            batch_size=options.eval_batch_size,
            pad_color=model.pad_color(model_options),
            rank=backend.rank,
            ranks=backend.ranks,
        )

    try:
        return evaluation.run(
            make_batches,
            checkpoint_path=path,
            model_options=model_options,
            options=options,
            crop_size=data_options.eval_crop_size,
            info=info,
            backend=backend,
            num_images=num_images,
        )
    except tf.errors.OpError:
        # TensorFlow names no record; this does, if one is at fault.
        input_fn.explain_failure(data_options, info, options.eval_split, training=False)
        raise


def _publish(result, summary, logdir, info, model_options, options, saved):
    """Writes and shows the results."""
    from core import evaluation_report, results
    from utils import log

    notices = _notices(saved, info)
    for notice in notices:
        logging.warning("%s", notice)
    page = None
    if options.report:
        page = evaluation_report.page(result, summary, info, model_options, saved, notices)
    results.write(logdir, summary, result.confusion, page, results.tag_of(options))
    log.message(results.table(summary))
    log.message(f"Results are in {logdir}.")


def _checkpoint_folder(options: EvalOptions) -> str:
    """Returns the folder of the checkpoint.

    Raises:
      OptionError: Unless exactly one of the two options names a checkpoint.
    """
    if bool(options.checkpoint_path) == bool(options.checkpoint_dir):
        problem = "both are given" if options.checkpoint_path else "neither is given"
        raise OptionError(
            "pass --checkpoint_dir=RUN for the newest checkpoint of a folder, or "
            f"--checkpoint_path=RUN/model.ckpt-STEP for a certain one; {problem}."
        )
    return options.checkpoint_dir or os.path.dirname(options.checkpoint_path) or "."


def _count_images(data_options: DataOptions, split: str, given: frozenset) -> int:
    """Returns the number of images of the split."""
    from datasets import input_fn

    found = input_fn.count_images(data_options, split)
    stated = data_options.num_evaluating_samples
    if "num_evaluating_samples" in given and stated != found:
        raise OptionError(
            f"--num_evaluating_samples is {stated}, but split {split} holds {found} images; leave "
            "the flag out or mend the records."
        )
    return found


def _settings(options: EvalOptions, data_options: DataOptions, info) -> dict:
    """Returns what was evaluated and how, as plain values."""
    return {
        "dataset": info.name,
        "dataset_dir": data_options.dataset_dir,
        "eval_split": options.eval_split,
        "eval_scales": list(options.eval_scales),
        "add_flipped_images": options.add_flipped_images,
        "eval_crop_size": list(data_options.eval_crop_size),
        "eval_batch_size": options.eval_batch_size,
        "min_resize_value": data_options.min_resize_value,
        "max_resize_value": data_options.max_resize_value,
        "resize_factor": data_options.resize_factor,
        "ignore_label": info.ignore_label,
    }


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
