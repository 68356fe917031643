"""DeepLab's preprocessing of one image and its label.

Training: optional resize, random scale, random crop with padding, random flip. Evaluation: optional
resize, padding. With `augmentation` imagenet: random resized crop and flip; evaluation: resize and
centre crop. Images stay uint8 until they are resized or padded, and are not normalised here: the
mean and the standard deviation are the backbone's, as its checkpoint expects them.

Random decisions are functions of uniform numbers that the caller draws, so that the same numbers
give the same sample on every machine. The rules are those of the DeepLab family.
"""

from __future__ import annotations

import numpy as np

import datasets.pipeline.augmentations
from datasets.pipeline import resized_crop
from datasets.pipeline.augmentations import Fill
from options.augmentation import AugmentationOptions
from options.data import InputOptions
from utils import image_ops, resampling, variants
from utils.compat import tf

# In the order in which they are applied; the folder is the registry.
AUGMENTATIONS = sorted(
    variants.collect(datasets.pipeline.augmentations).values(), key=lambda record: record.order
)

# The use of each uniform number of a sample; those of the augmentations come last.
_SCALE, _TOP, _LEFT, _FLIP = range(4)
_CROP = slice(4, 4 + resized_crop.NUM_RANDOM)
NUM_RANDOM = _CROP.stop + sum(record.numbers for record in AUGMENTATIONS)
# ImageNet's evaluation resizes to 256 and cuts out 224.
_EVALUATION_MARGIN = 256 / 224
FLIP_PROBABILITY = 0.5
IMAGENET = "imagenet"


def for_training(
    read_image,
    label,
    options: InputOptions,
    augmentation: AugmentationOptions,
    *,
    pad_color,
    ignore_label,
    random,
    border=None,
):
    """Prepares an image and its label for training.

    The crop is chosen before anything is resized, and only its part of the image is decoded and
    resized; the result is that of resizing, cropping, padding and flipping one after the other.

    Args:
      read_image: From the offset [2] and the size [2] of a window, int32, to these pixels of the
        image, uint8 [.., .., 3]; see `reader`.
      label: Integers [h, w, 1], of the size of the image.
      options: The sizes.
      augmentation: What is changed at random.
      pad_color: (r, g, b), 0..255, outside of the image.
      ignore_label: The label there.
      random: float32 [NUM_RANDOM] in [0, 1).
      border: The `image_ops.border` of the crop and that colour, if available.

    Returns:
      The image, float32 [crop height, crop width, 3]; the label, [.., .., 1]; the height and
      width of the part that is not padding, int32.
    """
    if options.min_resize_value is not None:
        whole = read_image(tf.zeros([2], tf.int32), tf.shape(label)[:2])
        image, label = resize_to_range(whole, label, options)
        read_image = reader(image)
    size = tf.shape(label)[:2]
    mirrored = random[_FLIP] <= FLIP_PROBABILITY
    if options.augmentation == IMAGENET:
        offset, part = resized_crop.resized_crop(size, augmentation, random[_CROP])
        axes = _axes(part, options.train_crop_size, [0, 0], options.train_crop_size, offset)
        image = _resample_image(read_image, axes, mirrored)
        label = _resample_label(label, axes, mirrored)
        valid = tf.constant(options.train_crop_size, tf.int32)
    else:
        scales = scale_values(
            augmentation.min_scale_factor,
            augmentation.max_scale_factor,
            augmentation.scale_factor_step_size,
        )
        image, label, valid = _scale_and_crop(
            read_image, label, scales, options.train_crop_size, mirrored, random
        )
    fill = Fill(pad_color, ignore_label)
    image, label = _augment(image, label, augmentation, random, fill, on_padded=False)
    height, width = options.train_crop_size
    # Padding at the right becomes padding at the left in a mirrored sample.
    left = tf.where(mirrored, width - valid[1], 0)
    image = image_ops.pad(image, height, width, pad_color, left=left, values=border)
    label = image_ops.pad_labels(label, height, width, ignore_label, left=left)
    image.set_shape([height, width, 3])
    label.set_shape([height, width, 1])
    image, label = _augment(image, label, augmentation, random, fill, on_padded=True)
    return image, label, valid[0], valid[1]


def _scale_and_crop(read_image, label, scales, crop_size, mirrored, random) -> tuple:
    """Returns DeepLab's random window of an image and its label, and its size, not padded."""
    size = tf.shape(label)[:2]
    scaled = scaled_size(size, choose_scale(scales, random[_SCALE]))
    window = random_window(scaled, crop_size, random[_TOP], random[_LEFT])
    image, label = tf.cond(
        tf.reduce_all(tf.equal(scaled, size)),
        lambda: _cut(read_image, label, window, mirrored),
        lambda: _scale(read_image, label, scaled, window, mirrored),
    )
    return image, label, window[1]


