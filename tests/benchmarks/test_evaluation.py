"""The benchmark of evaluation: what its ratios are of."""

import pytest

from benchmarks import evaluation
from options.evaluation import EvalOptions


def test_ratios_allow_for_the_arithmetic_by_time_and_by_processor_time():
    cases = {"bare network": (None, 8, 1.0), "six + flip": (None, 4, 10.0)}
    seconds = {"bare network": [(4.0, 8.0), (4.0, 8.0)], "six + flip": [(20.0, 50.0), (10.0, 25.0)]}
    rows, ratios = evaluation._rows(cases, seconds)
    assert [row.values for row in rows] == [(2.0, 2.0), (0.2, 0.4)]
    assert {row.name: row.values for row in ratios} == {
        "six + flip / bare network": (pytest.approx(1.0), pytest.approx(2.0)),
        "six + flip / bare network, by processor time": (pytest.approx(0.8), pytest.approx(1.6)),
    }


def test_six_scales_with_mirrored_images_have_the_stated_arithmetic():
    options = EvalOptions(eval_scales=evaluation._SCALES, add_flipped_images=True)
    assert evaluation._arithmetic(options) == pytest.approx(17.4, abs=0.05)
    assert evaluation._arithmetic(EvalOptions()) == 1.0
