"""Which images a report shows."""

import numpy as np
import pytest

from core.evaluation.examples import Examples
from core.metrics import ImageScore


def _score(value):
    return ImageScore("mIoU", value, (), ())


def _groups(scores, **sizes):
    """Adds an image per score; returns title -> names."""
    examples = Examples(**sizes)
    drawn = []
    for index, score in enumerate(scores):
        name = f"{index}:{score}"

        def draw(name=name):
            drawn.append(name)
            return lambda: name

        examples.add(name, _score(score), draw)
    groups = {title: [sample.name for sample in found] for title, found in examples.groups()}
    return groups, drawn, examples.groups()


def test_the_worst_come_first_and_the_best_last():
    groups, _, _ = _groups([50, 10, 90, 30, 70, 20, 95], worst=3, best=2, at_random=0)
    assert list(groups) == ["Worst images", "Best images"]
    assert groups["Worst images"] == ["1:10", "5:20", "3:30"]
    assert groups["Best images"] == ["6:95", "2:90"]


def test_no_image_is_shown_twice_even_in_a_small_split():
    groups, _, _ = _groups([50, 10, 90], worst=8, best=2, at_random=4)
    assert groups == {"Worst images": ["1:10", "0:50", "2:90"]}


def test_of_equal_images_the_first_ones_are_kept():
    groups, _, _ = _groups([40] * 9, worst=2, best=0, at_random=0)
    assert groups == {"Worst images": ["0:40", "1:40"]}


def test_random_images_come_from_the_whole_split_and_are_the_same_each_time():
    first, _, _ = _groups([50] * 200, worst=0, best=0, at_random=20)
    again, _, _ = _groups([50] * 200, worst=0, best=0, at_random=20)
    assert first == again
    places = [int(name.split(":")[0]) for name in first["Random images"]]
    assert len(set(places)) == 20
    assert 60 < np.mean(places) < 140


def test_only_few_images_of_a_long_split_are_drawn():
    scores = np.random.RandomState(0).permutation(2000) / 20.0
    _, drawn, _ = _groups(scores, worst=8, best=2, at_random=4)
    assert len(drawn) == len(set(drawn)) < 150


def test_an_image_without_a_score_is_left_out():
    examples = Examples()
    examples.add("a", None, pytest.fail)
    assert examples.groups() == ()


def test_a_sample_keeps_its_result():
    examples = Examples()
    examples.add("a", ImageScore("IoU", 0.25, ("80 % right",), (2, 0)), lambda: lambda: "drawn")
    ((_, (sample,)),) = examples.groups()
    assert (sample.score_name, sample.score, sample.facts) == ("IoU", 0.25, ("80 % right",))
    assert sample.classes == (2, 0)
    assert sample.panels == "drawn"
