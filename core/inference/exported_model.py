"""Predicts with frozen graphs and SavedModels, ours and those of the DeepLab family.

Tensors of a frozen graph are found by the DeepLab family's names; those of a SavedModel by their
types, since names in signatures vary: images are the input of four dimensions, labels the integer
output, probabilities the floating-point output of four dimensions.
"""

from __future__ import annotations

import json
import os

import numpy as np

from core.inference import steps
from utils import files, image_ops
from utils.compat import tf
from utils.errors import OptionError, UserError, reason_of

_INPUT = "ImageTensor"
_LABELS = "SemanticPredictions"
_PROBABILITIES = "SemanticProbabilities"
_METADATA = "Metadata"
_METADATA_FILE = "metadata.json"
# What the DeepLab family pads with when nothing is known.
_PAD_COLOR = (127.5, 127.5, 127.5)


class ExportedModel:
    """A network without its checkpoint; a context manager.

    Attributes:
      path: The file or folder.
      metadata: The metadata of the export, a dict; empty for exports of other programs.
      fixed_size: (height, width) that every image is padded to, None where any size can be.
    """

    def __init__(self, path: str, session_config=None):
        """Loads the model.

        Args:
          path: A frozen graph (.pb) or the folder of a SavedModel.
          session_config: From the backend.

        Raises:
          UserError: If it cannot be read, or is no model that segments images.
        """
        self.path = path
        graph = tf.Graph()
        self._session = tf.Session(graph=graph, config=session_config)
        try:
            with graph.as_default():
                load = _load_saved_model if os.path.isdir(path) else _load_frozen
                self._input, self._labels, self._probabilities = load(path, self._session)
                self.metadata = _metadata(path, self._session)
        except BaseException:
            self._session.close()
            raise
        sides = self._input.shape.as_list()[1:3]
        self.fixed_size = None if None in sides else tuple(sides)

    @property
    def crop_size(self) -> tuple | None:
        """Returns the (height, width) that the model pads images to, None if unknown."""
        crop = self.metadata.get("inference", {}).get("crop_size")
        return None if crop is None else tuple(crop)

    @property
    def resizes(self) -> bool:
        """Whether the model resizes images of any size to the one that it needs."""
        return bool(self.metadata.get("preprocessing", {}).get("resize"))

    @property
    def channels(self) -> int | None:
        """Returns the number of probabilities per pixel, None where it has none."""
        return None if self._probabilities is None else self._probabilities.shape.as_list()[3]

    @property
    def threshold(self) -> float | list:
        """Returns what a probability must exceed, one number or one per channel."""
        # Exports of version 1.0 have no threshold, because they have no task that needs one.
        return self.metadata.get("inference", {}).get("threshold", 0.5)

    @property
    def postprocess(self) -> list:
        """Returns the texts of the steps after the threshold that the export names.

        Raises:
          UserError: If they are no steps, or code: a model must not choose what runs here.
        """
        texts = self.metadata.get("inference", {}).get("postprocess", [])
        try:
            if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
                raise OptionError(f"{texts!r} is no list of texts.")
            steps.check_storable(texts)
        except OptionError as error:
            raise UserError(
                f"the metadata of {self.path} names post-processing that cannot be used: {error} "
                "Pass --postprocess=STEPS, or --postprocess= for none."
            ) from error
        return texts

    @property
    def has_probabilities(self) -> bool:
        """Whether the model returns more than labels."""
        return self._probabilities is not None

    def labels(self, image) -> np.ndarray:
        """Returns the labels of an image [h, w, 3], 0..255: [h, w], or [h, w, classes]."""
        return self._run(self._labels, image)

    def probabilities(self, image) -> np.ndarray:
        """Returns float32 [h, w, channels] of an image [h, w, 3] in 0..255, at its size.

        Raises:
          UserError: If the model gives labels only.
        """
        if self._probabilities is None:
            raise UserError(
                f"{self.path} gives labels but no probabilities ({_PROBABILITIES}); leave prob out "
                "of --save, or use the checkpoint."
            )
        return self._run(self._probabilities, image)

    def _run(self, fetch, image):
        height, width = image.shape[:2]
        if self.fixed_size is not None:
            color = self.metadata.get("preprocessing", {}).get("pad_color", _PAD_COLOR)
            image = image_ops.pad_array(image, self.fixed_size, color)
        dtype = self._input.dtype.as_numpy_dtype
        if np.issubdtype(dtype, np.integer):
            image = np.rint(image)
        result = self._session.run(fetch, {self._input: image[np.newaxis].astype(dtype)})
        return result[0, :height, :width]

    def close(self):
        """Frees the session."""
        self._session.close()


