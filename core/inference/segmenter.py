"""A trained network, ready to segment photos of any size; for programs and for `predict.py`.

    from core.inference import segmenter
    from datasets.files import photos

    with segmenter.load("runs/first") as network:
        result = network.segment(photos.read("street.jpg"))
        print(network.classes.names[result.labels[100, 200]])

What a network sees of a photo, the way of DeepLab's demonstrations:

1. Where training resized images (`min_resize_value`), the photo is resized the same way.
2. If it fits into the crop that the network was evaluated with, it is padded to that. It is never
   enlarged. What comes out is what evaluation measures, bit for bit.
3. Otherwise it is shrunk until it fits (a landscape crop is turned for a portrait photo), and the
   probabilities are brought back to its size. Objects then have about the size that they had in
   training, which in a large photo they would not.

With windows, or without a crop, nothing is shrunk: see `windows` and `predictor`.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from common import Options
from core.inference import classes as class_lists
from core.inference import exported_model, resize, trained_networks
from core.inference.classes import Classes
from core.inference.exported_model import ExportedModel
from core.inference.trained_networks import USUAL_CROP, Checkpoints, Exported
from core.inference.windows import Windows
from options import saved as saved_options
from options.network import NetworkSpec
from utils import image_ops
from utils.errors import OptionError, UserError

# Where `eval_crop_size` is this, images keep their own size.
_AUTO = "auto"
# Argument of `RangeResizer` -> the option.
_RANGE_OPTIONS = {
    "min_size": "min_resize_value",
    "max_size": "max_resize_value",
    "factor": "resize_factor",
    "keep_aspect_ratio": "keep_aspect_ratio",
}


class Segmentation(NamedTuple):
    """What a network says of a photo, at the photo's size.

    Attributes:
      labels: The most probable class of each pixel, uint8 [h, w].
      probabilities: float32 [h, w, classes], or None where they were not asked for.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None


class Segmenter:
    """Segments photos; made by `load`; a context manager.

    Attributes:
      classes: Names, colours and mask values of its classes.
      description: What it is, plain values for JSON.
    """

    def __init__(self, networks, classes: Classes, description: dict, resizer=None):
        """Takes what it is made of.

        Args:
          networks: One of the classes of `trained_networks`.
          classes: The classes.
          description: What it is.
          resizer: `resizing.RangeResizer`, or None.
        """
        self._networks = networks
        self._resizer = resizer
        self.classes = classes
        self.description = description

    def segment(self, image, *, probabilities: bool = False) -> Segmentation:
        """Segments a photo.

        Args:
          image: uint8 [h, w, 3], red, green, blue.
          probabilities: Whether the probability of each class is wanted too.

        Raises:
          ValueError: If the image has another shape or type.
          UserError: If the network gives no probabilities, but they are asked for.
        """
        image = np.asarray(image)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise ValueError(
                f"a photo is uint8 [h, w, 3], this one {image.dtype} {list(image.shape)}."
            )
        size = image.shape[:2]
        seen, network = self._prepare(image)
        labels_only = seen.shape[:2] == size or not self._networks.has_probabilities
        if not probabilities and labels_only:
            labels = network.labels(seen).astype(np.uint8)
            return Segmentation(resize.nearest_labels_at(labels, size), None)
        scores = network.probabilities(seen)
        if not probabilities:
            return Segmentation(resize.labels_at(scores, size), None)
        scores = resize.probabilities_at(scores, size)
        return Segmentation(scores.argmax(2).astype(np.uint8), scores)

    def _prepare(self, image):
        """Returns the image as the network shall see it, and the network for its size."""
        crop = self._networks.crop_size
        size = image.shape[:2] if self._resizer is None else self._resizer.size(*image.shape[:2])
        if crop is not None and (size[0] > crop[0] or size[1] > crop[1]):
            if self._networks.can_turn and (size[0] > size[1]) != (crop[0] > crop[1]):
                crop = crop[::-1]
            size = image_ops.fitting_size(size, crop)
            return image_ops.shrink(image, size), self._networks.for_crop(crop)
        if self._resizer is not None:
            image = self._resizer.resize(image)
        return image, self._networks.for_crop(crop)

    def close(self):
        """Frees memory and devices."""
        self._networks.close()
        if self._resizer is not None:
            self._resizer.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused_error):
        self.close()


