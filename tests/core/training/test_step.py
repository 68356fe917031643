"""The training step: accumulation, freezing, averages, weight decay, steps that are not finite."""

import functools
from unittest import mock

import numpy as np
import pytest

from core import layers
from core.backbones import mobilenet_v2
from core.training import step as train
from deployment import backend as backends
from deployment.devices.loss_scaling import LossScaling
from options.device import DeviceOptions
from tests.small_losses import classes_of, random_labels
from tests.small_steps import config_of
from utils.compat import tf

# Four blocks instead of seventeen: what is tested does not depend on the depth.
BLOCKS = mobilenet_v2.BLOCKS[:4]
MODEL = {"depth_multiplier": 0.1, "aspp_convs_filters": 4, "output_stride": 8}
SIDE = 33
STEPS = 2


def run(images=4, steps=STEPS, start=None, poison=None, device=None, task="multiclass", **options):
    """Trains a tiny network on random images; returns what a step reported and all variables.

    Args:
      images: Images of a step.
      steps: Steps to make.
      start: Name -> value of variables before the first step, where not as initialized.
      poison: The step, from 1 on, whose images hold a NaN.
      device: Attribute of the backend -> value, where not as on CPU.
      task: The task of the classes.
      **options: Of the training.
    """
    random = np.random.RandomState(0)
    channels = options.get("input_channels", 3)
    batch = random.uniform(0, 255, [images, SIDE, SIDE, channels]).astype(np.float32)
    classes = classes_of(task, 3)
    labels = random_labels(classes, size=(images, SIDE, SIDE))
    backend = backends.create(DeviceOptions(device="cpu"))
    vars(backend).update(device or {})
    settings = {"base_learning_rate": 0.05, "fine_tune_batch_norm": False, **options}
    with tf.Graph().as_default(), mock.patch.object(
        layers, "dropout", lambda inputs, *_: inputs
    ), mock.patch.object(mobilenet_v2, "BLOCKS", BLOCKS):
        tf.set_random_seed(1)
        given = tf.placeholder_with_default(batch, batch.shape)
        step = train.build(
            given,
            tf.constant(labels),
            config_of(**MODEL, **settings),
            classes=classes,
            backend=backend,
        )
        fetches = [step.loss, step.reg_loss, step.gradient_norm, step.bad_step, step.learning_rate]
        bad = batch.copy()
        bad[0, 3, 3, 0] = np.nan
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            if start:
                variables = tf.global_variables()
                values = {item.initializer.inputs[1]: start[item.op.name] for item in variables}
                session.run([item.initializer for item in variables], values)
            start = session.run(tf.global_variables())
            for number in range(1, steps + 1):
                feed = {given: bad} if number == poison else {}
                _, reported = session.run([step.train_op, fetches], feed)
            names = [variable.op.name for variable in tf.global_variables()]
            after = dict(zip(names, session.run(tf.global_variables())))
    return reported, after, dict(zip(names, start))


@functools.lru_cache(maxsize=None)
def one_step():
    return run(steps=1)


def changed(after, start):
    return {name for name in start if not np.array_equal(start[name], after[name])}


