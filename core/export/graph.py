"""The graphs of an export: the network once, with different inputs and outputs; the frozen graph.

The network itself takes float images of the crop size and returns labels and probabilities. Around
it, depending on the format, are the preparation of images of any size (resize, padding) and the way
back to their size, or just a cast. Names of nodes are those of the DeepLab family's exports.
"""

from __future__ import annotations

import contextlib
import dataclasses

from core import layers
from core.export import folding
from core.export.artifact import (
    ENCODED_INPUT,
    EXACT,
    INPUT,
    LABELS,
    METADATA,
    PROBABILITIES,
    RAW_LABELS,
    RAW_PROBABILITIES,
    Artifact,
    Format,
    Job,
    Network,
    outputs_of,
    tensor,
)
from core.inference import tta
from core.network import architecture
from utils import image_ops
from utils.compat import host_session, tf
from utils.imaging import tensors

# The border of the network itself.
_NETWORK_INPUT = "network_input"
_NETWORK_LABELS = "network_labels"
_NETWORK_PROBABILITIES = "network_probabilities"


def build_live(network: Network) -> tuple:
    """Builds the whole way with variables in the current graph.

    Returns:
      The placeholder, uint8 [N, h, w, 3]; labels, int32 [N, h, w] (or [N, h, w, classes], where a
      pixel may have several); probabilities, float32 [N, h, w, channels]. The images of a batch
      have one size.
    """
    images = tf.placeholder(tf.uint8, [None, None, None, 3], name=INPUT)
    prepared, size = _prepare(images, network)
    prepared = tf.identity(prepared, name=_NETWORK_INPUT)
    prediction = tta.predict(
        prepared,
        network.spec,
        network.classes.count,
        task=network.task,
        threshold=network.thresholds.decides,
        crop_size=network.crop_size,
        **dataclasses.asdict(network.averaging),
    )
    labels = tf.identity(prediction.labels, name=_NETWORK_LABELS)
    probabilities = tf.identity(prediction.probabilities, name=_NETWORK_PROBABILITIES)
    return (images, *_finish(labels, probabilities, size, tf.shape(images)[1:3], network))


def freeze(session: tf.Session) -> tf.GraphDef:
    """Returns the network of a session as constants, without batch norm; see `build_live`.

    It begins with a placeholder for prepared images and ends with labels and probabilities.
    """
    outputs = [_NETWORK_LABELS, _NETWORK_PROBABILITIES]
    graph_def = tf.GraphDef()
    graph_def.CopyFrom(session.graph.as_graph_def())
    for node in graph_def.node:
        if node.name == _NETWORK_INPUT:
            node.op = "Placeholder"
            node.ClearField("attr")
            node.attr["dtype"].type = tf.float32.as_datatype_enum
            del node.input[:]
    frozen = tf.graph_util.convert_variables_to_constants(session, graph_def, outputs)
    return folding.fold_batch_norms(frozen, outputs)


def flexible(frozen: tf.GraphDef, network: Network, metadata: str) -> tf.GraphDef:
    """Returns the graph for one image of any size, uint8 [1, h, w, 3], with raw nodes.

    Args:
      frozen: The result of `freeze`.
      network: What it is.
      metadata: Text that travels inside as the constant `Metadata`.
    """
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(tf.uint8, [1, None, None, 3], name=INPUT)
        labels, probabilities = _any_size(frozen, images, network)
        tf.identity(labels, name=LABELS)
        tf.identity(probabilities, name=PROBABILITIES)
        tf.constant(metadata, name=METADATA)
        return _finished(graph, [LABELS, PROBABILITIES, RAW_LABELS, RAW_PROBABILITIES, METADATA])


def fixed(frozen: tf.GraphDef, network: Network, dtype=tf.uint8) -> tf.GraphDef:
    """Returns the graph for one image of the crop size, [1, h, w, 3]; every shape is static.

    Args:
      frozen: The result of `freeze`.
      network: What it is.
      dtype: Type of the images; their values are 0..255.
    """
    with tf.Graph().as_default() as graph:
        images = tf.placeholder(dtype, [1, *network.crop_size, 3], name=INPUT)
        labels, probabilities = _run(frozen, tf.cast(images, tf.float32))
        tf.identity(labels, name=LABELS)
        tf.identity(probabilities, name=PROBABILITIES)
        return _finished(graph, [LABELS, PROBABILITIES])


def served(frozen: tf.GraphDef, network: Network, metadata: str) -> dict:
    """Builds, in the current graph, the network for batches and for an encoded image.

    Args:
      frozen: The result of `freeze`.
      network: What it is.
      metadata: As in `flexible`.

    Returns:
      Name -> tensor: `ImageTensor` uint8 [N, h, w, 3], `EncodedImage` string [1], which is only
      needed where `ImageTensor` is not fed, and the two results.
    """
    encoded = tf.placeholder(tf.string, [1], name=ENCODED_INPUT)
    # As the input pipeline decodes.
    decoded = tensors.decode_image(encoded[0])[tf.newaxis]
    tf.constant(metadata, name=METADATA)
    images = tf.placeholder_with_default(decoded, [None, None, None, 3], name=INPUT)
    labels, probabilities = _any_size(frozen, images, network)
    return {
        INPUT: images,
        ENCODED_INPUT: encoded,
        LABELS: tf.identity(labels, name=LABELS),
        PROBABILITIES: tf.identity(probabilities, name=PROBABILITIES),
    }


