"""Samples -> batches, by one rule: sample number s of a run depends on (seed, s) alone.

A run's samples are numbered 0, 1, 2...; epoch s // n shows each of the n records once, in an order
drawn from (seed, epoch); augmentation is drawn from (seed, s). Global batch k holds samples
k * B to (k + 1) * B - 1, and with several ranks each takes every ranks-th of them. So the data are
the same whatever the number of threads or ranks, and a run that starts at step k gets exactly what
an uninterrupted one would.

Records are read by their place in the file, in the shuffled order: nothing is buffered but the
next batches, and all of a split is shuffled, over all its shards. What `--cache` keeps is read in
the same way.

Functions passed to tf.data use TensorFlow's own conditions; converting Python's, TensorFlow's
default, would take seconds of each start.
"""

from __future__ import annotations

import functools
from typing import Callable, NamedTuple

import numpy as np

from datasets.pipeline import preprocess
from datasets.records import cache, shards, tfrecord
from options.augmentation import AugmentationOptions
from options.data import InputOptions
from utils import image_ops
from utils.compat import tf
from utils.imaging import png, tensors

# What a random number is for: orders and augmentations of a seed never share a key.
_ORDER, _AUGMENTATION = range(2)

# Samples prepared in parallel; their order does not depend on it.
_PARALLEL_CALLS = tf.data.experimental.AUTOTUNE
_PREFETCHED_BATCHES = 2
_INSPECTED_MASKS = 8


class Samples(NamedTuple):
    """The samples of a split before anything random.

    Attributes:
      index: Where they are.
      read: From the content of a record to its image (or the function that reads a window of it),
        label and name.
    """

    index: shards.Index
    read: Callable


def of_records(index: shards.Index, stored, *, by_window: bool) -> Samples:
    """Returns the samples of records.

    Args:
      index: The records.
      stored: How their labels are stored: `labels.IndexLabels` or `SetLabels`.
      by_window: Whether `read` gives the function that decodes a window of the image, in place of
        the image.
    """
    read = _read_window if by_window else _read_whole
    plain = _has_plain_masks(index)
    return Samples(index, functools.partial(read, stored=stored, plain=plain))


def of_cache(index: shards.Index, stored, *, by_window: bool) -> Samples:
    """Returns the samples of a cache; see `of_records`."""

    def read(content):
        image, label, name = cache.parse(content, stored.dtype)
        return preprocess.reader(image) if by_window else image, label, name

    return Samples(index, read)


def decoded(index: shards.Index, stored) -> tf.data.Dataset:
    """Returns image, label and name of each record, in their order; what a cache holds."""
    read = of_records(index, stored, by_window=False).read

    @tf.autograph.experimental.do_not_convert
    def read_one(serialized):
        return read(serialized)

    records = read_records(index, tf.data.Dataset.range(len(index)))
    return records.map(read_one, num_parallel_calls=_PARALLEL_CALLS).prefetch(2)


def train_batches(
    samples: Samples,
    options: InputOptions,
    augmentation: AugmentationOptions,
    *,
    batch_size: int,
    pad_color,
    stored,
    seed: int = 0,
    start_step: int = 0,
    rank: int = 0,
    ranks: int = 1,
    with_names: bool = True,
) -> tf.data.Dataset:
    """Returns the endless batches of training; static shapes.

    Args:
      samples: From `of_records` or `of_cache`, by window.
      options: The sizes.
      augmentation: What is changed at random.
      batch_size: Images per step of this rank; the global batch is `batch_size * ranks`.
      pad_color: (r, g, b), 0..255, outside of an image smaller than the crop.
      stored: How labels are stored; see `of_records`. They are ignored there.
      seed: Of the order and the augmentation.
      start_step: Global batches to leave out: those before a checkpoint.
      rank: Number of this process.
      ranks: Number of processes.
      with_names: Whether batches have names; devices that fetch batches themselves take no strings.

    Returns:
      Dicts of `image` float32 [batch, h, w, 3] in 0..255, `label` int32 [batch, h, w, 1] (or
      [batch, h, w, classes] of 0, 1 and 255 for ignored, for labels of several classes), `name`
      string [batch], `height` and `width` int32 [batch] (the part that is not padding), `valid`
      float32 [batch], all 1.
    """
    first = start_step * batch_size * ranks
    border = image_ops.border(*options.train_crop_size, pad_color)

    @tf.autograph.experimental.do_not_convert
    def prepare(sample, serialized):
        read_window, label, name = samples.read(serialized)
        image, label, height, width = preprocess.for_training(
            read_window,
            label,
            options,
            augmentation,
            pad_color=pad_color,
            ignore_label=stored.ignored,
            random=_uniform(preprocess.NUM_RANDOM, seed, sample, _AUGMENTATION),
            border=border,
        )
        sample = _sample_dict(image, label, name, height, width, tf.constant(1.0))
        return sample if with_names else _without_name(sample)

    numbers = tf.data.Dataset.range(first + rank, np.iinfo(np.int64).max, ranks)
    order = _shuffled(len(samples.index), seed, first).shard(ranks, rank)
    dataset = tf.data.Dataset.zip((numbers, read_records(samples.index, order)))
    return _batches(dataset, prepare, batch_size, stored)