def assert_equal(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        scale = np.abs(value).max() + 1e-3
        np.testing.assert_allclose(actual[name], value, atol=2e-5 * scale, err_msg=name)


def test_accumulated_batches_learn_what_one_large_batch_learns():
    at_once, after, start = run(clip_gradient_norm=0.01)
    in_turn, after_in_turn, _ = run(start=start, accumulate_batches=2, clip_gradient_norm=0.01)
    np.testing.assert_allclose(in_turn[:3], at_once[:3], rtol=1e-5)
    assert_equal(after_in_turn, after)
    assert after["global_step"] == STEPS


@pytest.mark.parametrize("channels", [1, 4])
def test_a_network_with_other_input_channels_learns_from_all_of_them(channels):
    _, after, start = run(input_channels=channels)
    name = "MobilenetV2/Conv/weights"
    assert after[name].shape[2] == channels
    moved = np.abs(after[name] - start[name]).max(axis=(0, 1, 3))
    assert moved.min() > 0


def test_each_accumulated_batch_updates_the_moving_averages():
    moving = "MobilenetV2/Conv/BatchNorm/moving_mean"
    _, once, _ = run(steps=1, fine_tune_batch_norm=True)
    _, twice, _ = run(steps=1, fine_tune_batch_norm=True, accumulate_batches=2)
    assert np.abs(twice[moving]).mean() > 1.5 * np.abs(once[moving]).mean()


def test_frozen_variables_stay_and_have_no_slots_decay_or_averages():
    reported, after, start = run(
        freeze=("backbone",),
        fine_tune_batch_norm=True,
        ema_decay=0.9,
        # A pattern may mean what --unfreeze_step is going to train.
        learning_rate_multiplier=("MobilenetV2/=0.5",),
        weight_decay_off=("MobilenetV2/Conv/",),
    )
    moved = changed(after, start)
    assert not any(name.startswith("MobilenetV2/") for name in moved)
    assert "aspp0/BatchNorm/moving_mean" in moved
    assert "logits/semantic/weights" in moved
    suffixes = ("/Momentum", "/ExponentialMovingAverage")
    assert not any(n.startswith("MobilenetV2/") and n.endswith(suffixes) for n in after)
    whole, _, _ = one_step()
    assert 0 < reported[1] < whole[1]


@pytest.mark.parametrize("form", ["affine", "statistics"])
def test_a_frozen_batch_norm_learns_what_its_form_says(form):
    _, after, start = run(freeze=("backbone",), frozen_batch_norm=form, ema_decay=0.9)
    moved = {name for name in changed(after, start) if name.startswith("MobilenetV2/")}
    learning = {"affine": ("gamma", "beta"), "statistics": ("moving_mean", "moving_variance")}[form]
    parts = {name.split("/BatchNorm/")[1].split("/")[0] for name in moved}
    assert parts == set(learning)
    averages = {name for name in after if name.endswith("/ExponentialMovingAverage")}
    assert {name for name in averages if name.startswith("MobilenetV2/")} <= moved
    # --nofine_tune_batch_norm is about the rest.
    assert not [name for name in changed(after, start) if name.startswith("aspp0/BatchNorm/mov")]


def test_the_ema_follows_the_weights_of_successive_steps():
    _, first, _ = run(steps=1, ema_decay=0.9, fine_tune_batch_norm=True)
    _, second, _ = run(steps=2, ema_decay=0.9, fine_tune_batch_norm=True)
    for name in ("logits/semantic/weights", "aspp0/BatchNorm/moving_mean"):
        average = name + "/ExponentialMovingAverage"
        np.testing.assert_allclose(first[average], first[name], rtol=1e-5, atol=1e-7)
        expected = 0.1 * first[name] + 0.9 * second[name]
        np.testing.assert_allclose(second[average], expected, rtol=1e-4, atol=1e-6)


def test_adamw_shrinks_exactly_the_weights_that_l2_would():
    settings = {"steps": 1, "base_learning_rate": 0.01}
    (_, reg_loss, *_), with_decay, start = run(optimizer="adamw", weight_decay=0.1, **settings)
    _, without, _ = run(optimizer="adamw", weight_decay=0.0, start=start, **settings)
    assert reg_loss == 0
    for name in start:
        decays = name.endswith("/weights")
        expected = without[name] - (0.01 * 0.1 * start[name] if decays else 0.0)
        np.testing.assert_allclose(with_decay[name], expected, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
def test_all_may_decay_and_some_may_not(optimizer):
    settings = {"optimizer": optimizer, "weight_decay": 0.1, "bias_multiplier": 1.0, "steps": 1}
    patterns = {"weight_decay_on": ("all",), "weight_decay_off": (".*/gamma",)}
    _, with_decay, start = run(**settings, **patterns)
    _, without, _ = run(start=start, **{**settings, "weight_decay": 0.0})
    for name in ("logits/semantic/biases", "MobilenetV2/Conv/weights", "aspp0/BatchNorm/gamma"):
        share = 0.0 if name.endswith("gamma") else 0.05 * 0.1
        expected = without[name] - share * start[name]
        np.testing.assert_allclose(with_decay[name], expected, atol=2e-6, err_msg=name)


def test_gradients_are_clipped_before_they_get_their_decay_where_it_is_told_to():
    settings = {"steps": 1, "weight_decay": 0.1, "clip_gradient_norm": 1e-6, "optimizer": "sgd"}
    (_, _, norm, *_), after, start = run(**settings, weight_decay_after_clipping=True)
    (_, _, larger_norm, *_), _, _ = run(**settings, start=start)
    name = "MobilenetV2/Conv/weights"
    np.testing.assert_allclose(after[name], start[name] * (1.0 - 0.05 * 0.1), atol=1e-6)
    assert larger_norm > norm


def test_a_multiplier_of_the_rate_reaches_the_variables_of_its_pattern():
    settings = {"steps": 1, "optimizer": "adamw", "weight_decay": 0.0, "base_learning_rate": 1e-3}
    _, plain, start = run(**settings)
    _, faster, _ = run(**settings, start=start, learning_rate_multiplier=("aspp0/=10",))
    for name, factor in (("aspp0/weights", 10.0), ("logits/semantic/weights", 1.0)):
        moved = factor * (plain[name] - start[name])
        np.testing.assert_allclose(faster[name] - start[name], moved, rtol=1e-3, atol=1e-6)


def test_adamw_shrinks_nothing_in_a_step_that_overflows():
    device = {"wrap_optimizer": lambda optimizer: LossScaling(optimizer, fixed=float("inf"))}
    settings = {"optimizer": "adamw", "weight_decay": 0.1, "steps": 1}
    _, after, start = run(device={**device, "skips_overflow": True}, **settings)
    assert changed(after, start) == {"global_step"}


def test_a_nonfinite_step_is_recorded_and_no_update_is_applied_from_then_on():
    _, before, _ = one_step()
    reported, after, _ = run(steps=4, poison=2)
    assert reported[3].number == 2
    assert np.isnan(reported[3].values["gradient_norm"])
    assert reported[3].values["learning_rate"] == pytest.approx(reported[4])
    assert after["global_step"] == 1
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)


def test_a_loop_on_a_device_continues_but_names_the_step():
    reported, after, _ = run(steps=4, poison=2, device={"runs_loop_on_device": lambda: True})
    assert reported[3].number == 2
    assert after["global_step"] == 4


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_other_tasks_have_their_channels_and_start_at_chance(task):
    reported, after, start = run(steps=1, task=task, accumulate_batches=2)
    channels = {"binary": 1, "multilabel": 3}[task]
    assert after["logits/semantic/biases"].shape == (channels,)
    assert reported[0] == pytest.approx(np.log(2), abs=0.05)
    assert {"global_step", "logits/semantic/biases"} <= changed(after, start)
