"""Optimizers: their updates, what they keep, and which flags they take."""

import re

import numpy as np
import pytest

from commands import running
from core.checkpoints import names
from core.training import updates
from core.training.optimizers import Settings
from options.optimizer import OPTIMIZERS, OptimizerOptions
from tests.resources import golden_json
from utils.compat import tf
from utils.errors import OptionError

# What makes an optimizer keep all that its row names.
EVERYTHING = {"rmsprop": {"rmsprop_centered": True, "rmsprop_momentum": 0.5}}

# The Keras optimizers, and the options of ours that stand for their arguments.
KERAS_NAMES = {
    "Adam": "adam",
    "RMSprop": "rmsprop",
    "Adagrad": "adagrad",
    "Adadelta": "adadelta",
    "Adamax": "adamax",
    "Nadam": "nadam",
    "Ftrl": "ftrl",
}
KERAS_OPTIONS = {
    "beta_1": "adam_beta1",
    "beta_2": "adam_beta2",
    "momentum": "rmsprop_momentum",
    "centered": "rmsprop_centered",
    "initial_accumulator_value": "initial_accumulator",
    "l1_regularization_strength": "ftrl_l1",
    "l2_regularization_strength": "ftrl_l2",
    "clipvalue": "clip_gradient_value",
}


def create(settings=None, learning_rate=0.1, **options):
    rate = tf.constant(learning_rate)
    return updates.create(Settings(OptimizerOptions(**options), rate, **(settings or {})))


def steps(optimizer, start, gradients):
    """Returns the weights after each update of one variable, and the optimizer's variables."""
    variable = tf.get_variable("weights", initializer=tf.constant(start, tf.float32))
    gradient = tf.placeholder(tf.float32, variable.shape)
    update = optimizer.apply_gradients([(gradient, variable)])
    values = []
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for value in gradients:
            session.run(update, {gradient: value})
            values.append(session.run(variable))
        return np.array(values), session.run({item.op.name: item for item in tf.global_variables()})


def options_of_keras(case):
    """Returns our options for a Keras optimizer with its defaults."""
    arguments = {**case["defaults"], **case["kwargs"]}
    name = case["optimizer"]
    if name == "SGD":
        return {
            "optimizer": "momentum" if arguments["momentum"] else "sgd",
            "momentum": arguments["momentum"],
            "nesterov": arguments["nesterov"],
            "clip_gradient_value": arguments.get("clipvalue", 0.0),
        }
    ours = "amsgrad" if arguments.get("amsgrad") else KERAS_NAMES[name]
    options = {
        KERAS_OPTIONS[key]: value for key, value in arguments.items() if key in KERAS_OPTIONS
    }
    if "rho" in arguments:
        options[f"{ours}_decay"] = arguments["rho"]
    if "epsilon" in arguments:
        is_adam = ours in ("adam", "amsgrad")
        options["adam_epsilon" if is_adam else "optimizer_epsilon"] = arguments["epsilon"]
    if ours == "rmsprop" and arguments["momentum"]:
        options["epsilon_placement"] = "inside"
    return {"optimizer": ours, **options}


def test_updates_equal_those_of_keras():
    golden = golden_json("refinenet/losses_optimizers.json")
    # TensorFlow 2.0's apply_gradients does not clip.
    cases = [case for case in golden["optimizers"] if not {"clipnorm"} & set(case["kwargs"])]
    assert len(cases) == 21
    gradients = np.float32(golden["gradients"])
    for case in cases:
        rate = {**case["defaults"], **case["kwargs"]}["learning_rate"]
        options = options_of_keras(case)
        limit = options.pop("clip_gradient_value", 0.0)
        given = np.clip(gradients, -limit, limit) if limit else gradients
        with tf.Graph().as_default():
            found, _ = steps(create(learning_rate=rate, **options), golden["start"], given)
        expected = np.array(case["weights_2.21"] if limit else case["weights"])
        allowed = np.maximum(1e-5 * np.abs(expected), 1e-6)
        assert np.all(np.abs(found - expected) <= allowed), (case["optimizer"], case["kwargs"])


