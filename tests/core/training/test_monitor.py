"""What the course of a score decides; without TensorFlow but for the clamp of the rate."""

import json

import pytest

from core.runs import records as run_records
from core.training import monitor
from core.training.monitor import Score, State
from options.monitor import MonitorOptions
from tests.resources import golden_json
from utils.errors import UserError

pytestmark = pytest.mark.once


def follow(values, options, score, first=1):
    """Returns the state after each of a row of evaluations."""
    states, state = [], State()
    for step, value in enumerate(values, first):
        state = monitor.after_evaluation(state, step, value, score, options)
        states.append(state)
    return states


def rate_of(state, base, minimum=0.0):
    return min(base, max(base * state.multiplier, minimum))


def _keras_score(arguments):
    # Keras's auto takes the maximum of scores with "acc" in their name only.
    is_larger = arguments.get("mode", "auto") == "max" or (
        arguments.get("mode", "auto") == "auto" and "acc" in arguments["monitor"]
    )
    return Score(arguments["monitor"], is_larger)


def test_plateaus_lower_the_rate_as_keras_does():
    golden = golden_json("musket/callbacks.json")
    for case in golden["plateau"]:
        arguments = case["arguments"]
        minimum = arguments.get("min_lr", 0.0)
        options = MonitorOptions(
            plateau_patience=arguments["patience"],
            plateau_factor=arguments["factor"],
            plateau_cooldown=max(arguments["cooldown"] - 1, 0),
        )
        values = golden["sequences"][case["sequence"]]
        states = follow(values, options, _keras_score(arguments))
        rates = [rate_of(state, case["initial_lr"], minimum) for state in states]
        assert rates == pytest.approx(case["lr_after_epoch"], rel=1e-6), case["arguments"]
    assert len(golden["plateau"]) == 30


def test_training_stops_early_where_keras_stops():
    golden = golden_json("musket/callbacks.json")
    cases = [
        case
        for case in golden["early_stopping"]
        if case["arguments"]["monitor"] == case["logs_key"]
    ]
    for case in cases:
        arguments = case["arguments"]
        options = MonitorOptions(early_stopping_patience=arguments.get("patience", 0) or 1)
        values = golden["sequences"][case["sequence"]]
        states = follow(values, options, _keras_score(arguments))
        enough = [index for index, state in enumerate(states) if state.is_enough(options)]
        assert (enough or [None])[0] == case["stopped_after_epoch"], case
    assert len(cases) == 30


def test_plateaus_lower_the_rate_as_pytorch_does():
    cases = golden_json("hardnet/schedules.json")["cases"]
    plateaus = [case for case in cases if "Plateau" in case["case"]["class"]]
    assert len(plateaus) == 3
    for case in plateaus:
        params, metrics = case["case"]["params"], case["case"]["metrics"]
        options = MonitorOptions(
            plateau_patience=params["patience"] + 1,
            plateau_factor=params["factor"],
            plateau_cooldown=params.get("cooldown", 0),
            plateau_min_delta=1e-4,
            plateau_min_delta_mode="rel",
        )
        states = [State(), *follow(metrics, options, Score("a", params["mode"] == "max"))]
        base, minimum = case["case"]["lr"], params.get("min_lr", 0.0)
        for number, rate in case["rows"]:
            assert rate_of(states[number], base, minimum) == pytest.approx(rate, rel=1e-6)


def test_only_a_strict_improvement_makes_a_checkpoint_the_best():
    for case in golden_json("refinenet/metrics.json")["checkpoint"]["sequences"]:
        states = follow(case["values"], MonitorOptions(), Score("miou"))
        saved = [int(state.best_step == state.evaluated) for state in states]
        assert saved == case["saved_strict"]


def test_the_best_are_kept_in_order_and_of_equal_ones_the_earlier():
    options = MonitorOptions(save_top_k=3)
    larger = follow([5.0, None, 7.0, 5.0, 6.0, 7.0], options, Score("a"))
    assert larger[1].kept == ((1, 5.0), (2, None))
    assert larger[-1].kept == ((3, 7.0), (6, 7.0), (5, 6.0))
    smaller = follow([5.0, 7.0, 5.0, 4.0], options, Score("a", larger_is_better=False))
    assert smaller[-1].kept == ((4, 4.0), (1, 5.0), (3, 5.0))


def test_an_undefined_score_is_the_worst_in_both_modes():
    for larger_is_better in (True, False):
        states = follow([None, float("nan"), -3.0, None], MonitorOptions(), Score("a"))
        assert [state.best for state in states] == [None, None, -3.0, -3.0], larger_is_better
        assert [state.best_step for state in states] == [1, 1, 3, 3]


