"""The rules that make weights, images and labels from names and seeds.

Nothing of that is stored beside the golden numbers: numpy's legacy `RandomState`, whose stream is
the same in every version of numpy, makes them again. The golden README states the rules.
"""

from __future__ import annotations

import pathlib
import re
import zlib

import numpy as np

# The last batch norm of each residual branch is small, so that activations do not grow with depth.
_LAST_GAMMA = ("/bottleneck_v1/conv3/BatchNorm/gamma", "/lite_bottleneck_v1/conv2/BatchNorm/gamma")
_PLAIN_STEM = re.compile(r"resnet_v1_\d+/conv1/BatchNorm/(moving_mean|moving_variance)$")


def variable_value(name: str, shape, salt: str = "") -> np.ndarray | None:
    """Returns the float32 value of a variable, or None where the initialiser's zero stays.

    Args:
      name: The variable's name without `:0`.
      shape: Its shape.
      salt: Put before the name to get other weights.
    """
    rule = _RULES.get(name.rsplit("/", 1)[-1])
    if rule is None:
        return None
    seed = zlib.crc32((salt + name).encode("utf-8"))
    normal = np.random.RandomState(seed).standard_normal(tuple(shape))
    value = rule(normal)
    if name.startswith("logits/") and name.endswith("/weights"):
        value = value * 6.0
    if name.endswith(_LAST_GAMMA):
        value = value * 0.25
    stem = _PLAIN_STEM.match(name)
    if stem:
        # The plain stem sees unscaled pixels: its statistics are 64 times as large.
        value = value * (64.0 if stem.group(1) == "moving_mean" else 4096.0)
    return value.astype(np.float32)


def _weights(normal):
    centred = normal - normal.mean(axis=tuple(range(normal.ndim - 1)))
    return centred * 1.3 / np.sqrt(np.prod(normal.shape[:-1]))


_RULES = {
    "weights": _weights,
    "depthwise_weights": lambda normal: normal / np.sqrt(normal.shape[0] * normal.shape[1]),
    "gamma": lambda normal: 1.0 + 0.1 * normal,
    "beta": lambda normal: 0.1 * normal,
    "biases": lambda normal: 0.1 * normal,
    "moving_mean": lambda normal: 0.1 * normal,
    "moving_variance": lambda normal: 1.0 + 0.1 * np.abs(normal),
}


def noise_image(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Returns an image [height, width, channels] of coloured 8x8 cells with noise, 0..255."""
    random = np.random.RandomState(seed)
    return np.clip(sum(_cells_and_noise(random, height, width, channels)), 0, 255)


def tinted_image(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    """Returns a noise image whose cells are mixed half and half with one colour."""
    random = np.random.RandomState(seed)
    base = random.randint(0, 256, size=channels)
    cells, noise = _cells_and_noise(random, height, width, channels)
    return np.clip((base + cells) // 2 + noise, 0, 255)


def _cells_and_noise(random, height, width, channels):
    cells = random.randint(0, 256, size=(_cell_count(height), _cell_count(width), channels))
    noise = random.randint(-32, 33, size=(height, width, channels))
    return _enlarged(cells, height, width), noise


def label_map(
    seed: int, height: int, width: int, classes: int = 21, ignore: int = 255
) -> np.ndarray:
    """Returns a label map [height, width, 1] of 8x8 cells, about one in eight ignored."""
    random = np.random.RandomState(seed)
    size = (_cell_count(height), _cell_count(width))
    labels = random.randint(0, classes, size=size)
    ignored = random.randint(0, 8, size=size) == 0
    return _enlarged(np.where(ignored, ignore, labels), height, width)[:, :, np.newaxis]


def _cell_count(size: int) -> int:
    return -(-size // 8)


def _enlarged(cells, height, width):
    return cells.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def images(specifications, photos_file: pathlib.Path) -> np.ndarray:
    """Returns a batch float32 [N, h, w, 3] with integer values 0..255.

    Args:
      specifications: One list per image: `["noise", seed, h, w]`, `["tinted", seed, h, w]` or
        `["photo", name]`.
      photos_file: The npz file that photos are taken from.

    Raises:
      ValueError: If a kind is unknown.
    """
    return np.stack([_image(item, photos_file) for item in specifications]).astype(np.float32)


def _image(specification, photos_file):
    kind, arguments = specification[0], specification[1:]
    if kind == "noise":
        return noise_image(*arguments)
    if kind == "tinted":
        return tinted_image(*arguments)
    if kind == "photo":
        with np.load(photos_file) as photos:
            return photos[arguments[0]]
    raise ValueError(f"{kind} is no kind of image; known: noise, tinted, photo.")


def labels(specifications, classes: int = 21, ignore: int = 255) -> np.ndarray:
    """Returns label maps int32 [N, h, w, 1]; each specification is `["labels", seed, h, w]`."""
    maps = [label_map(*item[-3:], classes=classes, ignore=ignore) for item in specifications]
    return np.stack(maps).astype(np.int32)