def test_momentum_accumulates_without_nesterov():
    variable = tf.get_variable("weights", initializer=tf.constant(1.0))
    optimizer = create(momentum=0.5)
    step = optimizer.apply_gradients([(tf.constant(2.0), variable)])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values = []
        for _ in range(2):
            session.run(step)
            values.append(session.run(variable))
        slot = session.run(optimizer.get_slot(variable, "momentum"))
    assert optimizer.get_slot(variable, "momentum").op.name == "weights/Momentum"
    # accum = 2, then 0.5 * 2 + 2 = 3; each step takes 0.1 * accum.
    np.testing.assert_allclose(values, [0.8, 0.5], rtol=1e-6)
    assert slot == pytest.approx(3.0)


def test_adam_moves_by_its_rate_at_first():
    variable = tf.get_variable("weights", initializer=tf.constant(1.0))
    optimizer = create(learning_rate=0.01, optimizer="adam")
    step = optimizer.apply_gradients([(tf.constant(5.0), variable)])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step)
        assert session.run(variable) == pytest.approx(0.99, abs=1e-5)


def test_adam_adds_epsilon_to_the_corrected_root_where_it_is_told_to():
    gradients = np.float32([[5.0, 1e-4], [-3.0, 2e-4], [1.0, 3e-4]])
    options = {"optimizer": "adam", "adam_epsilon": 1e-3, "epsilon_placement": "corrected"}
    found, _ = steps(create(learning_rate=0.01, **options), [1.0, 1.0], gradients)
    weights, m, v = np.ones(2), np.zeros(2), np.zeros(2)
    for number, gradient in enumerate(gradients.astype(np.float64), 1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        root = np.sqrt(v / (1.0 - 0.999**number)) + 1e-3
        weights -= 0.01 * m / (1.0 - 0.9**number) / root
        np.testing.assert_allclose(found[number - 1], weights, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_divides_by_its_epsilon_at_least(optimizer):
    options = {"optimizer": optimizer, "adam_epsilon": 1.0}
    found, _ = steps(create(**options), 1.0, [1.0])
    # TensorFlow's epsilon meets the uncorrected deviation, sqrt(1 - beta2) at first.
    share = np.sqrt(1e-3) / (np.sqrt(1e-3) + 1.0)
    assert found[0] == pytest.approx(1.0 - 0.1 * share, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "amsgrad"])
def test_a_moving_beta_leaves_the_first_moment_without_bias(optimizer):
    momentum = tf.get_variable("momentum", initializer=0.95, trainable=False)
    made = create({"momentum": momentum.read_value()}, optimizer=optimizer)
    variable = tf.get_variable("weights", initializer=1.0)
    update = made.apply_gradients([(tf.constant(3.0), variable)])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        values = []
        for beta in (0.95, 0.85, 0.5, 0.9):
            momentum.load(beta, session)
            session.run(update)
            values.append(session.run(variable))
    # Of equal gradients both moments are the gradient, so each step is the rate.
    np.testing.assert_allclose(values, [0.9, 0.8, 0.7, 0.6], rtol=1e-5)


def test_a_schedule_moves_the_momentum():
    found, _ = steps(create({"momentum": tf.constant(0.5)}, momentum=0.9), 1.0, [2.0, 2.0])
    # accum = 2, then 0.5 * 2 + 2 = 3; each step takes 0.1 * accum.
    np.testing.assert_allclose(found, [0.8, 0.5], rtol=1e-6)


def test_ftrl_with_both_regularizations_equals_that_of_tensorflow():
    gradients = np.float32([[1.0, -0.2, 0.01], [-0.3, 0.4, 0.02]])
    numbers = {"l1_regularization_strength": 0.05, "l2_regularization_strength": 0.3}
    reference = tf.train.FtrlOptimizer(0.5, initial_accumulator_value=0.2, **numbers)
    expected, _ = steps(reference, [1.0, -1.0, 2.0], gradients)
    with tf.Graph().as_default():
        options = {"initial_accumulator": 0.2, "ftrl_l1": 0.05, "ftrl_l2": 0.3}
        made = create(learning_rate=0.5, optimizer="ftrl", **options)
        found, _ = steps(made, [1.0, -1.0, 2.0], gradients)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["adam", "nadam", "adamax"])
