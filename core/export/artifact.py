"""The records of an export: the network, the job of a format, its artefacts."""

from __future__ import annotations

import dataclasses
from typing import Callable

from core import task as tasks
from core.inference.thresholds import HALF, Thresholds
from core.task import Task
from options.averaging import Averaging
from options.export import ExportOptions
from options.network import NetworkSpec
from utils.classes import ClassSet
from utils.compat import tf

# Names of inputs and outputs: those of the DeepLab family's exports.
INPUT = "ImageTensor"
ENCODED_INPUT = "EncodedImage"
LABELS = "SemanticPredictions"
PROBABILITIES = "SemanticProbabilities"
RAW_LABELS = "RawSemanticPredictions"
RAW_PROBABILITIES = "RawSemanticProbabilities"
METADATA = "Metadata"


@dataclasses.dataclass(frozen=True)
class Network:
    """The network to export.

    Attributes:
      spec: The network.
      classes: Its classes and their task.
      crop_size: (height, width) of its input.
      averaging: The scales, flips and turns whose probabilities are averaged.
      pad_color: (r, g, b), 0..255, beside an image smaller than the crop.
      resize: Arguments of `image_ops.size_in_range` that images are resized by first; None leaves
        them as they are.
      thresholds: What a probability must exceed, in tasks that have a threshold.
      postprocess: Texts of steps after the threshold (`core.inference.steps`), which no graph
        holds: `Segmenter` applies those of the metadata.
    """

    spec: NetworkSpec
    classes: ClassSet
    crop_size: tuple
    averaging: Averaging
    pad_color: tuple
    resize: dict | None
    thresholds: Thresholds = HALF
    postprocess: tuple = ()

    @property
    def task(self) -> Task:
        """The task of the classes."""
        return tasks.of(self.classes)


@dataclasses.dataclass(frozen=True)
class Job:
    """The input of every format.

    Attributes:
      frozen: The network as constants, from `graph.freeze`.
      network: Its description.
      base: Path that the files' names begin with, in a folder of this export's own.
      frozen_path: The frozen graph's file, in that folder.
      metadata: JSON text that is embedded where the format has a place for it.
      options: The options of the export.
      representative: uint8 images [h, w, 3] of the crop size for full-integer TFLite, or None.
    """

    frozen: tf.GraphDef
    network: Network
    base: str
    frozen_path: str
    metadata: str
    options: ExportOptions
    representative: list | None


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How far an artefact may be from the checkpoint.

    Attributes:
      difference: Largest difference of a probability; None where only labels are compared.
      agreement: Smallest share of pixels with the same label.
    """

    difference: float | None
    agreement: float


# Float arithmetic in another order. The share of labels leaves room for ties.
EXACT = Tolerance(1e-3, 0.999)


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A file or folder that was written.

    Attributes:
      name: Its name in the metadata, such as `tflite_float16`.
      path: Where it is.
      tolerance: How far it may be from the checkpoint.
      open: Returns a context manager of a function that maps an image, uint8 [h, w, 3], to labels
        and probabilities; None where it cannot run on this machine.
      inputs: Input name -> {"dtype", "shape"}.
      outputs: Output name -> {"dtype", "shape"}.
      notes: Sentences about its use.
    """

    name: str
    path: str
    tolerance: Tolerance
    open: Callable | None
    inputs: dict
    outputs: dict
    notes: tuple = ()


def available_everywhere(unused_options):
    """The check of a format that needs no further package."""


@dataclasses.dataclass(frozen=True)
class Format:
    """A format; the modules of this folder list theirs in VARIANTS.

    Attributes:
      write: Writes the files of a `Job`, returns its `Artifact`s.
      any_size: Whether it takes images of any size; else it takes the crop size only.
      suffixes: What the names of its files end with, after the base of the export.
      check_available: Raises OptionError where it cannot be written with `ExportOptions`.
    """

    write: Callable
    any_size: bool
    suffixes: tuple
    check_available: Callable = available_everywhere


def tensor(dtype: str, *shape) -> dict:
    """Describes a tensor; None stands for a side that is not fixed."""
    return {"dtype": dtype, "shape": list(shape)}


def outputs_of(network: Network, batch, height, width) -> dict:
    """Describes labels and probabilities."""
    count = network.classes.count
    return {
        LABELS: tensor("int32", *network.task.label_shape(batch, height, width, count)),
        PROBABILITIES: tensor("float32", batch, height, width, network.task.channels(count)),
    }
