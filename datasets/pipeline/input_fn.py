"""Records -> batches, by one rule: sample number s of a run depends on (seed, s) alone.

A run's samples are numbered 0, 1, 2...; epoch s // n shows each of the n records once, in an order
drawn from (seed, epoch); augmentation is drawn from (seed, s). Global batch k holds samples
k * B to (k + 1) * B - 1, and with several ranks each takes every ranks-th of them. So the data are
the same whatever the number of threads or ranks, and a run that starts at step k gets exactly what
an uninterrupted one would.

Records are read by their place in the file, in the shuffled order: nothing is buffered but the
next batches, and all of a split is shuffled, over all its shards. What `--cache` keeps is read in
the same way.

Functions of data sets use TensorFlow's own conditions. To have TensorFlow convert Python's, as it
does unless told not to, would take seconds of each start.
"""

from __future__ import annotations

import functools
import os

import numpy as np
from absl import logging

from datasets import raw_records, split_names
from datasets.files import label_png
from datasets.info import DATASET_FILE, DatasetInfo
from datasets.pipeline import preprocess
from datasets.records import cache, checks, shards, tfrecord
from options.data import DataOptions
from utils import image_ops
from utils.compat import tf
from utils.errors import OptionError, UserError

# What a random number is for: orders and augmentations of a seed never share a key.
_ORDER, _AUGMENTATION = range(2)

# Samples prepared side by side; the order does not depend on it.
_PARALLEL_CALLS = tf.data.experimental.AUTOTUNE
_PREFETCHED_BATCHES = 2
_MASKS_LOOKED_AT = 8

# What `_without_bad` found.
_BAD_RECORDS = {}


def count_images(
    options: DataOptions,
    split: str,
    info: DatasetInfo | None = None,
    *,
    needs_label: bool = True,
) -> int:
    """Returns the number of images of a split; with `info`, of those that are not skipped.

    Training skips those without a label (`needs_label`), evaluation does not.

    Raises:
      UserError: If the split is not there, or a shard is missing or truncated.
    """
    if info is not None and options.on_bad_record == "skip":
        return len(_open(options, info, split, needs_label=needs_label))
    return len(shards.index(raw_records.folder(options), split))


def check_training(options: DataOptions, info: DatasetInfo, split: str):
    """Looks for what would make training on a split fail later; builds no graph.

    Raises:
      UserError: If records are missing, damaged, without label or with labels of other classes.
    """
    index = _open(options, info, split, needs_label=True)
    checks.check_sample(index, info, needs_label=True)
    for other in shards.splits(raw_records.folder(options)):
        if other != split and split_names.must_be_apart(split, other):
            _compare(index, raw_records.folder(options), split, other)


def _compare(index: shards.Index, folder: str, split: str, other: str):
    """Warns of records of a split that are also in another one; that one may be unfit for use."""
    try:
        checks.warn_of_shared(index, shards.index(folder, other), split, other)
    except UserError as error:
        logging.warning("Split %s is not compared with split %s: %s", split, other, error)


def check_evaluation(options: DataOptions, info: DatasetInfo, split: str):
    """Looks for what would make evaluation of a split fail later; builds no graph.

    Raises:
      UserError: If records are missing, damaged or have labels of other classes.
      OptionError: If an image is larger than `options.eval_size`.
    """
    index = _open(options, info, split, needs_label=False)
    checks.check_sample(index, info, needs_label=False)
    if options.eval_size is None or options.augmentation == preprocess.IMAGENET:
        return
    (height, width), names = _eval_sizes(index, options)
    too_large = np.flatnonzero((height > options.eval_size[0]) | (width > options.eval_size[1]))
    if too_large.size:
        first = too_large[0]
        resized = " after resizing" if options.min_resize_value else ""
        raise OptionError(
            f"image {names[first]} of split {split} is {height[first]}x{width[first]}{resized} "
            f"(height x width), larger than --eval_crop_size="
            f"{options.eval_size[0]},{options.eval_size[1]}; pass "
            f"--eval_crop_size={height.max()},{width.max()}, which holds every image of the split, "
            "or --eval_crop_size=auto to evaluate each at its own size."
        )


def _eval_sizes(index: shards.Index, options: DataOptions) -> tuple:
    """Returns int64 [2, images], height and width after resizing, and the names of the images."""
    sizes, names = checks.image_sizes(index)
    sides = preprocess.range_size(*sizes.T.astype(np.float32), options, math=np)
    return np.stack(sides).astype(np.int64), names


def explain_failure(options: DataOptions, info: DatasetInfo, split: str, *, training: bool):
    """Raises UserError that names the record which made the pipeline fail, if there is one."""
    index = shards.index(raw_records.folder(options), split)
    checks.explain_failure(index, info, needs_label=training)


