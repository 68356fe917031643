"""Segments images: masks, overlays, probabilities and run lengths at the size of each image.

  python predict.py --checkpoint_dir=RUN --input=photos --output_dir=results
  python predict.py --model=network.pb --input=photo.jpg --input='more/*.png' --output_dir=results \
      --save=index,palette,overlay,prob,rle

The options of the network, its sizes and its classes are those that training saved beside the
checkpoint. `docs/prediction.md` says what is written, and `--helpfull` lists every flag.
"""

from __future__ import annotations

import datetime
import json
import os

from absl import logging

import common
from datasets.files import photo_listing
from options import saved
from options.data import DataOptions
from options.device import DeviceOptions
from options.inference import WindowOptions
from options.network import NETWORK_RECORDS, NetworkSpec
from options.prediction import PredictOptions
from utils.errors import OptionError, UserError
from utils.files import write_text

OPTION_CLASSES = (PredictOptions, WindowOptions, *NETWORK_RECORDS, DataOptions, DeviceOptions)

SUMMARY_FILE = "predictions.json"
_SHOWN_FILES = 3


def main(flag_values):
    """Reads the flags and predicts."""
    predict(
        common.from_flags(PredictOptions, flag_values),
        NetworkSpec.from_flags(flag_values),
        common.from_flags(DataOptions, flag_values),
        common.from_flags(DeviceOptions, flag_values),
        window_options=common.from_flags(WindowOptions, flag_values),
        given=common.given_flags(flag_values),
    )


def predict(
    options: PredictOptions,
    spec: NetworkSpec,
    data_options: DataOptions,
    device_options: DeviceOptions,
    *,
    window_options: WindowOptions | None = None,
    given: frozenset = frozenset(),
) -> dict:
    """Predicts images and writes the results.

    Args:
      options: What is predicted, by which model, and what is saved.
      spec: The network; what is not in `given` is taken from the checkpoint's folder.
      data_options: Sizes and classes; the same.
      device_options: The device.
      window_options: How large images are cut; unset: not at all.
      given: Names of the options that were given on purpose.

    Returns:
      The content of `predictions.json`.

    Raises:
      OptionError: If an option cannot be used.
      UserError: If the model, the input or the folder is not as it must be, or, after all others
        are written, if an image could not be predicted.
    """
    options.require_model()
    if options.output_dir is None or not options.input:
        missing = "--output_dir" if options.output_dir is None else "--input"
        raise OptionError(f"{missing} is missing; see --help.")
    photos = photo_listing.find(options.input, leave_out=options.output_dir)

    # TensorFlow is loaded after the options were found good.
    from core.inference.writers import PredictionFiles
    from deployment import backend as backends

    backend = backends.create(device_options)
    backend.start()
    try:
        with _segmenter(
            options, window_options, spec, data_options, given, backend
        ) as network, PredictionFiles(
            options.output_dir, options.save, network.classes, plain_names=options.plain_names
        ) as files:
            left = _left_to_do(photos, files, options)
            outcome = _run(left, network, files)
            summary = _summary(photos, outcome, network)
    finally:
        backend.stop()
    _publish(summary, outcome, options.output_dir)
    return summary


def _segmenter(options, window_options, spec, data_options, given, backend):
    """Returns the network, with the classes that the options name."""
    from core.inference import segmenter

    if options.model:
        _refuse_network_flags(spec, given)
    named, usual = _named_classes(data_options, given)
    network = segmenter.load(
        _source(options),
        classes=named,
        usual_classes=usual,
        spec=spec,
        data_options=data_options,
        scales=options.eval_scales,
        flip=options.add_flipped_images,
        windows=_windows(window_options),
        use_ema=options.use_ema,
        given=given,
        change_network=options.change_network,
        session_config=backend.session_config(),
    )
    if options.label_ids:
        network.classes = network.classes.with_mask_values(_label_ids(options.label_ids))
    return network


def _source(options):
    """Returns the path of the model, or those of the checkpoints."""
    from core.evaluation import select
    from core.inference import exported_model

    if options.checkpoint_dir:
        return select.chosen(options.checkpoint_dir, options.checkpoint)
    if options.checkpoint_path:
        return options.checkpoint_path
    if not exported_model.is_exported_model(options.model):
        raise UserError(
            f"--model={options.model} is neither a frozen graph (a .pb file) nor the folder of a "
            "SavedModel; a checkpoint is named by --checkpoint_path."
        )
    return options.model


