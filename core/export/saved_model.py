"""The SavedModel: a folder for TensorFlow Serving, TF 1 and TF 2, with its metadata inside."""

from __future__ import annotations

import contextlib
import os
import tempfile

from core.export import graph
from core.export.artifact import (
    ENCODED_INPUT,
    EXACT,
    INPUT,
    LABELS,
    PROBABILITIES,
    Artifact,
    Format,
    Job,
    outputs_of,
    tensor,
)
from utils.compat import host_session, tf

# One takes images as an array, all of one size; the other one encoded image.
DEFAULT_SIGNATURE = tf.saved_model.signature_constants.DEFAULT_SERVING_SIGNATURE_DEF_KEY
ENCODED_SIGNATURE = "encoded"
METADATA_FILE = "metadata.json"

_NOTES = (
    f"Signature {DEFAULT_SIGNATURE} takes {INPUT}: N images of one size.",
    f"Signature {ENCODED_SIGNATURE} takes {ENCODED_INPUT}: one PNG or JPEG file.",
    f"The metadata is assets/{METADATA_FILE}.",
)


def write(job: Job) -> list:
    """Writes the folder."""
    path = f"{job.base}_savedmodel"
    builder = tf.saved_model.Builder(path)
    with tf.Graph().as_default(), tempfile.TemporaryDirectory() as folder:
        tensors = graph.served(job.frozen, job.network, job.metadata)
        file = os.path.join(folder, METADATA_FILE)
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(job.metadata)
        tf.add_to_collection(tf.GraphKeys.ASSET_FILEPATHS, tf.constant(file, name="metadata_file"))
        with host_session() as session:
            builder.add_meta_graph_and_variables(
                session,
                [tf.saved_model.tag_constants.SERVING],
                signature_def_map={
                    DEFAULT_SIGNATURE: _signature(tensors, INPUT),
                    ENCODED_SIGNATURE: _signature(tensors, ENCODED_INPUT),
                },
                assets_collection=tf.get_collection(tf.GraphKeys.ASSET_FILEPATHS),
                strip_default_attrs=True,
            )
        builder.save()
    inputs = {
        INPUT: tensor("uint8", None, None, None, 3),
        ENCODED_INPUT: tensor("string", 1),
    }
    outputs = outputs_of(job.network, None, None, None)
    return [Artifact("savedmodel", path, EXACT, lambda: opened(path), inputs, outputs, _NOTES)]


def _signature(tensors, name):
    return tf.saved_model.build_signature_def(
        inputs={name: tf.saved_model.build_tensor_info(tensors[name])},
        outputs={
            output: tf.saved_model.build_tensor_info(tensors[output])
            for output in (LABELS, PROBABILITIES)
        },
        method_name=tf.saved_model.signature_constants.PREDICT_METHOD_NAME,
    )


@contextlib.contextmanager
def opened(path: str):
    """Loads a SavedModel; yields a function from an image to labels and probabilities."""
    with tf.Graph().as_default() as loaded, host_session(loaded) as session:
        loader = tf.saved_model.load(session, [tf.saved_model.tag_constants.SERVING], path)
        signature = loader.signature_def[DEFAULT_SIGNATURE]
        fetches = [signature.outputs[name].name for name in (LABELS, PROBABILITIES)]

        def run(image):
            feed = {signature.inputs[INPUT].name: image[None]}
            labels, probabilities = session.run(fetches, feed)
            return labels[0], probabilities[0]

        yield run


VARIANTS = {"savedmodel": Format(write, any_size=True, suffixes=("_savedmodel",))}