def _open(options: DataOptions, info: DatasetInfo, split: str, *, needs_label: bool):
    """Returns the index of a split whose number of images is as stated, without bad records."""
    index = shards.index(raw_records.folder(options), split)
    if not len(index):
        raise UserError(f"split {split} of {raw_records.folder(options)} has no images.")
    stated = info.splits.get(split)
    if stated is not None and stated != len(index):
        folder = raw_records.folder(options)
        if os.path.exists(os.path.join(folder, DATASET_FILE)):
            raise UserError(
                f"the shards of split {split} in {folder} hold {len(index)} images, "
                f"but {DATASET_FILE} says {stated}; convert the data again."
            )
        logging.warning(
            "Split %s holds %d images; that of %s has %d.", split, len(index), info.name, stated
        )
    if options.on_bad_record == "skip":
        return _without_bad(index, info, split, needs_label, options.max_bad_records)
    return index


def _without_bad(index, info, split, needs_label: bool, limit: int) -> shards.Index:
    """Returns the index without the records that cannot be used.

    They are found before the first step, so that order, shares of ranks and resuming are what they
    would be without these records in the files. A split is read once in a process.
    """
    key = shards.stamps(index.paths), needs_label
    if key not in _BAD_RECORDS:
        bad = checks.find_bad(index, info, needs_label=needs_label, limit=limit)
        for number, found in bad.items():
            logging.warning("%s is left out: %s.", index.name(number), found)
        _BAD_RECORDS[key] = sorted(bad)
    kept = index.without(_BAD_RECORDS[key])
    if len(kept) < len(index):
        logging.warning(
            "%d of the %d records of split %s are left out; --on_bad_record=skip.",
            len(index) - len(kept),
            len(index),
            split,
        )
    if not len(kept):
        raise UserError(f"no record of split {split} can be used; convert the data again.")
    return kept


def train_batches(
    options: DataOptions,
    info: DatasetInfo,
    *,
    split: str,
    batch_size: int,
    pad_color,
    seed: int = 0,
    start_step: int = 0,
    rank: int = 0,
    ranks: int = 1,
    with_names: bool = True,
) -> tf.data.Dataset:
    """Returns the endless batches of training; static shapes.

    Args:
      options: Where the records are, and how images are prepared.
      info: Classes and ignore label.
      split: The split to read.
      batch_size: Images per step of this rank; the global batch is `batch_size * ranks`.
      pad_color: (r, g, b), 0..255, beside an image smaller than the crop.
      seed: Of the order and the augmentation.
      start_step: Global batches to leave out: those before a checkpoint.
      rank: Number of this process.
      ranks: Number of processes.
      with_names: Whether names are among the values; devices that fetch batches themselves take no
        strings.

    Returns:
      Dicts of `image` float32 [batch, h, w, 3] in 0..255, `label` int32 [batch, h, w, 1], `name`
      string [batch], `height` and `width` int32 [batch] (the part that is not padding), `valid`
      float32 [batch], all 1.

    Raises:
      UserError: See `check_training`.
    """
    check_training(options, info, split)
    index = _open(options, info, split, needs_label=True)
    index, read = _cached(index, options, info, split, _read_window)
    first = start_step * batch_size * ranks
    border = image_ops.border(*options.train_crop_size, pad_color)

    @tf.autograph.experimental.do_not_convert
    def prepare(sample, serialized):
        read_window, label, name = read(serialized)
        image, label, height, width = preprocess.for_training(
            read_window,
            label,
            options,
            pad_color=pad_color,
            ignore_label=info.ignore_label,
            random=_uniform(preprocess.NUM_RANDOM, seed, sample, _AUGMENTATION),
            border=border,
        )
        sample = _sample_dict(image, label, name, height, width, tf.constant(1.0))
        return sample if with_names else _without_name(sample)

    samples = tf.data.Dataset.range(first + rank, np.iinfo(np.int64).max, ranks)
    order = _shuffled(len(index), seed, first).shard(ranks, rank)
    dataset = tf.data.Dataset.zip((samples, read_records(index, order)))
    return _batches(dataset, prepare, batch_size)