def test_no_scalar_is_overwritten_before_all_new_ones_are_known(optimizer):
    variable = tf.get_variable("weights", [2])
    create(optimizer=optimizer).apply_gradients([(tf.ones([2]), variable)])
    scalars = OPTIMIZERS[optimizer].scalars
    graph = tf.get_default_graph()
    assigned = [
        operation
        for operation in graph.get_operations()
        if operation.type == "Assign"
        and operation.inputs[0].op.name in scalars
        and "initial_value" not in operation.inputs[1].name
    ]
    assert len(assigned) == len(scalars)
    values = {operation.inputs[1].op for operation in assigned}
    for operation in assigned:
        assert values <= {operation.inputs[1].op, *operation.control_inputs}


@pytest.mark.once
def test_the_flag_names_every_optimizer():
    assert set(updates.OPTIMIZERS) == set(OPTIMIZERS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_an_optimizer_keeps_has_the_names_of_its_row(optimizer):
    weights = tf.get_variable("logits/semantic/weights", [2])
    made = create(optimizer=optimizer, **EVERYTHING.get(optimizer, {}))
    made.apply_gradients([(tf.ones([2]), weights)])
    kept = {variable.op.name for variable in tf.global_variables()} - {weights.op.name}
    row = OPTIMIZERS[optimizer]
    assert kept == {*(f"{weights.op.name}/{slot}" for slot in row.slots), *row.scalars}
    assert not any(names.is_of_network(name) for name in kept)


@pytest.mark.once
def test_the_names_of_slots_stay_those_of_released_checkpoints():
    slots = {name: row.slots for name, row in OPTIMIZERS.items()}
    assert slots["momentum"] == ("Momentum",)
    assert slots["adam"] == slots["adamw"] == ("Adam", "Adam_1")
    assert names.is_of_network("logits/semantic/weights")
    assert not names.is_of_network("logits/semantic/weights/ExponentialMovingAverage")
    assert not names.is_of_network("global_step")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_multiplier_acts_on_the_rate_of_its_variables(optimizer):
    gradients = np.float32([[1.0, -0.2], [0.5, 0.1], [-0.7, 0.3]])
    found = {}
    for name, rate, factor in (("faster", 0.01, 10.0), ("fast", 0.1, 1.0), ("slow", 0.01, 1.0)):
        with tf.Graph().as_default():
            multipliers = {"weights": factor, "others": 7.0}
            made = create(
                {"multipliers": multipliers, "decaying": {"weights"}},
                rate,
                optimizer=optimizer,
                weight_decay=0.5,
            )
            found[name], _ = steps(made, [1.0, -1.0], gradients)
    np.testing.assert_allclose(found["faster"], found["fast"], rtol=1e-5)
    assert np.abs(found["faster"] - found["slow"]).min() > 1e-4


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adamw", "rmsprop"])
def test_decoupled_decay_shrinks_what_decays_by_a_share_of_the_rate(optimizer):
    # The update of a zero gradient is zero.
    pairs = [(tf.zeros([]), tf.get_variable(name, initializer=2.0)) for name in ("one", "other")]
    made = create({"decaying": {"one"}}, 0.5, optimizer=optimizer, weight_decay=0.1)
    step = made.apply_gradients(pairs)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(step)
        values = session.run([variable for _, variable in pairs])
    np.testing.assert_allclose(values, [2.0 - 0.5 * 0.1 * 2.0, 2.0])


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epsilon_placement": "corrected"}, "is unknown to --optimizer=momentum; leave it out"),
        (
            {"optimizer": "rmsprop", "epsilon_placement": "corrected"},
            "is unknown to --optimizer=rmsprop, which knows outside and inside",
        ),
        ({"adam_beta2": 1.0}, "--adam_beta2 is 1, but must be below 1"),
        ({"learning_rate_multiplier": ("aux=",)}, "aux= must be PATTERN=FACTOR"),
        ({"learning_rate_multiplier": ("aux=0",)}, "named by --freeze"),
        ({"learning_rate_multiplier": ("=2",)}, "must be PATTERN=FACTOR"),
        ({"learning_rate_multiplier": ("aux=nan",)}, "must be PATTERN=FACTOR"),
        ({"learning_rate_multiplier": ("a[=2",)}, "'a[' is not a regular expression"),
        ({"weight_decay_on": ("a[",)}, "--weight_decay_on=a["),
        (
            {"weight_decay": 0.0, "weight_decay_off": ("a",)},
            "--weight_decay_off has no effect with --weight_decay=0",
        ),
        (
            {"clip_gradient_norm": 1.0, "clip_gradient_value": 1.0},
            "--clip_gradient_norm and --clip_gradient_value exclude each other",
        ),
        ({"weight_decay_after_clipping": True}, "needs --clip_gradient_norm or"),
        (
            {
                "weight_decay_after_clipping": True,
                "decoupled_weight_decay": True,
                "clip_gradient_value": 1.0,
            },
            "no effect where the decay is decoupled",
        ),
    ],
)
def test_numbers_that_cannot_work_are_refused(options, message):
    with pytest.raises(OptionError, match=re.escape(message)):
        OptimizerOptions(**options)


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "sgd", "nesterov": True}, "--nesterov has no effect with --optimizer=sgd"),
        ({"adam_beta1": 0.8}, "--adam_beta1 has no effect with --optimizer=momentum"),
        (
            {"optimizer": "adamw", "decoupled_weight_decay": True},
            "--optimizer=adamw, whose decay is decoupled anyway",
        ),
        (
            {"cosine_steps": 5},
            "--cosine_steps has no effect with --learning_policy=poly",
        ),
        ({"slow_start_shape": "linear"}, "has no effect without --slow_start_step"),
        ({"optimizer": "adam", "learning_policy": "one_cycle"}, "pass --adam_learning_rate=0"),
        ({"optimizer": "adam", "learning_rate_unit": "epoch"}, "pass --adam_learning_rate=0"),
        (
            {"optimizer": "sgd", "learning_policy": "one_cycle", "cycle_momentum": True},
            "--optimizer=sgd, which has no momentum that a schedule moves",
        ),
        (
            {"learning_policy": "one_cycle", "momentum": 0.8},
            "--momentum has no effect with --learning_policy=one_cycle, which moves the momentum",
        ),
        (
            {
                "learning_policy": "one_cycle",
                "cycle_momentum": False,
                "cycle_momentum_minimum": 0.8,
            },
            "--cycle_momentum_minimum has no effect with --nocycle_momentum",
        ),
        ({"optimizer": "adadelta"}, "needs --base_learning_rate: the default of 0.0001 is far"),
    ],
)
def test_flags_without_effect_on_the_chosen_optimizer_are_refused(options, message):
    command = running.find("train")
    with pytest.raises(OptionError, match=re.escape(message)):
        command.check(running.configure("train", **options))


