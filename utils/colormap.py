"""The colour maps of the DeepLab family: PASCAL VOC, Cityscapes, ADE20K, Mapillary Vistas.

A colour map is a uint8 array [labels, 3] of red, green, blue. PASCAL's is computed; the others are
tables in hexadecimal digits.
"""

from __future__ import annotations

import numpy as np

from utils.errors import OptionError

_CITYSCAPES = """
804080f423e846464666669cbe9999999999faaa1edcdc006b8e2398fb984682b4dc143cff000000008e000046003c64
0050640000e6770b20
"""

_ADE20K = """
000000787878b4787806e6e650323204c8037878508c8c8ccc05ffe6e6e604fa07e005ffebff0796053d78784608ff33
ff06528fff8cccff04ff3307cc46030066c83de6faff06330b66ffff0747ff09e00907e6dcdcdcff095c7009ff08ffd6
07ffe0ffb8060aff47ff290a07ffffe0ff086608ffff3d06ffc207ff7a0800ff14ff0829ff05990633ffeb0cffa09614
00a3ff8c8c8cfa0a0f14ff001fff00ff1f00ffe00099ff000000ffff470000ebff00adff1f00ff0bc8c8ff520000fff5
003dff00ff7000ff85ff0000ffa300ff6600c2ff00008fff33ff000052ff00ff2900ffad0a00ffadff0000ff99ff5c00
ff00ffff00f5ff0066ffad00ff0014ffb8b8001fff00ff3d0047ffff00cc00ffc200ff52000aff0070ff3300ff00c2ff
007aff00ffa3ff990000ff0aff70008fff005200ffa3ff00ffeb0008b8aa8500ff00ff5cb800ffff001f00b8ff00d6ff
ff00705cff0000e0ff70e0ff46b8a0a300ff9900ff47ff00ff00a3ffcc00ff008f00ffeb85ff00ff00ebf500ffff007a
fff5000abed4d6ff0000ccff1400ffffff000099ff0029ff00ffcc2900ff29ff00ad00ff00f5ff4700ff7a00ff00ffb8
005cffb8ff000085ffffd60019c2c266ff005c00ff
"""

_MAPILLARY_VISTAS = """
a52a2a00c000c4c4c4be9999b4a5b466669c66669c8040ff8c8cc8aaaaaafaaaa0606060e6968c8040806e6e6ef423e8
96646446464696785adc143cff0000ff0000ff0000c88080ffffff40aa408040404682b4ffffff98fb986b8e2300aa1e
ffff80fa001e000000dcdcdcaaaaaade282864aa1e282828212121aaaaaa00008eaaaaaad2aa6499999980808000008e
faaa1ec0c0c0dcdc00b4a5b4770b2000008e003c6400008e00005a0000e600506480404000006e0000460000c0202020
000000000000
"""


def pascal(size: int = 512) -> np.ndarray:
    """Returns PASCAL VOC's map: bits 0, 3, 6 of a label are red, 1, 4, 7 green, 2, 5, 8 blue.

    The lowest of those bits is the highest bit of the colour. Source: the VOC devkit's rule.

    Args:
      size: Number of labels, at most 512 for distinct colours.
    """
    labels = np.arange(size)
    colors = np.zeros([size, 3], np.int64)
    for position in range(8):
        for channel in range(3):
            bit = (labels >> (3 * position + channel)) & 1
            colors[:, channel] |= bit << (7 - position)
    return colors.astype(np.uint8)


def cityscapes() -> np.ndarray:
    """Returns the colours of the 19 train ids; the other labels up to 255 are black."""
    colors = np.zeros([256, 3], np.uint8)
    table = _parse(_CITYSCAPES)
    colors[: len(table)] = table
    return colors


def ade20k() -> np.ndarray:
    """Returns the colours of ADE20K's 150 classes; label 0 (other) is black."""
    return _parse(_ADE20K)


def mapillary_vistas() -> np.ndarray:
    """Returns the colours of Mapillary Vistas' 66 labels."""
    return _parse(_MAPILLARY_VISTAS)


MAPS = {
    "pascal": pascal,
    "cityscapes": cityscapes,
    "ade20k": ade20k,
    "mapillary_vistas": mapillary_vistas,
}


def create(name: str) -> np.ndarray:
    """Returns the map with a name.

    Raises:
      OptionError: If there is no such map.
    """
    if name not in MAPS:
        raise OptionError(f"{name} is not a known colour map; known: {', '.join(sorted(MAPS))}.")
    return MAPS[name]()


def colorize(label: np.ndarray, colors) -> np.ndarray:
    """Returns labels as colours.

    Args:
      label: Integers [h, w], every value of which must have a colour; or [h, w, classes], where a
        pixel gets the mean colour of the classes that are 1, and black without any.
      colors: [labels, 3], for example a map of this module or `ClassSet.colors`.

    Returns:
      uint8 [h, w, 3].

    Raises:
      ValueError: If a label has no colour.
    """
    colors = np.asarray(colors, np.uint8)
    if label.ndim == 3:
        is_set = label == 1
        number = np.maximum(is_set.sum(axis=2, keepdims=True), 1)
        return np.rint(is_set.astype(np.float32) @ colors / number).astype(np.uint8)
    if label.size and (label.min() < 0 or label.max() >= len(colors)):
        raise ValueError(
            f"the label holds values from {label.min()} to {label.max()}, but the map has "
            f"{len(colors)} colours."
        )
    return colors[label]


def _parse(digits: str) -> np.ndarray:
    values = bytes.fromhex("".join(digits.split()))
    return np.frombuffer(values, np.uint8).reshape(-1, 3).copy()
