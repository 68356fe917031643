"""Exports a checkpoint for use elsewhere: frozen graph, SavedModel, TFLite, ONNX, Ascend's om.

  python export_model.py --checkpoint_dir=RUN --export_path=OUT/model.pb
  python export_model.py --checkpoint_path=RUN/model.ckpt-30000 --export_path=OUT/model.pb \
      --format=frozen,savedmodel,tflite,onnx,om --check_images=PHOTOS

The options of the network are those that training saved beside the checkpoint. Each artefact is
compared with the checkpoint before it gets its name. `docs/export.md` describes the files.
"""

from __future__ import annotations

import contextlib
import dataclasses

from absl import logging

import common
from options import saved as saved_options
from options.data import DataOptions
from options.device import DeviceOptions
from options.export import ExportOptions
from options.network import NETWORK_RECORDS, NetworkSpec
from utils.errors import OptionError, UserError

OPTION_CLASSES = (*NETWORK_RECORDS, ExportOptions, DataOptions, DeviceOptions)


def main(flag_values):
    """Reads the flags and exports."""
    export(
        NetworkSpec.from_flags(flag_values),
        common.from_flags(ExportOptions, flag_values),
        common.from_flags(DataOptions, flag_values),
        common.from_flags(DeviceOptions, flag_values),
        given=common.given_flags(flag_values),
    )


def export(
    spec: NetworkSpec,
    options: ExportOptions,
    data_options: DataOptions,
    device_options: DeviceOptions,
    *,
    given: frozenset = frozenset(),
) -> dict:
    """Exports a checkpoint.

    Args:
      spec: The network; what is not in `given` is taken from the checkpoint's folder.
      options: The checkpoint, the formats, the files.
      data_options: How images are resized, and the classes; likewise.
      device_options: The device.
      given: Names of the options that were given on purpose.

    Returns:
      The content of the JSON file beside the artefacts.

    Raises:
      OptionError: If an option cannot be used with this checkpoint, or a format cannot be written
        on this machine.
      UserError: If the checkpoint or the images are not as they must be, or an artefact does not
        agree with the checkpoint.
    """
    folder = options.folders()[0]
    if not options.export_path or options.export_path.endswith("/"):
        raise OptionError("--export_path is missing; name the file, such as OUT/model.pb.")
    _check_device(device_options)
    saved = saved_options.load(folder)
    dataset_dir = data_options.dataset_dir
    spec, data_options = _with_saved(saved, spec, options, data_options, given)
    crop_size = _crop_size(options, data_options, saved, given)

    # TensorFlow is loaded after the options were found good.
    from core import network
    from core.checkpoints import restore
    from core.evaluation import select
    from core.export import exporter

    exporter.check_available(options)
    network.check(spec, crop_size=crop_size)
    path = options.checkpoint_path or select.chosen(folder, options.checkpoint)[0]
    if options.use_ema:
        restore.averages_of(path)
    # Only a folder given now: the one of the training may be gone, and is not needed.
    info = _dataset_info(data_options, given) if dataset_dir else None
    held = restore.num_outputs(path, network.architecture(spec).classifier)
    num_classes = _num_classes(path, held, data_options, info, saved, given)
    samples, representative = _samples(options, data_options, info)
    with _started(device_options) as backend:
        return exporter.run(
            _network(spec, num_classes, crop_size, options, data_options),
            checkpoint_path=path,
            export_options=options,
            classes=_classes(num_classes, info, saved, data_options),
            samples=samples,
            representative=representative,
            backend=backend,
        )


@contextlib.contextmanager
def _started(device_options: DeviceOptions):
    """Gives the started device, in full precision."""
    from deployment import backend as backends

    backend = backends.create(dataclasses.replace(device_options, precision_mode="fp32"))
    backend.start()
    try:
        yield backend
    finally:
        backend.stop()


def _network(spec, num_classes, crop_size, options, data_options):
    """Returns the network as it is exported."""
    from core import network
    from core.export import graph

    return graph.Network(
        spec=spec,
        num_classes=num_classes,
        crop_size=crop_size,
        scales=options.inference_scales,
        flip=options.add_flipped_images,
        pad_color=network.pad_color(spec),
        resize=_resize(data_options),
    )


def _check_device(device_options: DeviceOptions):
    """Raises OptionError for what an export cannot follow."""
    if device_options.rank != 1:
        raise OptionError(
            f"--rank={device_options.rank}: an export takes one process; leave the flag out."
        )
    if device_options.precision_mode not in ("auto", "fp32"):
        raise OptionError(
            f"--precision_mode={device_options.precision_mode}: exports are compared with the "
            "checkpoint in fp32; leave the flag out."
        )


def _with_saved(saved, spec, options, data_options, given):
    """Returns the options of network and data, with what was saved beside the checkpoint."""
    change = options.change_network
    return (
        saved_options.join(spec, saved, "model", given=given, change_network=change),
        saved_options.join(
            data_options,
            saved,
            "data",
            given=given,
            of_the_network=saved_options.DATA_OF_THE_NETWORK,
            change_network=change,
        ),
    )