def eval_batches(
    samples: Samples,
    options: InputOptions,
    *,
    batch_size: int,
    pad_color,
    stored,
    sizes: np.ndarray | None = None,
    rank: int = 0,
    ranks: int = 1,
    with_names: bool = True,
) -> tf.data.Dataset:
    """Returns one pass over a split; static shapes, but for images at their own size.

    Images come in the order of the records, or with `sizes` those of one size together. Every rank
    gets the same number of batches; samples that fill up batches have `valid` 0, an empty name and
    the ignore label everywhere. A record without label has the ignore label everywhere.

    Args:
      samples: From `of_records` or `of_cache`, whole.
      options: The sizes.
      batch_size: Images per batch of this rank.
      pad_color: As in `train_batches`, like those below, and the result.
      stored: See there.
      sizes: int64 [2, images], the heights and widths after resizing, where images keep their own
        sizes and batches hold several; else None.
      rank: See there.
      ranks: See there.
      with_names: See there.
    """
    records, valid = _eval_order(len(samples.index), sizes, batch_size, rank, ranks)

    @tf.autograph.experimental.do_not_convert
    def prepare(valid, serialized):
        image, label, name = samples.read(serialized)
        image, label, height, width = preprocess.for_evaluation(
            image, label, options, pad_color=pad_color, ignore_label=stored.ignored
        )
        size = options.eval_size or (None, None)
        image.set_shape([*size, 3])
        label.set_shape([*size, 1])
        ignored = tf.fill(tf.shape(label), tf.constant(stored.ignored, label.dtype))
        label = tf.where(valid > 0, label, ignored)
        name = tf.where(valid > 0, name, tf.constant(""))
        sample = _sample_dict(image, label, name, height, width, valid)
        return sample if with_names else _without_name(sample)

    order = tf.data.Dataset.from_tensor_slices(records)
    dataset = tf.data.Dataset.zip(
        (tf.data.Dataset.from_tensor_slices(valid), read_records(samples.index, order))
    )
    return _batches(dataset, prepare, batch_size, stored)


