"""Draws the predictions of a split, of one checkpoint or of each new one."""

from __future__ import annotations

import dataclasses
import functools
import itertools

from absl import logging

from core.evaluation import select
from core.inference import pipeline, segmenter
from core.inference.writers import VisFiles
from datasets.dataset import Dataset
from datasets.files import photos
from datasets.known import CITYSCAPES, CITYSCAPES_LABEL_IDS
from datasets.records import tfrecord
from deployment import backend as backends
from options import averaging
from options.config import Config
from utils import colormap, log
from utils.classes import ClassSet
from utils.errors import BadImageError, OptionError, UserError


def main(config: Config):
    """Draws.

    Args:
      config: The options of `visualize`; those of network and sizes that were not given are taken
        from the checkpoint's folder.

    Raises:
      OptionError: If an option cannot be used.
      UserError: If the checkpoint, the data or the folder cannot be used, or if an image could not
        be predicted.
    """
    options = config.visualization
    dataset = Dataset.open(config)
    index = dataset.index(options.vis_split)
    classes = _classes(config, dataset.classes)
    files = VisFiles(options.vis_logdir, classes, raw=options.also_save_raw_predictions)
    backend = backends.create(config.device)
    load = functools.partial(
        segmenter.load,
        config=_with_crop(config),
        classes=classes,
        use_ema=options.use_ema,
        change_network=options.change_network,
        session_config=backend.session_config(),
        postprocess=options.postprocess,
        **dataclasses.asdict(averaging.of(options, options.eval_scales)),
    )
    backend.start()
    try:
        for paths in _checkpoints(options):
            _draw(paths, load, index, files)
    finally:
        backend.stop()


def _with_crop(config: Config) -> Config:
    """Returns the options with `--vis_crop_size`, if it was given, as the crop."""
    if "vis_crop_size" not in config.given:
        return config
    return config.with_values(
        {"eval_crop_size": config.visualization.vis_crop_size}, config.origin("vis_crop_size")
    )


def _checkpoints(options):
    """Yields the checkpoints that are named, or each new one while a training writes them."""
    if options.checkpoint_path:
        yield list(options.checkpoint_path)
        return
    if not options.watches:
        yield select.chosen(options.checkpoint_dir, options.checkpoint)
        return
    found = select.new_checkpoints(options.checkpoint_dir, interval=options.eval_interval_secs)
    for path in itertools.islice(found, options.max_number_of_iterations):
        yield [path]


def _classes(config: Config, classes: ClassSet) -> ClassSet:
    """Returns the classes in the colours to show, with the numbers that raw masks hold."""
    if "colormap_type" in config.given:
        name = config.visualization.colormap_type
        colors = colormap.create(name)[: classes.count]
        if len(colors) < classes.count:
            raise OptionError(
                f"--colormap_type={name} has {len(colors)} colours, but data set {classes.name} "
                f"has {classes.count} classes; leave the flag out."
            )
        classes = dataclasses.replace(classes, colors=colors)
    if classes.names == CITYSCAPES.names:
        return classes.with_mask_values(CITYSCAPES_LABEL_IDS)
    return classes


def _draw(paths, load, index, files):
    """Draws the predictions of one checkpoint, or of the mean of several.

    Raises:
      UserError: If images could not be predicted; the others are drawn.
    """

    def read(number):
        record = tfrecord.deserialize(index.read(number))
        names[number] = record.name
        # The input pipeline takes pixels as they are stored.
        return reader.decode(record.image, f"image {record.name}", upright=False)

    def write(number, image, result):
        files.write(number, names[number], image, result.labels)

    names, shown = {}, " + ".join(paths)
    logging.info("Drawing the predictions of %s.", shown)
    with load(paths) as network, photos.PhotoReader() as reader:
        outcome = pipeline.run(
            range(len(index)),
            read=read,
            segment=network.segment,
            write=write,
            bad_photo=(BadImageError, ValueError),
        )
    log.message(f"Drew {len(outcome.done)} images of {shown} in {files.folder}.")
    for _, reason in outcome.failed:
        logging.error("%s.", reason)
    if outcome.failed:
        raise UserError(
            f"{len(outcome.failed)} of {len(index)} images could not be predicted (see above)."
        )