@pytest.mark.once
@pytest.mark.parametrize(
    "options",
    [
        # Flag files of the DeepLab family say all of these, whatever they choose.
        {
            "optimizer": "adam",
            "momentum": 0.9,
            "learning_policy": "step",
            "learning_rate_decay_step": 5,
            "slow_start_step": 3,
            "base_learning_rate": 0.1,
        },
        {"optimizer": "sgd", "momentum": 0.9, "adam_epsilon": 1e-3},
        {"optimizer": "adam", "adam_learning_rate": 0.0, "learning_policy": "one_cycle"},
        {"optimizer": "sgd", "learning_policy": "one_cycle"},
        {"learning_policy": "one_cycle", "cycle_momentum": False, "momentum": 0.8},
        {"optimizer": "adadelta", "base_learning_rate": 1.0},
    ],
)
def test_flags_of_the_family_and_those_with_effect_are_accepted(options):
    running.find("train").check(running.configure("train", **options))


@pytest.mark.once
def test_every_flag_of_optimizers_and_schedules_is_one_of_some_row():
    rows = {name for row in OPTIMIZERS.values() for name in row.flags}
    assert rows <= set(OptimizerOptions.names())
    family = {"momentum", "adam_learning_rate", "adam_epsilon", "optimizer"}
    of_all = {name for name in OptimizerOptions.names() if name not in rows | family}
    assert of_all == {
        "weight_decay",
        "weight_decay_on",
        "weight_decay_off",
        "decoupled_weight_decay",
        "weight_decay_after_clipping",
        "learning_rate_multiplier",
        "bias_multiplier",
        "last_layer_gradient_multiplier",
        "last_layers_contain_logits_only",
        "clip_gradient_norm",
        "clip_gradient_value",
    }
