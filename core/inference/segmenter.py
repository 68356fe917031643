"""Segments photos of any size with a trained network; for programs and for `predict.py`.

    from core.inference import segmenter
    from datasets.files import photos

    with segmenter.load("runs/first") as network:
        result = network.segment(photos.read("street.jpg"))
        print(network.classes.names[result.labels[100, 200]])

How a photo gets to the size of a network, as in DeepLab's demonstrations:

1. Where training resized images (`min_resize_value`), the photo is resized the same way.
2. If it fits into the crop that the network was evaluated with, it is padded to that. It is never
   enlarged. The result is that of evaluation, bit for bit.
3. Otherwise it is shrunk until it fits (a landscape crop is turned for a portrait photo), and the
   probabilities are resized to its size. Objects then have about the size that they had in
   training, which in a large photo they would not.

With windows, or without a crop, nothing is shrunk: see `windows` and `predictor`.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

import common
from core import task as tasks
from core.inference import classes as class_lists
from core.inference import exported_model, resize, steps, thresholds, trained_networks, windows
from core.inference.exported_model import ExportedModel
from core.inference.trained_networks import Checkpoints, Exported
from options.averaging import Averaging
from options.config import Config
from options.data import DATA_RECORDS
from options.inference import WindowOptions
from options.network import NETWORK_OPTIONS
from options.task import TaskOptions
from utils import image_ops
from utils.classes import ClassSet
from utils.errors import UserError

# What `load` takes from a config.
RECORDS = (*NETWORK_OPTIONS, *DATA_RECORDS, WindowOptions, TaskOptions)


class Segmentation(NamedTuple):
    """The prediction of a photo, at the photo's size.

    Attributes:
      labels: uint8: [h, w] of class ids, or [h, w, classes] of 0 and 1 where a pixel may have
        several classes.
      probabilities: float32 [h, w, channels] (`core.task`), or None where they were not asked for.
    """

    labels: np.ndarray
    probabilities: np.ndarray | None


class Segmenter:
    """Segments photos; made by `load`; a context manager.

    Attributes:
      classes: Names, colours and mask values of its classes.
      description: The model and its settings, plain values for JSON.
    """

    def __init__(
        self,
        networks,
        classes: ClassSet,
        description: dict,
        resizer=None,
        threshold=0.5,
        postprocess=None,
    ):
        """Takes its parts.

        Args:
          networks: One of the classes of `trained_networks`.
          classes: The classes.
          description: The model and its settings.
          resizer: `resize.RangeResizer`, or None.
          threshold: What a probability must exceed, in tasks that have one: one number, or one per
            channel.
          postprocess: Function from the labels of a photo to those after all steps, or None; see
            `core.inference.steps`.
        """
        self._networks = networks
        self._resizer = resizer
        self._task = tasks.of(classes)
        self._threshold = threshold
        self._postprocess = postprocess
        self.classes = classes
        self.description = description

    def segment(self, image, *, probabilities: bool = False) -> Segmentation:
        """Segments a photo; steps after the threshold change its labels at the photo's size.

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
        found = self._segment(image, probabilities)
        if self._postprocess is None:
            return found
        return found._replace(labels=self._postprocess(found.labels))

    def _segment(self, image, probabilities) -> Segmentation:
        size = image.shape[:2]
        seen, network = self._prepare(image)
        labels_only = seen.shape[:2] == size or not self._networks.has_probabilities
        if not probabilities and labels_only:
            labels = network.labels(seen).astype(np.uint8)
            return Segmentation(resize.nearest_labels_at(labels, size), None)
        scores = network.probabilities(seen)
        if not probabilities:
            labels = resize.labels_at(scores, size, self._task, self._threshold)
            return Segmentation(labels, None)
        scores = resize.probabilities_at(scores, size)
        labels = self._task.decide_array(scores, self._threshold)
        return Segmentation(labels.astype(np.uint8), scores)

    def _prepare(self, image):
        """Returns the image at the size that the network takes, and the network for this size."""
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
    classes: ClassSet | None = None,
    usual_classes: ClassSet | None = None,
    config: Config | None = None,
    use_ema: bool = False,
    change_network: bool = False,
    session_config=None,
    postprocess=None,
    **averaging,
) -> Segmenter:
    """Loads a trained network, with the options, sizes and classes that were saved with it.

    Args:
      source: The folder of a run (its newest checkpoint), the prefix of a checkpoint, several of
        these (their probabilities are averaged), a frozen graph (.pb) or a SavedModel's folder.
      classes: Names and colours that take precedence over saved ones.
      usual_classes: Those of a model that stores only their number, where it is the same.
      config: The network, the sizes and how large images are cut, for what was not saved; given
        options take precedence over saved ones.
      use_ema: Whether the EMA of the weights is used.
      change_network: Whether given options may contradict the saved network.
      session_config: From the backend.
      postprocess: Texts of steps after the threshold (`core.inference.steps`). None: those that an
        exported model stores, and none for checkpoints.
      **averaging: Fields of `options.averaging.Averaging`: scales, flip, vertical_flip, rotate,
        average; probabilities are averaged over all of them.

    Raises:
      UserError: If there is no such model, or it cannot be used.
      OptionError: If an option contradicts what was saved, or has no effect on an exported model.
    """
    config = config or Config.create(RECORDS, {})
    averaging = Averaging(**averaging)
    sources = [source] if isinstance(source, str) else list(source)
    if len(sources) == 1 and exported_model.is_exported_model(sources[0]):
        _refuse_for_exported(sources[0], config, averaging, use_ema)
        model = ExportedModel(sources[0], session_config)
        try:
            return _of_exported(model, (classes, usual_classes), config, postprocess)
        except UserError:
            model.close()
            raise
    found = trained_networks.find(sources, config, change_network, use_ema)
    first = found[0]
    chosen = class_lists.choose(
        first.channels,
        named=classes,
        saved=first.saved.run,
        usual=usual_classes,
        options=_task_options(first.config),
    )
    return _of_checkpoints(
        found,
        chosen,
        averaging=averaging,
        postprocess=postprocess,
        windows=windows.of(first.config),
        session_config=session_config,
    )


