import numpy as np
import pytest

from core.losses import objective
from datasets import class_weights
from options.loss import LossOptions
from utils.classes import ClassSet, default_names


def test_median_frequency_follows_its_definition():
    # Of three images of 100 pixels: class 0 in all of them, 1 in two, 2 in one.
    weights = class_weights.median_frequency([240, 40, 20], [300, 200, 100])
    np.testing.assert_allclose(weights, [0.2 / 0.8, 1.0, 1.0])


def test_inverse_frequency_has_mean_1_and_gives_every_class_the_same_weight_in_all():
    pixels = np.array([900.0, 90.0, 10.0])
    weights = class_weights.inverse_frequency(pixels)
    assert weights.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(weights * pixels, [weights[0] * 900] * 3)


def test_effective_number_lies_between_equal_weights_and_inverse_frequency():
    images = np.array([1000, 100, 10])
    np.testing.assert_allclose(class_weights.effective_number(images, 0.0), np.ones(3))
    np.testing.assert_allclose(
        class_weights.effective_number(images, 1 - 1e-9),
        class_weights.inverse_frequency(images),
        rtol=1e-4,
    )
    # Equation of the paper, by hand: n = 2, beta = 0.9: 0.1 / (1 - 0.81); n = 1: 1.
    effective = np.array([0.1 / 0.19, 1.0])
    np.testing.assert_allclose(
        class_weights.effective_number([2, 1], 0.9), effective / effective.mean()
    )


@pytest.mark.parametrize(
    "weights",
    [
        class_weights.median_frequency([5, 0, 10], [10, 0, 20]),
        class_weights.inverse_frequency([5, 0, 10]),
        class_weights.effective_number([5, 0, 10]),
        class_weights.inverse_frequency([0, 0, 0]),
    ],
)
def test_a_class_that_never_appears_gets_1(weights):
    assert weights[1] == 1.0
    assert np.all(np.isfinite(weights))


def test_the_line_to_paste_is_one_flag_for_each_class():
    line = class_weights.as_flags([0.25, 12.345678])
    assert line == "--label_weights=0.25 --label_weights=12.35"
    weights = tuple(float(flag.split("=")[1]) for flag in line.split())
    objective.check(LossOptions(label_weights=weights), ClassSet(default_names(2)))
