"""What a format is asked to write, and what it answers."""

from __future__ import annotations

import dataclasses
from typing import Callable

from core.export import graph
from options.export import ExportOptions
from utils.compat import tf


@dataclasses.dataclass(frozen=True)
class Job:
    """What every format gets.

    Attributes:
      frozen: The network as constants, from `graph.freeze`.
      network: What it is.
      base: Path that the files' names begin with, in a folder of this export's own.
      frozen_path: The frozen graph's file, in that folder.
      metadata: JSON text that travels inside where the format has a place for it.
      options: The options of the export.
      representative: uint8 images [h, w, 3] of the crop size for full-integer TFLite, or None.
    """

    frozen: tf.GraphDef
    network: graph.Network
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
      any_size: Whether it takes images of any size; else it takes the crop size only.
      tolerance: How far it may be from the checkpoint.
      open: Returns a context manager of a function that maps an image, uint8 [h, w, 3], to labels
        [h, w] and probabilities [h, w, classes]; None where it cannot run on this machine.
      inputs: Input name -> {"dtype", "shape"}.
      outputs: Output name -> {"dtype", "shape"}.
      notes: Sentences for whoever uses it.
    """

    name: str
    path: str
    any_size: bool
    tolerance: Tolerance
    open: Callable | None
    inputs: dict
    outputs: dict
    notes: tuple = ()


def tensor(dtype: str, *shape) -> dict:
    """Describes a tensor; None stands for a side that is not fixed."""
    return {"dtype": dtype, "shape": list(shape)}


def outputs_of(network: graph.Network, batch, height, width) -> dict:
    """Describes the two results."""
    return {
        graph.LABELS: tensor("int32", batch, height, width),
        graph.PROBABILITIES: tensor("float32", batch, height, width, network.num_classes),
    }
