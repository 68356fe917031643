"""The learning-rate finder's numbers: those of the original, and the suggested rate."""

import json
import math

import numpy as np
import pytest

from core.training import rate_curve
from core.training.rate_curve import RateCurve
from options.lr_find import LrFindOptions
from tests.resources import golden_json
from utils.errors import OptionError

pytestmark = pytest.mark.once


def test_rates_stops_and_changes_equal_the_original():
    cases = golden_json("musket/callbacks.json")["lr_finder"]
    assert len(cases) == 3
    for case in cases:
        steps = case["batches_per_epoch"] * case["epochs"]
        rates = rate_curve.rates(case["start_lr"], case["end_lr"], steps)
        losses = np.array(case["losses"], np.float64)
        np.testing.assert_allclose(rates[: len(losses)], case["lr_recorded"], rtol=1e-6)
        expected = np.array(case["change_sma3"], np.float64)
        np.testing.assert_allclose(rate_curve.changes(losses, 3), expected, atol=1e-8)
        stops = [
            bool(rate_curve.reason_to_stop(list(losses[: count + 1]), 4.0))
            for count in range(len(losses))
        ]
        assert stops.count(True) == (case["stopped_at_batch"] is not None)
        if case["stopped_at_batch"] is not None:
            assert stops.index(True) == case["stopped_at_batch"]


def _losses(rates, best, width=1.0):
    """Returns losses that fall around a rate and rise after it."""
    place = np.log10(rates / best)
    return 2.0 - 1.0 / (1.0 + np.exp(-4.0 * place / width)) + np.exp(5.0 * (place - 1.5))


@pytest.mark.parametrize("best", [1e-4, 3e-3, 0.02])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_suggested_rate_is_where_the_loss_falls_fastest(best, noise):
    rates = rate_curve.rates(1e-6, 10.0, 200)
    losses = _losses(rates, best) + noise * np.random.RandomState(0).standard_normal(200)
    found = rate_curve.suggest(rates, losses)
    assert abs(math.log10(found.rate / best)) < (0.05 if noise == 0 else 0.5)
    assert f"{found.rate:.3g}" in found.why


def test_losses_that_do_not_fall_suggest_nothing_and_say_why():
    rates = rate_curve.rates(1e-6, 1.0, 50)
    for losses in (np.full(50, 2.0), np.linspace(2.0, 5.0, 50), np.linspace(2.0, 1.99, 50)):
        found = rate_curve.suggest(rates, losses)
        assert found.rate is None
        assert "does not fall" in found.why
    assert rate_curve.suggest(rates[:3], [1.0, math.nan, math.inf]).rate is None


def test_json_has_null_for_what_is_not_finite_and_csv_a_row_for_each_step():
    curve = RateCurve((0.1, 0.2, 0.4), (2.0, 1.0, math.nan), "the loss is not finite", 1)
    content = json.loads(curve.to_json(more=3), parse_constant=pytest.fail)
    assert content["losses"] == [2.0, 1.0, None]
    assert content["changes"] == [0.0, -1.0, None]
    assert (content["best_loss"], content["more"]) == (1.0, 3)
    rows = curve.to_csv().splitlines()
    assert rows[0] == "step,rate,loss,change"
    assert rows[2] == "1,0.2,1,-1"
    assert len(rows) == 4


def test_the_length_is_given_in_steps_or_in_epochs():
    assert LrFindOptions().steps(1000, 10) == 100
    assert LrFindOptions(find_steps=30).steps(1000, 10) == 30
    assert LrFindOptions(find_epochs=1.5).steps(1001, 10) == 151
    assert LrFindOptions(find_epochs=0.001).steps(10, 10) == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start_lr": 1.0, "end_lr": 1.0}, "--start_lr=1 must be below"),
        ({"find_steps": 5, "find_epochs": 2.0}, "--find_steps=5 and --find_epochs=2"),
        ({"y_lim": (1.0, 0.5)}, "--y_lim=1,0.5"),
    ],
)
def test_options_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(OptionError, match=message):
        LrFindOptions(**values)
