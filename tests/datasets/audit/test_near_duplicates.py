"""Near duplicates differ in few bits, other images in many."""

import io

import numpy as np
import pytest
from PIL import Image

from datasets.audit import near_duplicates

pytestmark = pytest.mark.once


def scene(seed, size=(120, 90)):
    cells = np.random.RandomState(seed).randint(0, 256, [7, 9, 3]).astype(np.uint8)
    return Image.fromarray(cells).resize(size, Image.BICUBIC)


def saved_again(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def distance(one, other):
    return bin(near_duplicates.difference_hash(one) ^ near_duplicates.difference_hash(other)).count(
        "1"
    )


def test_an_image_saved_again_at_another_size_or_brighter_has_nearly_the_same_bits():
    for seed in range(5):
        image = scene(seed)
        assert distance(image, saved_again(image, 40)) <= 4
        assert distance(image, image.resize((60, 45), Image.BICUBIC)) <= 4
        assert distance(image, image.point(lambda value: value * 0.8)) <= 4


def test_other_images_differ_in_many_bits():
    images = [scene(seed) for seed in range(12)]
    distances = [distance(a, b) for i, a in enumerate(images) for b in images[:i]]
    assert min(distances) > 10


def test_pairs_are_those_that_comparing_all_gives():
    random = np.random.RandomState(0)
    first = [int.from_bytes(random.bytes(8), "big") for _ in range(60)] + [0]
    second = [0]
    for place in range(50):
        value = first[place]
        for bit in random.choice(64, place % 7, replace=False):
            value ^= 1 << int(bit)
        second.append(value)
    for most in (1, 3, 4, 6):
        expected = [
            (i, j, bin(one ^ other).count("1"))
            for i, one in enumerate(first)
            for j, other in enumerate(second)
            if one and other and bin(one ^ other).count("1") <= most
        ]
        assert near_duplicates.pairs(first, second, most) == expected
    assert near_duplicates.pairs([], second, 4) == []


def test_images_without_a_brighter_cell_say_nothing():
    assert near_duplicates.difference_hash(Image.new("RGB", (30, 20), (9, 9, 9))) == 0