def _any_size(frozen, images, network):
    prepared, size = _prepare(images, network)
    labels, probabilities = _run(frozen, prepared)
    tf.cast(labels, tf.float32, name=RAW_LABELS)
    tf.identity(probabilities, name=RAW_PROBABILITIES)
    return _finish(labels, probabilities, size, tf.shape(images)[1:3], network)


def _run(frozen, prepared):
    return tf.import_graph_def(
        frozen,
        input_map={f"{_NETWORK_INPUT}:0": prepared},
        return_elements=[f"{_NETWORK_LABELS}:0", f"{_NETWORK_PROBABILITIES}:0"],
        name="",
    )


def _prepare(images, network):
    """Returns float images padded to the crop size, and the size of the part with the image."""
    with tf.name_scope("prepare"):
        size = _prepared_size(tf.shape(images)[1:3], network)
        resized = tf.image.resize_bilinear(tf.cast(images, tf.float32), size, align_corners=True)
        batch = tf.shape(images)[0]
        height, width = network.crop_size
        color = tf.constant(network.pad_color, tf.float32)
        right = tf.broadcast_to(color, tf.stack([batch, size[0], width - size[1], 3]))
        bottom = tf.broadcast_to(color, tf.stack([batch, height - size[0], width, 3]))
        padded = tf.concat([tf.concat([resized, right], 2), bottom], 1)
        padded.set_shape([images.shape.as_list()[0], height, width, 3])
        return padded, size


def _prepared_size(size, network):
    """Returns the size that images are resized to, int32 [2]; never above the crop.

    An image that would be larger than the crop is shrunk until it fits, keeping its aspect ratio.
    """
    height, width = tf.unstack(tf.cast(size, tf.float32))
    if network.resize is not None:
        height, width = image_ops.size_in_range(height, width, **network.resize)
    crop = tf.constant(network.crop_size, tf.float32)
    wanted = tf.stack([height, width])
    fitting = tf.round(wanted * tf.minimum(1.0, tf.reduce_min(crop / wanted)))
    return tf.cast(tf.clip_by_value(fitting, 1.0, crop), tf.int32)


def _finish(labels, probabilities, size, original_size, network):
    """Returns labels and probabilities at the size of the images, without the padding."""
    align = architecture(network.spec).align_corners
    with tf.name_scope("finish"):
        labels = tta.resize_labels(labels[:, : size[0], : size[1]], original_size, align)
        probabilities = probabilities[:, : size[0], : size[1]]
        return labels, layers.resize_bilinear(probabilities, original_size, align)


def _finished(graph, outputs):
    """Returns the nodes that the outputs need, readable by older versions of TensorFlow.

    Attributes at their defaults are left out, since older versions refuse those they do not know.
    """
    graph_def = tf.graph_util.extract_sub_graph(graph.as_graph_def(), list(outputs))
    with tf.Graph().as_default() as pruned:
        tf.import_graph_def(graph_def, name="")
        return tf.train.export_meta_graph(graph=pruned, strip_default_attrs=True).graph_def


def write(job: Job) -> list:
    """Writes the frozen graph: one GraphDef file, for images of any size."""
    path = job.frozen_path
    save(flexible(job.frozen, job.network, job.metadata), path)
    outputs = outputs_of(job.network, 1, None, None)
    raw = outputs_of(job.network, 1, *job.network.crop_size)
    outputs[RAW_LABELS] = {**raw[LABELS], "dtype": "float32"}
    outputs[RAW_PROBABILITIES] = raw[PROBABILITIES]
    inputs = {INPUT: tensor("uint8", 1, None, None, 3)}
    return [Artifact("frozen", path, EXACT, lambda: opened(path), inputs, outputs)]


def save(graph_def: tf.GraphDef, path: str):
    """Writes a graph to a file."""
    with open(path, "wb") as file:
        file.write(graph_def.SerializeToString(deterministic=True))


@contextlib.contextmanager
def opened(path: str):
    """Loads a frozen graph; yields a function from an image to labels and probabilities."""
    graph_def = tf.GraphDef()
    with open(path, "rb") as file:
        graph_def.ParseFromString(file.read())
    with tf.Graph().as_default() as loaded:
        tf.import_graph_def(graph_def, name="")
        fetches = [f"{LABELS}:0", f"{PROBABILITIES}:0"]
        with host_session(loaded) as session:

            def run(image):
                labels, probabilities = session.run(fetches, {f"{INPUT}:0": image[None]})
                return labels[0], probabilities[0]

            yield run


# Its file is the one that --export_path names.
VARIANTS = {"frozen": Format(write, any_size=True, suffixes=())}
