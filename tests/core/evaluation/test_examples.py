"""Which images a report shows."""

import numpy as np
import pytest

from core.evaluation.examples import Samples


def _confusion(right, wrong=None):
    wrong = 100 - right if wrong is None else wrong
    return np.array([[right, wrong], [0, 0]])


def _groups(scores, **sizes):
    """Adds an image per score; returns title -> names."""
    samples = Samples(("road", "tree"), **sizes)
    drawn = []
    for index, score in enumerate(scores):
        name = f"{index}:{score}"

        def draw(name=name):
            drawn.append(name)
            return lambda: name

        samples.add(name, _confusion(score), draw)
    groups = {title: [sample.name for sample in found] for title, found in samples.groups()}
    return groups, drawn, samples.groups()


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


def test_a_sample_tells_its_scores_and_its_largest_mistakes():
    samples = Samples(("road", "tree", "car"))
    samples.add("a", [[80, 15, 0], [3, 0, 2], [0, 0, 0]], lambda: lambda: "drawn")
    ((_, (sample,)),) = samples.groups()
    assert sample.accuracy == 0.8
    assert sample.miou == pytest.approx(80 / 98 / 3)
    assert sample.mistakes == (
        ("road", "tree", 0.15),
        ("tree", "road", 0.03),
        ("tree", "car", 0.02),
    )
    assert sample.panels == "drawn"


def test_an_image_without_a_labelled_pixel_is_left_out():
    samples = Samples(("road", "tree"))
    samples.add("a", _confusion(0, 0), pytest.fail)
    assert samples.groups() == ()


def test_a_sample_knows_its_classes_the_largest_first():
    samples = Samples(("road", "tree", "sky", "car"))
    confusion = np.zeros([4, 4], np.int64)
    confusion[2, 2], confusion[0, 3] = 5, 1
    samples.add("a", confusion, lambda: lambda: None)
    ((_, (sample,)),) = samples.groups()
    assert sample.classes == (2, 0, 3)
