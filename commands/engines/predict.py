"""Segments photos and writes the results."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os

from absl import logging

from core.evaluation import select
from core.inference import exported_model, pipeline, segmenter
from core.inference.writers import PredictionFiles
from core.runs import folder as run_folder
from datasets.dataset import Dataset
from datasets.files import photo_listing
from datasets.files.photos import PhotoReader
from datasets.known import CITYSCAPES_LABEL_IDS, KNOWN
from deployment import backend as backends
from options import averaging
from options.config import Config
from utils import files as output_files
from utils import log, variants
from utils.classes import ClassSet, default_names
from utils.errors import BadImageError, OptionError, UserError

SUMMARY_FILE = "predictions.json"
_SHOWN_FILES = 3


def main(config: Config) -> dict:
    """Predicts images and writes the results.

    Args:
      config: The options of `predict`; those of network and sizes that were not given are taken
        from the checkpoint's folder.

    Returns:
      The content of `predictions.json`.

    Raises:
      OptionError: If an option cannot be used.
      UserError: If the model, the input or the folder cannot be used, or, after all others are
        written, if an image could not be predicted.
    """
    options = config.prediction
    photos = photo_listing.find(options.input, leave_out=options.output_dir)
    backend = backends.create(config.device)
    backend.start()
    try:
        with _segmenter(config, backend) as network, PredictionFiles(
            options.output_dir, options.save, network.classes, plain_names=options.plain_names
        ) as files:
            left = _left_to_do(photos, files, options)
            outcome = _run(left, network, files)
            summary = _summary(photos, outcome, network)
    finally:
        backend.stop()
    _publish(summary, outcome, options.output_dir)
    return summary


def _segmenter(config: Config, backend):
    """Returns the network, with the classes that the options name."""
    options = config.prediction
    named, usual = _named_classes(config)
    network = segmenter.load(
        _source(options),
        config=config,
        classes=named,
        usual_classes=usual,
        use_ema=options.use_ema,
        change_network=options.change_network,
        session_config=backend.session_config(),
        postprocess=options.postprocess,
        **dataclasses.asdict(averaging.of(options, options.eval_scales)),
    )
    if options.label_ids:
        network.classes = network.classes.with_mask_values(_label_ids(options.label_ids))
    return network


def _source(options):
    """Returns the path of the model, or those of the checkpoints."""
    if options.checkpoint_dir:
        return select.chosen(options.checkpoint_dir, options.checkpoint)
    if options.checkpoint_path:
        return options.checkpoint_path
    if not exported_model.is_exported_model(options.model):
        raise UserError(
            f"--model={options.model} is neither a frozen graph (a .pb file) nor the folder of a "
            "SavedModel; for a checkpoint pass --checkpoint_path."
        )
    return options.model


def _named_classes(config: Config) -> tuple:
    """Returns the classes that were given (None without), and those of --dataset."""
    data = config.data
    known = variants.lookup(KNOWN, data.dataset, "data set").classes
    if data.num_classes is not None:
        return ClassSet(default_names(data.num_classes)), None
    if data.dataset_dir is not None:
        return Dataset.open(data, config.given).classes, known
    return known if "dataset" in config.given else None, known


def _label_ids(values) -> tuple:
    """Returns the mask value of each class."""
    if values == ("cityscapes",):
        return CITYSCAPES_LABEL_IDS
    if not all(value.isdigit() for value in values):
        raise OptionError(
            f"--label_ids={','.join(values)} is neither cityscapes nor one number per class."
        )
    return tuple(int(value) for value in values)


def _left_to_do(photos, files, options) -> list:
    """Returns the photos without results from an earlier run.

    Raises:
      UserError: If results would be replaced, and --overwrite was not given.
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
    """Predicts the photos; returns which were done and which failed."""
    with PhotoReader() as reader:
        return pipeline.run(
            photos,
            read=lambda photo: reader.read(photo.path),
            segment=lambda image: network.segment(image, probabilities=files.needs_probabilities),
            write=lambda photo, image, result: files.write(photo.name, image, *result),
            bad_photo=(BadImageError,),
        )


def _summary(photos, outcome, network) -> dict:
    """Returns what was done as plain values."""
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
    path = os.path.join(folder, SUMMARY_FILE)
    try:
        output_files.write_text(path, json.dumps(summary, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}.") from error
    done = len(outcome.done)
    log.message(f"Segmented {done} image{'s' * (done != 1)}; results are in {folder}.")
    if outcome.failed:
        for _, reason in outcome.failed:
            logging.error("%s.", reason)
        raise UserError(
            f"{len(outcome.failed)} of {done + len(outcome.failed)} images could not be predicted "
            f"(see above, and {path}); the others are done."
        )