def _scale(read_image, label, scaled, window, mirrored) -> tuple:
    """Returns a window of the image and its label resized to a size, mirrored or not."""
    size = tf.shape(label)[:2]
    axes = _axes(size, scaled, *window)

    def whole():
        resized = image_ops.resize_bilinear(
            tf.cast(read_image(tf.zeros([2], tf.int32), size), tf.float32), scaled
        )
        return mirror(resized, mirrored)

    # The fastest way for a whole image, but it cannot begin between two pixels.
    image = tf.cond(
        tf.reduce_all(tf.equal(scaled, window[1])),
        whole,
        lambda: _resample_image(read_image, axes, mirrored),
    )
    return image, _resample_label(label, axes, mirrored)


def _augment(image, label, options: AugmentationOptions, random, fill, *, on_padded) -> tuple:
    """Applies the augmentations that are on, with the numbers that are theirs."""
    first = _CROP.stop
    for record in AUGMENTATIONS:
        numbers = random[first : first + record.numbers]
        first += record.numbers
        if record.on_padded == on_padded and record.is_on(options):
            image, label = record.apply(image, label, options, numbers, fill)
    return image, label


def reader(image: tf.Tensor):
    """Returns the reader of a decoded image, for `for_training`."""
    return lambda offset, size: crop(image, offset, size)


def _cut(read_image, label, window, mirrored) -> tuple:
    """Returns a window of an image and its label, mirrored or not; the image as float32."""
    image, label = flip(read_image(*window), crop(label, *window), mirrored)
    return tf.cast(image, tf.float32), label


def _axes(size, scaled, offset, length, first=(0, 0)) -> tuple:
    """Returns where the rows and columns of a window come from; see `resampling.window_axis`.

    Args:
      size: Height and width of the part of the image that is resized.
      scaled: Height and width after resizing.
      offset: Where the window begins in that.
      length: Its height and width.
      first: Where the part begins in the image.
    """
    return tuple(
        resampling.window_axis(size[axis], scaled[axis], offset[axis], length[axis]).shifted(
            first[axis]
        )
        for axis in range(2)
    )


def _resample_image(read_image, axes, mirrored) -> tf.Tensor:
    """Returns a window of the resized image, float32, mirrored or not."""
    rows, columns = axes
    part = tf.stack([rows.first, columns.first]), tf.stack([rows.count, columns.count])
    return resampling.bilinear(read_image(*part), rows, columns.mirrored(mirrored))


def _resample_label(label, axes, mirrored) -> tf.Tensor:
    """Returns a window of the resized label, mirrored or not."""
    rows, columns = axes
    part = tf.stack([rows.first, columns.first]), tf.stack([rows.count, columns.count])
    labels = crop(label, *part)[..., 0]
    return resampling.nearest(labels, rows, columns.mirrored(mirrored))[..., tf.newaxis]


def for_evaluation(image, label, options: InputOptions, *, pad_color, ignore_label) -> tuple:
    """Prepares an image and its label for evaluation; arguments and results as in training.

    An image larger than `eval_size` keeps its size. With ImageNet's augmentation the
    image is resized to a little more than the crop, of which the middle is taken.
    """
    if options.augmentation == IMAGENET:
        return _centre(image, label, options)
    image, label = resize_to_range(image, label, options)
    valid = tf.shape(image)[:2]
    target = tf.unstack(
        valid if options.eval_size is None else tf.maximum(valid, options.eval_size)
    )
    image, label = pad_both(image, label, target, pad_color, ignore_label)
    return image, label, valid[0], valid[1]


