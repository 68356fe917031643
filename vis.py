"""Pictures of the predictions of a split, as the DeepLab family's vis.py makes them.

  python vis.py --checkpoint_dir=RUN --dataset_dir=DIR --vis_logdir=pictures \
      --also_save_raw_predictions

`segmentation_results/000000_image.png` and `000000_prediction.png` show the first image, and
`raw_segmentation_results/NAME.png` holds its class numbers. For photos there is `predict.py`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

from absl import logging

import common
from options.data import DataOptions
from options.device import DeviceOptions
from options.network import NETWORK_RECORDS, NetworkSpec
from options.prediction import VisOptions
from utils.errors import OptionError, UserError

OPTION_CLASSES = (VisOptions, *NETWORK_RECORDS, DataOptions, DeviceOptions)


def main(flag_values):
    """Reads the flags and draws."""
    visualize(
        common.from_flags(VisOptions, flag_values),
        NetworkSpec.from_flags(flag_values),
        common.from_flags(DataOptions, flag_values),
        common.from_flags(DeviceOptions, flag_values),
        given=common.given_flags(flag_values),
    )


def visualize(
    options: VisOptions,
    spec: NetworkSpec,
    data_options: DataOptions,
    device_options: DeviceOptions,
    *,
    given: frozenset = frozenset(),
):
    """Draws the predictions of one checkpoint, or of each new one.

    Args:
      options: What is drawn.
      spec: The network; what is not in `given` is taken from the checkpoint's folder.
      data_options: The data; the same.
      device_options: The device.
      given: Names of the options that were given on purpose.

    Raises:
      OptionError: If an option cannot be used.
      UserError: If the checkpoint, the data or the folder is not as it must be, or if an image
        could not be predicted.
    """
    options.folders()
    for name in ("vis_logdir", "dataset_dir"):
        if getattr(data_options if name == "dataset_dir" else options, name) is None:
            raise OptionError(f"--{name} is missing; see --help.")

    # TensorFlow is loaded after the options were found good.
    from core.inference import vis_files
    from datasets import info as dataset_info
    from datasets.records import shards
    from deployment import backend as backends

    info = dataset_info.load(data_options, given)
    index = shards.index(data_options.dataset_dir, options.vis_split)
    classes = _classes(options, info, given)
    files = vis_files.VisFiles(options.vis_logdir, classes, raw=options.also_save_raw_predictions)
    backend = backends.create(device_options)
    load = _loader(options, spec, data_options, classes, backend, given)
    backend.start()
    try:
        for paths in _checkpoints(options):
            _draw(paths, load, index, files)
    finally:
        backend.stop()


def _loader(options, spec, data_options, classes, backend, given):
    """Returns the function from checkpoints to the network that predicts."""
    from core.inference import segmenter

    if "vis_crop_size" in given:
        data_options = dataclasses.replace(data_options, eval_crop_size=options.vis_crop_size)
        given = given | {"eval_crop_size"}
    return functools.partial(
        segmenter.load,
        classes=classes,
        spec=spec,
        data_options=data_options,
        scales=options.eval_scales,
        flip=options.add_flipped_images,
        given=given,
        use_ema=options.use_ema,
        change_network=options.change_network,
        session_config=backend.session_config(),
    )


def _checkpoints(options):
    """Yields the checkpoints that are named, or each new one while a training writes them."""
    from core.evaluation import select

    if options.checkpoint_path:
        yield list(options.checkpoint_path)
        return
    if not options.watches:
        yield select.chosen(options.checkpoint_dir, options.checkpoint)
        return
    found = select.new_checkpoints(options.checkpoint_dir, interval=options.eval_interval_secs)
    for path in itertools.islice(found, options.max_number_of_iterations):
        yield [path]


def _classes(options, info, given):
    """Returns the classes in the colours to show, with the numbers that raw masks hold."""
    from core.inference import classes
    from datasets import class_names
    from utils import colormap

    colors = info.colors
    if "colormap_type" in given:
        colors = colormap.create(options.colormap_type)[: info.num_classes].tolist()
    if len(colors) < info.num_classes:
        raise OptionError(
            f"--colormap_type={options.colormap_type} has {len(colors)} colours, but data set "
            f"{info.name} has {info.num_classes} classes; leave the flag out."
        )
    made = classes.create(info.class_names, colors)
    if tuple(info.class_names) == class_names.CITYSCAPES:
        made = made.with_mask_values(class_names.CITYSCAPES_LABEL_IDS)
    return made


def _draw(paths, load, index, files):
    """Draws the predictions of one checkpoint, or of the mean of several.

    Raises:
      UserError: If images could not be predicted; the others are drawn.
    """
    from core.inference import pipeline
    from datasets.files import photos
    from datasets.records import tfrecord
    from utils import log

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
            bad_photo=(photos.BadFileError, ValueError),
        )
    log.message(f"{len(outcome.done)} images of {shown} are drawn in {files.folder}.")
    for _, reason in outcome.failed:
        logging.error("%s.", reason)
    if outcome.failed:
        raise UserError(
            f"{len(outcome.failed)} of {len(index)} images could not be predicted (above)."
        )


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