def _crop_size(options, data_options, saved, given) -> tuple:
    """Returns the (height, width) that the network sees."""
    saved_size = data_options.eval_crop_size
    # A run whose evaluation takes each image at its own size has none; a graph needs one.
    has_one = saved.section("data") and all(isinstance(side, int) for side in saved_size)
    return saved_size if has_one and "crop_size" not in given else options.crop_size


def _resize(data_options: DataOptions) -> dict | None:
    """Returns how images are resized first, as arguments of `image_ops.size_in_range`."""
    if data_options.min_resize_value is None:
        return None
    return {
        "min_size": data_options.min_resize_value,
        "max_size": data_options.max_resize_value,
        "factor": data_options.resize_factor,
        "keep_aspect_ratio": data_options.keep_aspect_ratio,
    }


def _dataset_info(data_options, given):
    from datasets import info

    return info.load(data_options, given)


def _num_classes(path, held, data_options, info, saved, given) -> int:
    """Returns the number of classes: what is said of it must be what the checkpoint holds.

    Raises:
      OptionError: If nothing says it.
      UserError: If the checkpoint holds another number than is said.
    """
    if "num_classes" in given:
        stated, by = data_options.num_classes, "--num_classes"
    elif info is not None:
        stated, by = info.num_classes, f"data set {info.name}"
    else:
        stated, by = saved.section("run").get("num_classes"), saved.path
    if stated is None and held is None:
        raise OptionError(f"{path} does not say how many classes it has; pass --num_classes.")
    if stated is not None and held is not None and stated != held:
        raise UserError(
            f"checkpoint {path} predicts {held} classes, but {by} says {stated}; leave the flag "
            "out, or name the checkpoint or data set that belongs to it."
        )
    return held if stated is None else stated


def _classes(num_classes: int, info, saved, data_options) -> dict:
    """Returns what the metadata says of the classes."""
    from datasets import info as dataset_info

    run = saved.section("run")
    if info is None and run.get("num_classes") == num_classes:
        return {key: run.get(key) for key in ("dataset", "class_names", "colors", "ignore_label")}
    known = dataset_info.KNOWN.get(data_options.dataset)
    if info is None and known is not None and known.num_classes == num_classes:
        logging.info("Names and colours of the classes are those of --dataset=%s.", known.name)
        info = known
    if info is None:
        logging.info("The classes have no known names; pass --dataset_dir or --dataset for them.")
        names, colors = (
            dataset_info.default_names(num_classes),
            dataset_info.default_colors(num_classes),
        )
        return _as_dict(None, names, colors, data_options.ignore_label)
    return _as_dict(info.name, info.class_names, info.colors, info.ignore_label)


def _as_dict(dataset, names, colors, ignore_label) -> dict:
    return {
        "dataset": dataset,
        "class_names": list(names),
        "colors": [list(color) for color in colors],
        "ignore_label": ignore_label,
    }


def _samples(options: ExportOptions, data_options, info) -> tuple:
    """Returns the images to check on, and those that set ranges (or None)."""
    samples = _given_images(
        "--check_images", options.check_images, options.num_check_images
    ) or _of_split(data_options, info, options.check_split, options.num_check_images)
    representative = None
    if "tflite" in options.format:
        representative = _given_images(
            "--representative_images",
            options.representative_images,
            options.num_representative_images,
        ) or _of_split(
            data_options, info, options.representative_split, options.num_representative_images
        )
    return samples or _drawn(options.num_check_images), representative


def _given_images(flag: str, folder: str | None, count: int):
    """Returns the images of a folder, None where none was named."""
    from core.export import exporter, images

    if not folder:
        return None
    return exporter.Samples(images.read_folder(folder, count, flag), f"folder {folder}")


def _of_split(data_options, info, split: str, count: int):
    """Returns images of a split, spread evenly over it; None without a data set."""
    from core.export import exporter, images
    from datasets import raw_records
    from datasets.records import shards, tfrecord

    if info is None:
        return None
    index = shards.index(raw_records.folder(data_options), split)
    found = []
    for number in images.spread(len(index), count):
        name = index.name(number)
        try:
            content = tfrecord.deserialize(index.read(number)).image
        except ValueError as error:
            raise UserError(f"{name} cannot be used: {error}.") from error
        found.append(images.decode(content, name))
    return exporter.Samples(found, f"split {split} of {data_options.dataset_dir}")


def _drawn(count: int):
    """Returns drawn scenes, where no photos were given."""
    import numpy as np

    from core.export import exporter
    from datasets import synthetic_scenes

    random = np.random.RandomState(0)
    scenes = [synthetic_scenes.draw(random, difficulty=0.3)[0] for _ in range(count)]
    return exporter.Samples(scenes, "drawn scenes: no --check_images or --dataset_dir was given")


if __name__ == "__main__":
    common.run(main, *OPTION_CLASSES)
