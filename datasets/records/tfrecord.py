"""The content of a record: written by the converter, parsed by the input pipeline.

The schema is the DeepLab family's, so that its records are read and ours are read by its code.
"""

from __future__ import annotations

import dataclasses
import os

from datasets.records import shards
from utils.compat import tf
from utils.imaging import tensors

IMAGE = "image/encoded"
NAME = "image/filename"
IMAGE_FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
CHANNELS = "image/channels"
LABEL = "image/segmentation/class/encoded"
LABEL_FORMAT = "image/segmentation/class/format"


@dataclasses.dataclass(frozen=True)
class Record:
    """One image with its label.

    Attributes:
      name: Name of the image, without folder and extension.
      image: Content of a JPEG or PNG file.
      image_format: "jpeg" or "png".
      height: Rows of the image.
      width: Columns of the image.
      label: Content of a PNG file as `labels` describes it; empty: no label.
    """

    name: str
    image: bytes
    image_format: str
    height: int
    width: int
    label: bytes = b""


def serialize(record: Record) -> bytes:
    """Returns the tf.train.Example of a record, serialized; the same bytes for the same record."""
    example = tf.train.Example()
    # Filled in place: building it of messages copies the image once for each of them.
    feature = example.features.feature
    feature[IMAGE].bytes_list.value.append(record.image)
    feature[NAME].bytes_list.value.append(os.fsencode(record.name))
    feature[IMAGE_FORMAT].bytes_list.value.append(record.image_format.encode("ascii"))
    feature[HEIGHT].int64_list.value.append(record.height)
    feature[WIDTH].int64_list.value.append(record.width)
    feature[CHANNELS].int64_list.value.append(3)
    if record.label:
        feature[LABEL].bytes_list.value.append(record.label)
        feature[LABEL_FORMAT].bytes_list.value.append(b"png")
    return example.SerializeToString(deterministic=True)


def shard_paths(folder: str, split: str, num_shards: int) -> list:
    """Returns the paths of a split's shards."""
    return [
        os.path.join(folder, shards.shard_name(split, number, num_shards))
        for number in range(num_shards)
    ]


def records_per_shard(num_records: int, num_shards: int) -> int:
    """Returns how many records each shard but the last ones holds, as the reference does."""
    return max(1, -(-num_records // num_shards))


def deserialize(serialized: bytes) -> Record:
    """Returns the record of a serialized tf.train.Example; absent features get their defaults.

    Raises:
      ValueError: If the bytes are no tf.train.Example.
    """
    try:
        feature = tf.train.Example.FromString(serialized).features.feature
    except Exception as error:  # protobuf's DecodeError differs between its implementations.
        raise ValueError(f"no tf.train.Example ({error})") from error

    def first(key, kind, default):
        values = getattr(feature[key], kind).value if key in feature else ()
        return values[0] if values else default

    return Record(
        name=first(NAME, "bytes_list", b"").decode("utf-8", "replace"),
        image=first(IMAGE, "bytes_list", b""),
        image_format=first(IMAGE_FORMAT, "bytes_list", b"jpeg").decode("ascii", "replace"),
        height=first(HEIGHT, "int64_list", 0),
        width=first(WIDTH, "int64_list", 0),
        label=first(LABEL, "bytes_list", b""),
    )


def parse(serialized: tf.Tensor) -> dict:
    """Parses a scalar string; absent features get their defaults.

    Returns:
      Scalar strings `image`, `label` (empty: none) and `name`.
    """
    features = tf.parse_single_example(
        serialized,
        {
            IMAGE: tf.FixedLenFeature([], tf.string, ""),
            NAME: tf.FixedLenFeature([], tf.string, ""),
            LABEL: tf.FixedLenFeature([], tf.string, ""),
        },
    )
    return {"image": features[IMAGE], "label": features[LABEL], "name": features[NAME]}


def decode_label(content: tf.Tensor, size: tf.Tensor, stored, plain: bool = False) -> tf.Tensor:
    """Returns the label [h, w, 1] of the content of a PNG file; all ignored if it is empty.

    Args:
      content: Scalar string.
      size: Height and width of the image, int32 [2]; that of the label if there is none.
      stored: `labels.IndexLabels` or `SetLabels`.
      plain: Whether most files are `png.is_plain_grey`; the result does not depend on it.
    """
    decode_grey = tensors.decode_plain_grey if plain else tensors.decode_grey
    ignored = tf.constant(stored.ignored, stored.dtype)
    label = tf.cond(
        tf.equal(content, ""),
        lambda: tf.fill(tf.concat([size, [1]], axis=0), ignored),
        lambda: stored.decode(content, decode_grey),
    )
    label.set_shape([None, None, 1])
    return label
