"""Exports a checkpoint: finds out its network, classes and images, and runs the exporter."""

from __future__ import annotations

import contextlib
import os

import numpy as np

from core import network
from core.checkpoints import restore
from core.evaluation import select
from core.export import exporter
from core.export.artifact import Network
from core.inference import classes as class_lists
from core.inference import steps, thresholds
from core.inference.predictor import Member
from datasets import synthetic_scenes
from datasets.dataset import Dataset
from datasets.files import photo_listing, photos
from datasets.known import KNOWN
from datasets.records import tfrecord
from deployment import backend as backends
from options import averaging
from options import saved as saved_options
from options.config import Config
from utils import files
from utils.classes import ClassSet, default_names
from utils.errors import BadImageError, UserError


def main(config: Config) -> dict:
    """Exports a checkpoint.

    Args:
      config: The options of `export`; those of network and sizes that were not given are taken
        from the checkpoint's folder.

    Returns:
      The content of the JSON file beside the exported files.

    Raises:
      OptionError: If an option cannot be used with this checkpoint, or a format cannot be written
        on this machine.
      UserError: If the checkpoint or the images cannot be used, or an exported file does not agree
        with the checkpoint.
    """
    options = config.export
    folder = options.folders()[0]
    saved = saved_options.load(folder)
    # A data set counts only if it was given now: that of the training may be gone.
    has_data = config.data.dataset_dir is not None
    config = saved_options.join(config, saved, change_network=options.change_network)
    crop_size = _crop_size(config, saved)
    formats, unavailable = exporter.split_by_available(options)
    options = options.replace(format=formats)
    network.check(config.spec, crop_size=crop_size)
    path = options.checkpoint_path or select.chosen(folder, options.checkpoint)[0]
    if options.use_ema:
        restore.averages_of(path)
    dataset = Dataset.open(config) if has_data else None
    classes = _classes(path, config, dataset, saved)
    samples, representative = _samples(options, dataset)
    with _started(config) as backend:
        described = exporter.run(
            _network(config, classes, crop_size, path),
            checkpoint_path=path,
            export_options=options,
            samples=samples,
            representative=representative,
            backend=backend,
        )
    if unavailable:
        raise UserError(f"exported {', '.join(formats)}, but: {' '.join(unavailable)}")
    return described


@contextlib.contextmanager
def _started(config: Config):
    """Gives the started device, in full precision."""
    backend = backends.create(config.device.replace(precision_mode="fp32"))
    backend.start()
    try:
        yield backend
    finally:
        backend.stop()


def _network(config: Config, classes: ClassSet, crop_size, path: str) -> Network:
    """Returns the network as it is exported."""
    member = Member(path, config.spec, config.export.use_ema)
    return Network(
        spec=config.spec,
        classes=classes,
        crop_size=crop_size,
        averaging=averaging.of(config.export, config.export.inference_scales),
        pad_color=network.pad_color(config.spec),
        resize=_resize(config.input),
        thresholds=thresholds.of_checkpoints(config.task, classes, [member]),
        postprocess=_postprocess(config, classes),
    )


def _postprocess(config: Config, classes: ClassSet) -> tuple:
    """Returns the texts of the steps after the threshold, which the metadata carry."""
    texts = config.export.postprocess
    steps.check_storable(texts)
    # Refuses classes that are not there.
    steps.create(texts, classes)
    return tuple(steps.texts_of(texts))


def _crop_size(config: Config, saved) -> tuple:
    """Returns the (height, width) that the network sees."""
    # A run that evaluates each image at its own size has no crop; a graph needs one.
    if "eval_crop_size" not in saved.values() or "crop_size" in config.given:
        return config.export.crop_size
    return config.input.eval_size or config.export.crop_size


def _resize(options) -> dict | None:
    """Returns how images are resized first, as arguments of `image_ops.size_in_range`."""
    if options.min_resize_value is None:
        return None
    return {
        "min_size": options.min_resize_value,
        "max_size": options.max_resize_value,
        "factor": options.resize_factor,
        "keep_aspect_ratio": options.keep_aspect_ratio,
    }


def _classes(path: str, config: Config, dataset, saved) -> ClassSet:
    """Returns the classes of the network; see `core.inference.classes`."""
    named = None if dataset is None else dataset.classes
    if named is None and "num_classes" in config.given:
        names = default_names(config.data.num_classes)
        named = ClassSet(names, ignore_label=config.data.ignore_label)
    known = KNOWN.get(config.data.dataset)
    return class_lists.choose(
        restore.num_outputs(path, network.architecture(config.spec).classifier),
        named=named,
        saved=saved.run,
        usual=known and known.classes,
        options=config.task,
    )


def _samples(options, dataset) -> tuple:
    """Returns the images to check on, and those that set ranges (or None)."""
    samples = _given_images(
        "--check_images", options.check_images, options.num_check_images
    ) or _of_split(dataset, options.check_split, options.num_check_images)
    representative = None
    if "tflite" in options.format:
        representative = _given_images(
            "--representative_images",
            options.representative_images,
            options.num_representative_images,
        ) or _of_split(dataset, options.representative_split, options.num_representative_images)
    return samples or _drawn(options.num_check_images), representative


def _given_images(flag: str, folder: str | None, count: int):
    """Returns images of a folder, spread evenly over its names; None where none was named.

    Raises:
      UserError: If the folder is missing or has no image, or one cannot be read.
    """
    if not folder:
        return None
    if not os.path.isdir(folder):
        raise UserError(f"{flag}={folder} is not a folder; name a folder of images.")
    names = [
        name
        for name in sorted(os.listdir(folder))
        if photo_listing.is_image(name) and not files.is_hidden(name)
    ]
    if not names:
        raise UserError(f"{flag}={folder} holds no image.")
    found = []
    with photos.PhotoReader() as reader:
        for index in _spread(len(names), count):
            try:
                found.append(reader.read(os.path.join(folder, names[index])))
            except BadImageError as error:
                raise UserError(f"{flag}: {error}; leave it out.") from error
    return exporter.Samples(found, f"folder {folder}")


def _of_split(dataset, split: str, count: int):
    """Returns images of a split, spread evenly over it; None without a data set."""
    if dataset is None:
        return None
    index = dataset.index(split)
    found = []
    with photos.PhotoReader() as reader:
        for number in _spread(len(index), count):
            name = index.name(number)
            try:
                record = tfrecord.deserialize(index.read(number))
                found.append(reader.decode(record.image, name, upright=False))
            except (ValueError, BadImageError) as error:
                raise UserError(f"{name} cannot be used: {error}.") from error
    return exporter.Samples(found, f"split {split} of {dataset.config.data.dataset_dir}")


def _spread(number: int, limit: int) -> list:
    """Returns at most `limit` of 0 to number - 1, evenly spread."""
    return [int(index) for index in np.linspace(0, number - 1, min(number, limit)).round()]


def _drawn(count: int):
    """Returns synthetic scenes, where no photos were given."""
    random = np.random.RandomState(0)
    scenes = [synthetic_scenes.draw(random, difficulty=0.3)[0] for _ in range(count)]
    return exporter.Samples(
        scenes, "synthetic scenes: no --check_images or --dataset_dir was given"
    )