def _refuse_for_exported(path, config, averaging, use_ema):
    """Raises OptionError for what was decided when a model was exported."""
    usual, cut = Averaging().settings(), windows.of(config)
    changed = {name: value != usual[name] for name, value in averaging.settings().items()}
    decided = {
        "eval_scales": tuple(averaging.scales) != (1.0,),
        **changed,
        "use_ema": use_ema,
        "window_size": isinstance(cut, windows.Windows),
        "window_grid": isinstance(cut, windows.Grid),
        "threshold": _task_options(config).threshold is not None,
    }
    given = [name for name, is_set in decided.items() if is_set]
    common.refuse_given(given, decided, f"on {path}, which is used as it was exported")


def _of_checkpoints(found, classes, averaging, postprocess, **settings):
    postprocessing = steps.create(postprocess, classes)
    data, members = found[0].config.input, [item.member for item in found]
    chosen = thresholds.of_checkpoints(_task_options(found[0].config), classes, members)
    networks = Checkpoints(
        members,
        num_classes=classes.count,
        task=tasks.of(classes),
        threshold=chosen.decides,
        crop_size=data.eval_size,
        **settings,
        **dataclasses.asdict(averaging),
    )
    resizer = None
    if data.min_resize_value:
        resizer = resize.RangeResizer(
            min_size=data.min_resize_value,
            max_size=data.max_resize_value,
            factor=data.resize_factor,
            keep_aspect_ratio=data.keep_aspect_ratio,
        )
    description = {
        "checkpoints": [item.member.checkpoint_path for item in found],
        "use_ema": found[0].member.averaged,
        "network": found[0].member.spec.to_dict(),
        "eval_scales": list(averaging.scales),
        **averaging.settings(),
        "task": classes.task,
        **chosen.describe(),
        "postprocess": steps.texts_of(postprocess),
        "crop_size": networks.crop_size and list(networks.crop_size),
        "windows": settings["windows"] and dataclasses.asdict(settings["windows"]),
    }
    return Segmenter(networks, classes, description, resizer, chosen.decides, postprocessing)


def _of_exported(model, classes, config, postprocess):
    networks = Exported(model, config.input.eval_size)
    if model.fixed_size or model.metadata:
        where = f"on {model.path}, which resizes images to its own size"
        config.refuse(["eval_crop_size"], where)
    if postprocess is None:
        postprocess = model.postprocess
    description = {
        "model": model.path,
        "postprocess": steps.texts_of(postprocess),
        "metadata": model.metadata,
        "crop_size": networks.crop_size and list(networks.crop_size),
    }
    named, usual = classes
    chosen = class_lists.choose(
        model.channels,
        named=named,
        saved=model.metadata,
        usual=usual,
        options=_task_options(config),
    )
    return Segmenter(
        networks,
        chosen,
        description,
        threshold=model.threshold,
        postprocess=steps.create(postprocess, chosen),
    )


def _task_options(config: Config) -> TaskOptions:
    return config.records.get(TaskOptions.SECTION) or TaskOptions()
