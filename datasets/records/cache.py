"""Caches of decoded samples in memory or on disk, so that files are decoded once.

A cache holds the pixels of each record of a split, before anything random, as records of another
form in one file: order and augmentation are those without it, to the bit. On disk the name of the
file contains the data's fingerprint, and it appears when it is complete; changed data get a new
one. In memory it is an unnamed file in the system's shared memory, so that it ends with the
process, however that ends.

A sample is a header of 64 bytes (height, width and length of the name as int32), the image's
pixels, the label's, and the name.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile

import numpy as np
from absl import logging

from datasets.records import checks, shards
from utils import log
from utils.compat import tf
from utils.errors import UserError
from utils.files import replacing

# As TensorFlow aligns its tensors: pixels that begin there need not be copied.
_HEADER_BYTES = 64
_MEMORY_FOLDER = "/dev/shm"
_GIBIBYTE = 2.0**30


class Cache:
    """The caches of the splits of a data set; those in memory live as long as it."""

    def __init__(self, kind: str, folder: str):
        """Makes no cache yet.

        Args:
          kind: "none", "memory" or "disk".
          folder: Where caches on disk lie.
        """
        self._kind = kind
        self._folder = folder
        # Files without a name, which end when they are closed.
        self._in_memory = {}

    def index(
        self, split: str, index: shards.Index, fingerprint: str, samples, label_bytes: int
    ) -> shards.Index:
        """Returns the index of the decoded samples of a split; decodes it where it must.

        Args:
          split: The split.
          index: Its records, without those that are skipped.
          fingerprint: Stands for all records of the split.
          samples: Function that returns a tf.data.Dataset of (image, label, name), uint8 [h, w, 3],
            integers [h, w, 1] and string, in the order of the index.
          label_bytes: Bytes of a label's pixel.

        Returns:
          A `shards.Index` whose records `parse` understands.

        Raises:
          UserError: If there is not enough room, or it cannot be written.
        """
        sizes, names = checks.image_sizes(index)
        pixel_bytes = 3 + label_bytes
        lengths = _HEADER_BYTES + sizes.prod(axis=1) * pixel_bytes
        lengths += [len(name.encode()) for name in names]
        digest = hashlib.sha256(fingerprint.encode())
        digest.update(np.ascontiguousarray(index.offset, "<i8").tobytes())
        key = digest.hexdigest()[:16]
        need = int(lengths.sum())
        if self._kind == "memory":
            if key not in self._in_memory:
                self._in_memory[key] = _into_memory(split, need, samples, len(index))
            path = f"/proc/self/fd/{self._in_memory[key].fileno()}"
        else:
            path = os.path.join(self._folder, f".decoded-{split}-{key}.cache")
            _onto_disk(path, split, need, samples, len(index))
        return shards.Index(
            paths=(path,),
            shard=np.zeros(len(index), np.int32),
            offset=np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64),
            length=lengths.astype(np.int64),
            file_size=np.array([need], np.int64),
            place=np.arange(len(index)),
        )


def _into_memory(split: str, need: int, samples, number: int):
    """Returns an open file without a name in shared memory."""
    logging.info(
        "The decoded images of split %s take %.2f GiB of memory, in each process (--cache=memory).",
        split,
        need / _GIBIBYTE,
    )
    _check_room(_MEMORY_FOLDER, need, "memory", split)
    file = tempfile.TemporaryFile(dir=_MEMORY_FOLDER)  # noqa: SIM115 (the cache keeps it open)
    try:
        _write(file, samples, number)
    except OSError as error:
        file.close()
        raise _full(_MEMORY_FOLDER, "memory", need, split, error) from error
    return file


def _onto_disk(path: str, split: str, need: int, samples, number: int):
    """Writes the file unless it is there; of several processes one writes and the others wait."""
    folder = os.path.dirname(path)
    try:
        with _locked(folder):
            if os.path.exists(path) and os.path.getsize(path) == need:
                logging.info("Decoded images of split %s are read from %s.", split, path)
                return
            logging.info(
                "The decoded images of split %s take %.2f GiB on disk: %s (--cache=disk).",
                split,
                need / _GIBIBYTE,
                path,
            )
            _check_room(folder, need, "disk", split)
            # A fixed name: the next process overwrites what a killed one left behind.
            partial = path + ".partial"
            with replacing(path, temporary=partial), open(partial, "wb") as file:
                _write(file, samples, number)
    except OSError as error:
        raise _full(folder, "disk", need, split, error) from error


@contextlib.contextmanager
def _locked(folder: str):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_room(folder: str, need: int, kind: str, split: str):
    free = shutil.disk_usage(folder).free if os.path.isdir(folder) else 0
    if free < need:
        raise UserError(
            f"--cache={kind}: the decoded images of split {split} take {need / _GIBIBYTE:.2f} GiB, "
            f"but {folder} has {free / _GIBIBYTE:.2f} GiB free; leave --cache out, or make room."
        )


def _full(folder: str, kind: str, need: int, split: str, error: OSError) -> UserError:
    return UserError(
        f"--cache={kind}: the decoded images of split {split} ({need / _GIBIBYTE:.2f} GiB) cannot "
        f"be written to {folder}: {error.strerror}; leave --cache out, or make room."
    )


def _write(file, samples, number: int):
    """Writes the decoded samples one after the other."""
    progress = log.Progress(number)
    with tf.Graph().as_default():
        following = tf.data.make_one_shot_iterator(samples()).get_next()
        with tf.Session(config=tf.ConfigProto(device_count={"GPU": 0})) as session:
            for done in range(number):
                image, label, name = session.run(following)
                header = np.zeros(_HEADER_BYTES // 4, "<i4")
                header[:3] = [*image.shape[:2], len(name)]
                for part in (header.tobytes(), image.tobytes(), label.tobytes(), name):
                    file.write(part)
                progress.update(done + 1)
    file.flush()
    progress.close()


def parse(content: tf.Tensor, label_type: tf.DType) -> tuple:
    """Returns image, label and name of a cached sample.

    They are uint8 [h, w, 3], [h, w, 1] of the given type, and a scalar string.
    """
    header = tf.decode_raw(tf.strings.substr(content, 0, 12), tf.int32)
    height, width, name_bytes = tf.unstack(header, 3)
    pixels, area = tf.decode_raw(content, tf.uint8), height * width
    end = _HEADER_BYTES + 3 * area
    image = tf.reshape(pixels[_HEADER_BYTES:end], tf.stack([height, width, 3]))
    name = end + label_type.size * area
    shape = [height, width, 1]
    if label_type.size > 1:
        # Bytes that become one number lie on an axis of their own.
        shape.append(label_type.size)
    label = tf.bitcast(tf.reshape(pixels[end:name], tf.stack(shape)), label_type)
    return image, label, tf.strings.substr(content, name, name_bytes)
