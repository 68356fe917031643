"""A training that continues has the bits of one without a break, with every optimizer and schedule.

The gradients are functions of each weight alone, so no processor sums them in another order.
"""

import numpy as np
import pytest

from core.training import rates, updates
from core.training.optimizers import Settings
from options.optimizer import OPTIMIZERS
from options.schedule import LEARNING_POLICIES
from tests.small_steps import config_of
from utils.compat import tf

STEPS, BREAK = 6, 4

# Each with a schedule of its own, so that all of them are continued too.
OPTIMIZERS_AND_SCHEDULES = [
    ("momentum", {"learning_policy": "one_cycle", "nesterov": True}),
    ("adam", {"adam_learning_rate": 0.0, "learning_policy": "one_cycle"}),
    ("sgd", {"learning_policy": "cosine", "slow_start_step": 3, "slow_start_shape": "linear"}),
    ("adamw", {"learning_policy": "exponential", "learning_rate_multiplier": ("logits/=3",)}),
    (
        "amsgrad",
        {"learning_policy": "cyclic", "cyclic_maximum_learning_rate": 0.1, "cyclic_steps_up": 3},
    ),
    (
        "rmsprop",
        {
            "learning_policy": "segments",
            "learning_rate_segment": ("sin+:0.001:0.01:3", "2::0.001:3"),
            "rmsprop_centered": True,
            "rmsprop_momentum": 0.5,
        },
    ),
    ("nadam", {"learning_policy": "multi_step", "multi_step_milestones": (2, 4)}),
    ("adamax", {"learning_policy": "cosine_restarts", "cosine_steps": 3}),
    ("adagrad", {"learning_policy": "step", "learning_rate_decay_step": 2}),
    ("adadelta", {"learning_policy": "constant", "decoupled_weight_decay": True}),
    ("ftrl", {"learning_policy": "poly"}),
]


def train(config, steps, *, resume_from=None, save_to=None):
    """Trains two variables; returns all variables by name."""
    with tf.Graph().as_default():
        global_step = tf.train.get_or_create_global_step()
        start = tf.constant(np.linspace(-1.0, 1.0, 7), tf.float32)
        variables = [tf.get_variable(f"{name}/weights", initializer=start) for name in ("a", "b")]
        step = tf.cast(global_step, tf.float32)
        pairs = [(tf.sin(3.0 * item + step), item) for item in variables]
        decoupled = config.optimizer.has_decoupled_decay
        settings = Settings(
            config.optimizer,
            rates.learning_rate(config, global_step, 2),
            rates.momentum(config, global_step, 2),
            multipliers={"a/weights": 3.0},
            decaying={"b/weights"} if decoupled else frozenset(),
        )
        with tf.control_dependencies([gradient for gradient, _ in pairs]):
            update = updates.create(settings).apply_gradients(pairs, global_step=global_step)
        saver = tf.train.Saver(tf.global_variables())
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            if resume_from:
                saver.restore(session, resume_from)
            for _ in range(steps):
                session.run(update)
            if save_to:
                saver.save(session, save_to)
            return session.run({item.op.name: item for item in tf.global_variables()})


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS_AND_SCHEDULES)
def test_a_continued_training_has_the_bits_of_one_without_a_break(optimizer, options, tmp_path):
    settings = {"base_learning_rate": 0.05, "optimizer": optimizer, **options}
    config = config_of(training_number_of_steps=STEPS, **settings)
    checkpoint = str(tmp_path / "model")
    whole = train(config, STEPS)
    begun = train(config, BREAK, save_to=checkpoint)
    continued = train(config, STEPS - BREAK, resume_from=checkpoint)
    assert continued["global_step"] == STEPS
    assert continued.keys() == whole.keys()
    for name, value in whole.items():
        np.testing.assert_array_equal(continued[name], value, err_msg=name)
    assert not np.array_equal(whole["a/weights"], begun["a/weights"])


@pytest.mark.once
def test_every_optimizer_and_schedule_is_continued():
    assert {row[0] for row in OPTIMIZERS_AND_SCHEDULES} == set(OPTIMIZERS)
    policies = {row[1]["learning_policy"] for row in OPTIMIZERS_AND_SCHEDULES}
    assert policies == set(LEARNING_POLICIES)
