"""Options of monitored scores: what has no effect is refused."""

import pytest

from options.monitor import MonitorOptions
from tests.small_steps import config_of
from utils.errors import OptionError

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"early_stopping_min_delta": 0.1}, "early_stopping_patience"),
        ({"early_stopping_min_delta_mode": "rel"}, "early_stopping_patience"),
        ({"plateau_factor": 0.5}, "plateau_patience"),
        ({"plateau_minimum_learning_rate": 1e-6}, "plateau_patience"),
        ({"early_stopping_cooldown": 1, "early_stopping_patience": 3}, "plateau_patience"),
        ({"monitor": "miou"}, "eval_interval_steps"),
        ({"monitor_mode": "min"}, "eval_interval_steps"),
        ({"save_top_k": 2}, "eval_interval_steps"),
        ({"early_stopping_patience": 2}, "eval_interval_steps"),
        ({"plateau_patience": 2}, "eval_interval_steps"),
        ({"sanity_eval_batches": 2}, "eval_interval_steps"),
    ],
)
def test_an_option_without_effect_names_what_it_needs(options, missing):
    *_, name = sorted(options, key=lambda option: option == "early_stopping_cooldown")
    interval = {} if missing == "eval_interval_steps" else {"eval_interval_steps": 5}
    with pytest.raises(OptionError, match=f"--{name}.*--{missing}"):
        config_of(**options, **interval)
    config_of(
        **{
            "early_stopping_patience": 3,
            "plateau_patience": 2,
            "eval_interval_epochs": 0.5,
            **options,
        }
    )


@pytest.mark.parametrize("factor", [0.0, 1.0, 2.0])
def test_a_factor_that_lowers_nothing_is_refused(factor):
    with pytest.raises(OptionError, match="--plateau_factor is"):
        MonitorOptions(plateau_factor=factor)