def _eval_order(number: int, sizes, batch_size: int, rank: int, ranks: int) -> tuple:
    """Returns a rank's records in order, filled up, and which of them count; see `_same_sizes`."""
    if sizes is not None:
        return _same_sizes(sizes, batch_size, rank, ranks)
    mine = np.arange(rank, number, ranks)
    padding = -(-number // (ranks * batch_size)) * batch_size - len(mine)
    # Padding samples decode record 0 and do not count.
    valid = np.repeat(np.float32([1, 0]), [len(mine), padding])
    return np.pad(mine, [0, padding], "constant"), valid


def _same_sizes(sizes, batch_size: int, rank: int, ranks: int) -> tuple:
    """Returns a rank's records, so that no batch mixes sizes, and which of them are to be counted.

    Args:
      sizes: int64 [2, images].
      batch_size: Images per batch.
      rank: Number of this process.
      ranks: Number of processes; each gets the same number of batches.

    Returns:
      int64 and float32, [batches * batch_size]; 0 where a record only fills up a batch.
    """
    batches = []
    for size in np.unique(sizes, axis=1).T:
        group = np.flatnonzero((sizes == size[:, np.newaxis]).all(axis=0))
        for start in range(0, len(group), batch_size):
            part = group[start : start + batch_size]
            fill = batch_size - len(part)
            valid = np.repeat(np.float32([1, 0]), [len(part), fill])
            batches.append((np.pad(part, [0, fill], "edge"), valid))
    fill = (batches[-1][0], np.zeros([batch_size], np.float32))
    batches += [fill] * (-len(batches) % ranks)
    return tuple(np.concatenate(column) for column in zip(*batches[rank::ranks]))


def _has_plain_masks(index: shards.Index) -> bool:
    """Returns whether masks are probably plain PNG files, decoded faster; inspects a few."""
    records = np.unique(np.linspace(0, len(index) - 1, _INSPECTED_MASKS).astype(int))
    try:
        masks = [tfrecord.deserialize(index.read(number)).label for number in records]
    except ValueError:
        # A damaged record is named when it is read.
        return False
    return all(png.is_plain_grey(mask) for mask in masks if mask)


def _read_window(serialized: tf.Tensor, stored, plain: bool) -> tuple:
    """Returns the function that decodes a window of a record's image, its label and name."""
    parsed = tfrecord.parse(serialized)
    size = tensors.image_size(parsed["image"])
    label = tfrecord.decode_label(parsed["label"], size, stored, plain)
    read_window = functools.partial(tensors.decode_window, parsed["image"], size)
    return read_window, _of_size(label, size, parsed["name"]), parsed["name"]


def _read_whole(serialized: tf.Tensor, stored, plain: bool) -> tuple:
    """Returns a record's image, label and name."""
    parsed = tfrecord.parse(serialized)
    image = tensors.decode_image(parsed["image"])
    size = tf.shape(image)[:2]
    label = tfrecord.decode_label(parsed["label"], size, stored, plain)
    return image, _of_size(label, size, parsed["name"]), parsed["name"]


def _shuffled(number: int, seed: int, first: int) -> tf.data.Dataset:
    """Returns the record of each sample from number `first` on, without end."""

    @tf.autograph.experimental.do_not_convert
    def permutation(epoch):
        keys = _uniform(number, seed, epoch, _ORDER)
        return tf.data.Dataset.from_tensor_slices(tf.cast(tf.argsort(keys), tf.int64))

    epochs = tf.data.Dataset.range(first // number, np.iinfo(np.int64).max)
    return epochs.flat_map(permutation).skip(first % number)


def _uniform(number: int, seed: int, counter: tf.Tensor, purpose: int) -> tf.Tensor:
    """Returns float32 [number] in [0, 1), a function of the arguments on every TensorFlow."""
    key = tf.stack([tf.constant(seed, tf.int64), counter * 2 + purpose])
    return tf.random.stateless_uniform([number], key)


def read_records(index: shards.Index, order: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the content of the records with the given numbers.

    A data set of fixed-length records reads any part of a file without Python: what stands before
    and after the record are its header and footer. It costs about 0.15 ms a record.
    """
    paths = tf.constant(list(index.paths))
    shard, offset, length = (
        tf.constant(array) for array in (index.shard, index.offset, index.length)
    )
    file_size = tf.constant(index.file_size)

    @tf.autograph.experimental.do_not_convert
    def read_one(record):
        header_bytes, record_bytes = tf.gather(offset, record), tf.gather(length, record)
        path = tf.gather(shard, record)
        return tf.data.FixedLengthRecordDataset(
            tf.gather(paths, path),
            record_bytes,
            header_bytes=header_bytes,
            footer_bytes=tf.gather(file_size, path) - header_bytes - record_bytes,
            buffer_size=record_bytes,
        )

    return order.flat_map(read_one)


def _of_size(label: tf.Tensor, size: tf.Tensor, name: tf.Tensor) -> tf.Tensor:
    """Returns the label; the pipeline fails if it has not the size of its image."""
    same = tf.reduce_all(tf.equal(size, tf.shape(label)[:2]))
    check = tf.Assert(
        same, ["image and label differ in size:", name, size, tf.shape(label)], summarize=3
    )
    with tf.control_dependencies([check]):
        return tf.identity(label)


def _sample_dict(image, label, name, height, width, valid) -> dict:
    return {
        "image": image,
        "label": label,
        "name": name,
        "height": height,
        "width": width,
        "valid": valid,
    }


def _without_name(sample: dict) -> dict:
    return {key: value for key, value in sample.items() if key != "name"}


def _batches(dataset: tf.data.Dataset, prepare, batch_size: int, stored) -> tf.data.Dataset:
    # Labels stay bytes until here: a quarter of the memory to write and to copy.
    @tf.autograph.experimental.do_not_convert
    def with_wide_labels(batch):
        return dict(batch, label=stored.unpack(batch["label"]))

    return (
        dataset.map(prepare, num_parallel_calls=_PARALLEL_CALLS)
        .batch(batch_size, drop_remainder=True)
        # One after the other: side by side, whole batches would wait in a buffer.
        .map(with_wide_labels)
        .prefetch(_PREFETCHED_BATCHES)
    )