def eval_batches(
    options: DataOptions,
    info: DatasetInfo,
    *,
    split: str,
    batch_size: int,
    pad_color,
    rank: int = 0,
    ranks: int = 1,
    with_names: bool = True,
) -> tf.data.Dataset:
    """Returns one pass over a split; static shapes, but for images at their own size.

    Images come in the order of the records; where they keep their own sizes and batches hold
    several, those of one size come together. Every rank gets the same number of batches; samples
    that fill up batches have `valid` 0, an empty name and the ignore label everywhere. Arguments
    and results are those of `train_batches`; a record without label has the ignore label
    everywhere.

    Raises:
      UserError: See `check_evaluation`.
      OptionError: If an image is larger than `options.eval_size`.
    """
    check_evaluation(options, info, split)
    index = _open(options, info, split, needs_label=False)
    records, valid = _eval_order(index, options, batch_size, rank, ranks)
    index, read = _cached(index, options, info, split, _read_whole)

    @tf.autograph.experimental.do_not_convert
    def prepare(valid, serialized):
        image, label, name = read(serialized)
        image, label, height, width = preprocess.for_evaluation(
            image, label, options, pad_color=pad_color, ignore_label=info.ignore_label
        )
        size = options.eval_size or (None, None)
        image.set_shape([*size, 3])
        label.set_shape([*size, 1])
        label = tf.where(valid > 0, label, tf.fill(tf.shape(label), info.ignore_label))
        name = tf.where(valid > 0, name, tf.constant(""))
        sample = _sample_dict(image, label, name, height, width, valid)
        return sample if with_names else _without_name(sample)

    order = tf.data.Dataset.from_tensor_slices(records)
    dataset = tf.data.Dataset.zip(
        (tf.data.Dataset.from_tensor_slices(valid), read_records(index, order))
    )
    return _batches(dataset, prepare, batch_size)


def _eval_order(index, options: DataOptions, batch_size: int, rank: int, ranks: int) -> tuple:
    """Returns a rank's records in order, filled up, and which of them count; see `_same_sizes`."""
    if options.eval_size is None and batch_size > 1:
        return _same_sizes(_eval_sizes(index, options)[0], batch_size, rank, ranks)
    mine = np.arange(rank, len(index), ranks)
    padding = -(-len(index) // (ranks * batch_size)) * batch_size - len(mine)
    # Padding samples decode record 0 and are not counted.
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


def _cached(index, options: DataOptions, info: DatasetInfo, split: str, read) -> tuple:
    """Returns where samples are read from, and how: records, or what is cached of them.

    Args:
      index: The records.
      options: Whether there is a cache.
      info: The ignore label.
      split: The split.
      read: `_read_window` or `_read_whole`.

    Returns:
      An index, and the function from a serialized record to image (or the function that reads a
      window of it), label and name.
    """
    plain = _has_plain_masks(index)
    from_record = functools.partial(read, ignore_label=info.ignore_label, plain=plain)
    if options.cache == "none":
        return index, from_record

    def decoded():
        records = read_records(index, tf.data.Dataset.range(len(index)))

        @tf.autograph.experimental.do_not_convert
        def whole(serialized):
            return _read_whole(serialized, info.ignore_label, plain)

        return records.map(whole, num_parallel_calls=_PARALLEL_CALLS).prefetch(2)

    def from_cache(content):
        image, label, name = cache.parse(content)
        return preprocess.reader(image) if read is _read_window else image, label, name

    directory = options.cache_dir or raw_records.folder(options)
    cached = cache.open_index(
        options.cache, raw_records.folder(options), split, index, decoded, directory
    )
    return cached, from_cache


def _has_plain_masks(index: shards.Index) -> bool:
    """Returns whether the masks seem to be such that they are decoded faster; looks at a few."""
    records = np.unique(np.linspace(0, len(index) - 1, _MASKS_LOOKED_AT).astype(int))
    try:
        masks = [tfrecord.deserialize(index.read(number)).label for number in records]
    except ValueError:
        # A damaged record is named when it is read.
        return False
    return all(label_png.is_plain(mask) for mask in masks if mask)


def _read_window(serialized: tf.Tensor, ignore_label: int, plain: bool) -> tuple:
    """Returns the function that decodes a window of a record's image, its label and name."""
    parsed = tfrecord.parse(serialized)
    size = tfrecord.image_size(parsed["image"])
    label = tfrecord.decode_label(parsed["label"], size, ignore_label, plain)
    read_window = functools.partial(tfrecord.decode_window, parsed["image"], size)
    return read_window, _of_size(label, size, parsed["name"]), parsed["name"]


def _read_whole(serialized: tf.Tensor, ignore_label: int, plain: bool) -> tuple:
    """Returns a record's image, label and name."""
    parsed = tfrecord.parse(serialized)
    image = tfrecord.decode_image(parsed["image"])
    size = tf.shape(image)[:2]
    label = tfrecord.decode_label(parsed["label"], size, ignore_label, plain)
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


def _batches(dataset: tf.data.Dataset, prepare, batch_size: int) -> tf.data.Dataset:
    # Labels stay bytes until here: a quarter of the memory to write and to copy.
    @tf.autograph.experimental.do_not_convert
    def with_wide_labels(batch):
        return dict(batch, label=tf.cast(batch["label"], tf.int32))

    return (
        dataset.map(prepare, num_parallel_calls=_PARALLEL_CALLS)
        .batch(batch_size, drop_remainder=True)
        # One after the other: side by side, whole batches would wait in a buffer.
        .map(with_wide_labels)
        .prefetch(_PREFETCHED_BATCHES)
    )