def _windows(options):
    """Returns how large images are cut, None if they are not."""
    from core.inference.windows import Windows

    if options is None or not options.cuts:
        return None
    return Windows(options.window_size, options.window_overlap, options.max_pixels)


def _refuse_network_flags(spec, given):
    of_the_network = {*spec.to_dict(), *saved.DATA_OF_THE_NETWORK}
    useless = sorted(given.intersection(of_the_network))
    if useless:
        raise OptionError(
            f"--{useless[0]} has no effect with --model, which holds the network as it was "
            "exported; leave it out."
        )


def _named_classes(data_options, given) -> tuple:
    """Returns the classes that were named on purpose, or None; those of --dataset otherwise."""
    from core.inference import classes
    from datasets import info as dataset_info
    from utils import variants

    known = variants.lookup(dataset_info.KNOWN, data_options.dataset, "data set")
    named = known if "dataset" in given else None
    if data_options.num_classes is not None:
        names = dataset_info.default_names(data_options.num_classes)
        return classes.create(names), None
    if data_options.dataset_dir is not None:
        named = dataset_info.load(data_options, given)
    usual = classes.create(known.class_names, known.colors)
    return named and classes.create(named.class_names, named.colors), usual


def _label_ids(values) -> tuple:
    """Returns the mask value of each class."""
    from datasets import class_names

    if values == ("cityscapes",):
        return class_names.CITYSCAPES_LABEL_IDS
    if not all(value.isdigit() for value in values):
        raise OptionError(
            f"--label_ids={','.join(values)} is neither cityscapes nor one number per class."
        )
    return tuple(int(value) for value in values)


def _left_to_do(photos, files, options) -> list:
    """Returns the photos to predict, after the files of an earlier run were looked at.

    Raises:
      UserError: If results would be replaced without consent.
    """
    existing = files.existing(photo.name for photo in photos)
    if existing and not (options.skip_existing or options.overwrite):
        shown = ", ".join(existing[:_SHOWN_FILES]) + (", ..." if existing[_SHOWN_FILES:] else "")
        raise UserError(
            f"--output_dir={options.output_dir} already holds {len(existing)} of the files that "
            f"this would write ({shown}); pass --skip_existing to keep them and go on, "
            "--overwrite to replace them, or another folder."
        )
    files.open(keep=options.skip_existing)
    if not options.skip_existing:
        return photos
    left = [photo for photo in photos if not files.is_complete(photo.name)]
    logging.info(
        "%d of %d images have their results already.", len(photos) - len(left), len(photos)
    )
    return left


def _run(photos, network, files):
    """Predicts the photos; returns what became of them."""
    from core.inference import pipeline
    from datasets.files.image_files import BadFileError
    from datasets.files.photos import PhotoReader

    with PhotoReader() as reader:
        return pipeline.run(
            photos,
            read=lambda photo: reader.read(photo.path),
            segment=lambda image: network.segment(image, probabilities=files.needs_probabilities),
            write=lambda photo, image, result: files.write(photo.name, image, *result),
            bad_photo=(BadFileError,),
        )


def _summary(photos, outcome, network) -> dict:
    """Returns what was done as plain values."""
    from core.runs import folder as run_folder

    sizes = {photo.name: size for photo, size in outcome.done}
    reasons = {photo.name: reason for photo, reason in outcome.failed}
    images = []
    for photo in photos:
        entry = {"name": photo.name, "path": photo.path}
        if photo.name in reasons:
            entry.update(state="failed", reason=reasons[photo.name])
        elif photo.name in sizes:
            entry.update(state="done", height=sizes[photo.name][0], width=sizes[photo.name][1])
        else:
            entry.update(state="kept")
        images.append(entry)
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "images": images,
        "classes": network.classes.table(),
        "model": network.description,
        "versions": run_folder.versions(),
        "commit": run_folder.git_commit(),
        "date": now.strftime("%Y-%m-%d %H:%M UTC"),
    }


def _publish(summary, outcome, folder):
    """Writes the summary and shows it.

    Raises:
      UserError: If images failed.
    """
    from utils import log

    path = os.path.join(folder, SUMMARY_FILE)
    try:
        write_text(path, json.dumps(summary, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from error
    log.message(f"{len(outcome.done)} images were predicted; results are in {folder}.")
    if outcome.failed:
        for _, reason in outcome.failed:
            logging.error("%s.", reason)
        raise UserError(
            f"{len(outcome.failed)} of {len(outcome.done) + len(outcome.failed)} images could not "
            f"be predicted (above, and in {path}); the others are done."
        )


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