def _centre(image, label, options: InputOptions) -> tuple:
    """Returns the middle of an image resized to cover the crop and a margin."""
    size, wanted = tf.shape(image)[:2], options.eval_crop_size
    ratio = tf.constant(wanted, tf.float32) * _EVALUATION_MARGIN / tf.cast(size, tf.float32)
    scaled = tf.cast(tf.round(tf.cast(size, tf.float32) * tf.reduce_max(ratio)), tf.int32)
    axes = _axes(size, scaled, (scaled - wanted) // 2, wanted)
    image = _resample_image(reader(image), axes, tf.constant(False))
    label = _wide(_resample_label(label, axes, tf.constant(False)))
    return image, label, tf.constant(wanted[0]), tf.constant(wanted[1])


def resize_to_range(image, label, options: InputOptions) -> tuple:
    """Resizes according to the options; without resize options returns its arguments."""
    if options.min_resize_value is None:
        return image, label
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    size = tf.cast(tf.stack(range_size(height, width, options)), tf.int32)
    return image_ops.resize_bilinear(image, size), image_ops.resize_nearest(label, size)


def range_size(height, width, options: InputOptions, math=tf) -> tuple:
    """Returns the size after `resize_to_range`; see `image_ops.size_in_range`."""
    if options.min_resize_value is None:
        return height, width
    return image_ops.size_in_range(
        height,
        width,
        min_size=options.min_resize_value,
        max_size=options.max_resize_value,
        factor=options.resize_factor,
        keep_aspect_ratio=options.keep_aspect_ratio,
        math=math,
    )


def scale_values(minimum: float, maximum: float, step: float) -> np.ndarray | tuple:
    """Returns the random scales.

    Returns:
      float32 [n], equally spaced from minimum to maximum; or, where step is 0, the two ends of a
      range to draw from as a tuple.

    Raises:
      ValueError: If the range is empty or negative.
    """
    if minimum < 0 or minimum > maximum:
        raise ValueError(f"scales from {minimum} to {maximum}: no such range.")
    if minimum == maximum:
        return np.array([minimum], np.float32)
    if step == 0:
        return (minimum, maximum)
    number = int((maximum - minimum) / step + 1)
    if number == 1:
        return np.array([minimum], np.float32)
    start, stop = np.float32(minimum), np.float32(maximum)
    values = start + (stop - start) / np.float32(number - 1) * np.arange(number, dtype=np.float32)
    values[-1] = stop
    return values


def choose_scale(scales, uniform: tf.Tensor) -> tf.Tensor:
    """Returns one of the scales of `scale_values`, float32, by a number in [0, 1)."""
    if isinstance(scales, tuple):
        return scales[0] + uniform * (scales[1] - scales[0])
    return tf.gather(tf.constant(scales), choose(len(scales), uniform))


def choose(number, uniform: tf.Tensor) -> tf.Tensor:
    """Returns one of 0 to number - 1, all with the same probability.

    The largest float32 below 1 times a whole number is nearer to the float32 below that number
    than to the number itself, so that no product is rounded up to it.

    Args:
      number: How many there are, below 2^24; a number, or whole numbers of any shape.
      uniform: float32 scalar in [0, 1).

    Returns:
      int32 of the shape of `number`.
    """
    return tf.cast(uniform * tf.cast(number, tf.float32), tf.int32)


def scaled_size(size: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Returns a size, int32 [2], times a scale, rounded towards zero."""
    # A tiny image must not vanish at a small scale.
    return tf.maximum(tf.cast(tf.cast(size, tf.float32) * scale, tf.int32), 1)


def random_window(size: tf.Tensor, crop_size, top: tf.Tensor, left: tf.Tensor) -> tuple:
    """Returns where to crop: the offset [2] and the size [2] of the window, int32.

    A side that is not longer than the crop is kept whole; it is padded later.

    Args:
      size: Height and width, int32 [2].
      crop_size: Height and width of the crop.
      top: Decides the first row, in [0, 1).
      left: Decides the first column, in [0, 1).
    """
    room = tf.maximum(size - crop_size, 0)
    offset = tf.stack([choose(room[0] + 1, top), choose(room[1] + 1, left)])
    return offset, tf.minimum(size, crop_size)


def crop(image: tf.Tensor, offset: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the window of an image at an offset [2] with a size [2]."""
    return tf.slice(image, tf.concat([offset, [0]], axis=0), tf.concat([size, [-1]], axis=0))


def pad_both(image, label, size, pad_color, ignore_label: int) -> tuple:
    """Pads at the bottom and right to a size (height, width); the image becomes float32."""
    height, width = size
    image = image_ops.pad(tf.cast(image, tf.float32), height, width, pad_color)
    return image, _wide(image_ops.pad_labels(label, height, width, ignore_label))


def _wide(label: tf.Tensor) -> tf.Tensor:
    """Returns a label as int32, or int64 where it is: the types of the reference's labels."""
    return label if label.dtype == tf.int64 else tf.cast(label, tf.int32)


def flip(image, label, mirrored: tf.Tensor) -> tuple:
    """Mirrors an image and its label left and right where a scalar bool is true."""
    # Labels of two axes: of three TensorFlow reverses them ten times more slowly.
    return mirror(image, mirrored), mirror(label[..., 0], mirrored)[..., tf.newaxis]


def mirror(image: tf.Tensor, mirrored: tf.Tensor) -> tf.Tensor:
    """Mirrors [h, w] or [h, w, channels] left and right where a scalar bool is true."""
    return tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