def load(
    source,
    *,
    classes: Classes | None = None,
    usual_classes: Classes | None = None,
    spec: NetworkSpec | None = None,
    data_options: Options | None = None,
    scales=(1.0,),
    flip: bool = False,
    windows: Windows | None = None,
    use_ema: bool = False,
    given: frozenset = frozenset(),
    change_network: bool = False,
    session_config=None,
) -> Segmenter:
    """Loads a trained network, with the options, sizes and classes that were saved with it.

    Args:
      source: The folder of a run (its newest checkpoint), the prefix of a checkpoint, several of
        these (their probabilities are averaged), a frozen graph (.pb) or a SavedModel's folder.
      classes: Names and colours that win over saved ones.
      usual_classes: Those of a model that says nothing but their number, where it is the same.
      spec: The network of checkpoints that no options.json lies beside.
      data_options: A `DataOptions` record with the sizes, for such checkpoints.
      scales: Factors on the input size; their probabilities are averaged.
      flip: Whether each scale is run on the mirrored images too.
      windows: How large images are cut, instead of being shrunk; without a size they have that of
        the training's crop.
      use_ema: Whether the weights' averages over training are taken.
      given: Names of the options in those records that win over saved ones.
      change_network: Whether they may contradict what was saved about the network.
      session_config: From the backend.

    Raises:
      UserError: If there is no such model, or it cannot be used.
      OptionError: If an option contradicts what was saved, or has no effect on an exported model.
    """
    sources = [source] if isinstance(source, str) else list(source)
    if len(sources) == 1 and exported_model.is_exported_model(sources[0]):
        _refuse_for_exported(sources[0], tuple(scales) != (1.0,) or flip or windows, use_ema)
        return _load_exported(
            sources[0], (classes, usual_classes), data_options, given, session_config
        )
    found = trained_networks.find(sources, spec or NetworkSpec.of(), given, change_network, use_ema)
    saved = found[0].saved
    sizes = _sizes(saved, data_options, given, change_network)
    return _of_checkpoints(
        found,
        _classes(found[0].num_classes, classes, saved.section("run"), usual_classes),
        sizes,
        scales=tuple(scales),
        flip=flip,
        windows=_windows(windows, sizes, given),
        session_config=session_config,
    )


def _refuse_for_exported(path, sees_otherwise, use_ema):
    """Raises OptionError for what an exported model cannot follow."""
    if sees_otherwise:
        raise OptionError(
            f"{path} is an exported model, whose scales and flip were set when it was exported; "
            "leave out --eval_scales, --add_flipped_images and windows, or use the checkpoint."
        )
    if use_ema:
        raise OptionError(
            f"{path} is an exported model, whose weights were chosen when it was exported; leave "
            "out --use_ema, or use the checkpoint."
        )


def _load_exported(path, classes, data_options, given, session_config):
    crop_size = None if data_options is None else data_options.to_dict()["eval_crop_size"]
    model = ExportedModel(path, session_config)
    try:
        return _of_exported(model, classes, crop_size, given)
    except UserError:
        model.close()
        raise


def _sizes(saved, data_options, given, change_network) -> dict:
    """Returns the sizes that the network saw, by the names of the options."""
    if data_options is None:
        return saved.section("data")
    return saved_options.join(
        data_options,
        saved,
        "data",
        given=given,
        of_the_network=saved_options.DATA_OF_THE_NETWORK,
        change_network=change_network,
    ).to_dict()


def _windows(windows, sizes, given):
    """Returns windows with their size, None if images are not cut."""
    if windows is None:
        return None
    if "eval_crop_size" in given and _crop_size(sizes.get("eval_crop_size")) is not None:
        raise OptionError(
            "--window_size and --max_pixels cut images at their own size; pass "
            "--eval_crop_size=auto with them, or leave it out."
        )
    size = windows.size or sizes.get("train_crop_size") or USUAL_CROP
    return dataclasses.replace(windows, size=tuple(size))


def _of_checkpoints(found, classes, sizes, **settings):
    networks = Checkpoints(
        [item.member for item in found],
        num_classes=len(classes),
        crop_size=_crop_size(sizes.get("eval_crop_size")),
        **settings,
    )
    resizer = None
    if sizes.get("min_resize_value"):
        resizer = resize.RangeResizer(
            **{argument: sizes[name] for argument, name in _RANGE_OPTIONS.items() if name in sizes}
        )
    description = {
        "checkpoints": [item.member.checkpoint_path for item in found],
        "use_ema": found[0].member.averaged,
        "network": found[0].member.spec.to_dict(),
        "eval_scales": list(settings["scales"]),
        "add_flipped_images": settings["flip"],
        "crop_size": networks.crop_size and list(networks.crop_size),
        "windows": settings["windows"] and dataclasses.asdict(settings["windows"]),
    }
    return Segmenter(networks, classes, description, resizer)


def _of_exported(model, classes, crop_size, given):
    networks = Exported(model, _crop_size(crop_size))
    if "eval_crop_size" in given and (model.fixed_size or model.metadata):
        raise OptionError(
            f"--eval_crop_size has no effect on {model.path}, which brings images to its own size; "
            "leave it out."
        )
    description = {
        "model": model.path,
        "metadata": model.metadata,
        "crop_size": networks.crop_size and list(networks.crop_size),
    }
    named, usual = classes
    classes = _classes(model.num_classes, named, model.metadata, usual)
    return Segmenter(networks, classes, description)


def _crop_size(saved):
    """Returns the (height, width) that images must fit into, or None."""
    crop_size = tuple(saved or USUAL_CROP)
    return None if crop_size == (_AUTO,) else crop_size


def _classes(count: int | None, named, saved: dict, usual) -> Classes:
    """Returns the classes: those named, else those saved with the network, else the usual ones.

    Raises:
      UserError: If the number of classes is not known, or another one than named.
    """
    if named is not None:
        if count is not None and count != len(named):
            raise UserError(
                f"the model predicts {count} classes, but {len(named)} are named; pass the "
                "--dataset, --dataset_dir or --num_classes that it was trained with."
            )
        return named
    if saved.get("class_names"):
        return class_lists.create(saved["class_names"], saved.get("colors"))
    if count is None:
        raise UserError(
            "nothing says how many classes the model has; pass --num_classes, or --dataset_dir "
            "with the dataset.json that it was trained with."
        )
    if usual is not None and len(usual) == count:
        return usual
    return class_lists.create([f"class_{label}" for label in range(count)])