def is_exported_model(path: str) -> bool:
    """Whether a path is a frozen graph or a SavedModel, by its name and content."""
    return path.endswith(".pb") or os.path.exists(os.path.join(path, "saved_model.pb"))


def _load_frozen(path, unused_session):
    graph_def = tf.GraphDef()
    try:
        with open(path, "rb") as file:
            graph_def.ParseFromString(file.read())
        if not graph_def.node:
            # Older protobufs accept many files that are no graphs.
            raise ValueError("it has no nodes")
        tf.import_graph_def(graph_def, name="")
    except OSError as error:
        raise UserError(f"--model={path} cannot be read: {error.strerror}.") from error
    # Protobuf's DecodeError differs between its implementations; import raises ValueError.
    except Exception as error:
        reason = reason_of(error)
        raise UserError(
            f"--model={path} is no frozen graph that this TensorFlow can read ({reason[:200]}); "
            "pass a .pb file of export_model.py or of the DeepLab family."
        ) from error
    missing = [name for name in (_INPUT, _LABELS) if _tensor(name) is None]
    if missing:
        known = [node.name for node in graph_def.node if node.op == "Placeholder"]
        raise UserError(
            f"--model={path} has no node {' and no '.join(missing)}; a graph for prediction has "
            f"{_INPUT} and {_LABELS}. Its inputs are {', '.join(known[:5]) or 'none'}, its last "
            f"node is {graph_def.node[-1].name}."
        )
    return _tensor(_INPUT), _tensor(_LABELS), _tensor(_PROBABILITIES)


def _tensor(name):
    try:
        return tf.get_default_graph().get_tensor_by_name(f"{name}:0")
    except KeyError:
        return None


def _load_saved_model(path, session):
    try:
        meta_graph = tf.saved_model.load(session, [tf.saved_model.SERVING], path)
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        reason = reason_of(error)
        raise UserError(
            f"--model={path} is no SavedModel that this TensorFlow can read ({reason[:200]}); pass "
            "the folder that holds saved_model.pb."
        ) from error
    graph = tf.get_default_graph()
    for signature in meta_graph.signature_def.values():
        inputs, outputs = (
            [graph.get_tensor_by_name(entry.name) for entry in entries.values() if entry.name]
            for entries in (signature.inputs, signature.outputs)
        )
        images = [tensor for tensor in inputs if tensor.shape.ndims == 4]
        labels = [tensor for tensor in outputs if tensor.dtype.is_integer]
        if len(inputs) == 1 and images and labels:
            scores = [
                tensor for tensor in outputs if tensor.shape.ndims == 4 and tensor.dtype.is_floating
            ]
            return images[0], labels[0], scores[0] if scores else None
    raise UserError(
        f"--model={path} has no signature from images [n, h, w, 3] to labels; its signatures are "
        f"{', '.join(sorted(meta_graph.signature_def)) or 'none'}."
    )


def _metadata(path, session) -> dict:
    """Returns the metadata inside of a model or beside it."""
    inside = _tensor(_METADATA)
    if inside is not None:
        return json.loads(session.run(inside).decode("utf-8"))
    for file in (os.path.join(path, "assets", _METADATA_FILE), os.path.splitext(path)[0] + ".json"):
        if os.path.isfile(file):
            return files.read_json(file)
    return {}