def test_early_stopping_waits_for_an_improvement_of_its_own_size():
    options = MonitorOptions(early_stopping_patience=2, early_stopping_min_delta=0.1)
    states = follow([0.5, 0.58, 0.62, 0.7, 0.71], options, Score("a"))
    assert [state.stop_waited for state in states] == [0, 1, 0, 1, 2]
    assert states[-1].best == 0.71
    share = options.replace(early_stopping_min_delta_mode="rel")
    smaller = follow([10.0, 9.5, 8.9, 8.1, 8.0], share, Score("a", larger_is_better=False))
    assert [state.stop_waited for state in smaller] == [0, 1, 0, 1, 0]


def test_early_stopping_does_not_count_right_after_the_rate_was_lowered():
    options = MonitorOptions(
        early_stopping_patience=4, early_stopping_cooldown=2, plateau_patience=2
    )
    states = follow([1.0] * 7, options, Score("a"))
    assert [state.multiplier for state in states] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01, 1e-3]
    )
    assert [state.stop_waited for state in states] == [0, 1, 2, 2, 2, 2, 2]
    plain = follow([1.0] * 5, options.replace(early_stopping_cooldown=0), Score("a"))
    assert plain[-1].is_enough(options)


OPTIONS = MonitorOptions(plateau_patience=2, early_stopping_patience=3, save_top_k=2)


def _record(folder, step, value, score, **more):
    run_records.append(
        str(folder), {"step": step, "eval_split": score.split, score.key: value, **more}
    )


def test_the_state_of_a_step_is_found_again_also_of_an_earlier_one(tmp_path):
    score = Score("miou")
    states = follow([0.2, 0.3, 0.3, 0.1], OPTIONS, score)
    for state in states:
        monitor.save(str(tmp_path), state.evaluated, state, score, oldest=0)
    assert monitor.load(str(tmp_path), 9, score, OPTIONS) == states[3]
    assert monitor.load(str(tmp_path), 2, score, OPTIONS) == states[1]
    # What is written again after a return to an earlier step replaces what came after it.
    monitor.save(str(tmp_path), 3, states[0], score, oldest=0)
    assert monitor.load(str(tmp_path), 9, score, OPTIONS) == states[0]


def test_an_evaluation_that_the_file_does_not_know_is_taken_from_the_records(tmp_path):
    score = Score("miou")
    states = follow([0.2, 0.3, 0.3], OPTIONS, score)
    monitor.save(str(tmp_path), 1, states[0], score, oldest=0)
    for step, value in ((1, 0.2), (2, 0.3), (3, 0.3)):
        _record(tmp_path, step, value, score)
    assert monitor.load(str(tmp_path), 3, score, OPTIONS) == states[2]
    assert monitor.load(str(tmp_path), 2, score, OPTIONS) == states[1]


def test_another_score_starts_from_its_own_records(tmp_path):
    miou, other = Score("miou"), Score("pixel_accuracy", split="val")
    monitor.save(str(tmp_path), 1, follow([0.2], OPTIONS, miou)[0], miou, oldest=0)
    _record(tmp_path, 1, 0.2, miou, eval_pixel_accuracy=0.7)
    assert monitor.load(str(tmp_path), 1, other, OPTIONS).best == 0.7
    assert monitor.load(str(tmp_path), 1, other._replace(split="test"), OPTIONS) == State()
    as_loss = miou._replace(larger_is_better=False)
    assert monitor.load(str(tmp_path), 1, as_loss, OPTIONS).best == 0.2


def test_losses_since_the_last_evaluation_are_kept_between_evaluations(tmp_path):
    score = Score("training_loss", larger_is_better=False)
    state = follow([0.5], OPTIONS, score)[0].add_loss(1.0).add_loss(3.0)
    monitor.save(str(tmp_path), 8, state, score, oldest=0)
    assert monitor.load(str(tmp_path), 8, score, OPTIONS).mean_loss == 2.0
    assert monitor.after_evaluation(state, 9, 2.0, score, OPTIONS).mean_loss is None


def test_states_that_no_checkpoint_needs_are_forgotten(tmp_path):
    score = Score("miou")
    for state in follow([0.1] * 9, OPTIONS, score):
        monitor.save(str(tmp_path), 10 * state.evaluated, state, score, oldest=65)
    content = json.loads((tmp_path / "monitor.json").read_text())
    assert list(content["states"]) == ["60", "70", "80", "90"]


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "monitor.json").write_text('{"states": 3}')
    with pytest.raises(UserError, match="monitor.json .*restore or remove"):
        monitor.load(str(tmp_path), 3, Score("miou"), OPTIONS)
