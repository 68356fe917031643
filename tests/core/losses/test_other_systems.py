"""Losses equal the stored numbers of the other systems: values and gradients."""

import numpy as np
import pytest

from core import task as tasks
from core.losses import Context, objective
from options import loss_expression
from options.loss import LossOptions
from tests.golden import rules
from tests.golden.hardnet import losses as hardnet_losses
from tests.resources import golden_folder, golden_json
from tests.small_losses import classes_of
from utils.classes import ClassSet, default_names
from utils.compat import tf
from utils.errors import OptionError

# Of the Keras pipeline; its README accepts 1e-5 and 1e-6 of the largest gradient.
_VALUE, _SLOPE = 1e-5, 1e-6
# The original is infinite for the loss and its slope where y = 0 and y' = 1; ours is not.
_INFINITE = ("focal_loss", "opposite")
_EXCLUSIVE = ("exclusive",)


class _Identity:
    """A task whose answers are given as they are; else as another one."""

    def __init__(self, task):
        self._task = task

    def __getattr__(self, name):
        return getattr(self._task, name)

    def activate(self, answer):
        return answer


def _targets(labels, channels, task):
    count = channels if task == "multiclass" else labels.shape[3]
    targets = tasks.TASKS[task].targets(tf.constant(labels), classes_of(task, count))
    return targets._replace(task=_Identity(targets.task))


def _of_answers(cases):
    """Returns value and gradient of sums of exact losses of what a network answers.

    Args:
      cases: Key -> (expression, answer, labels, task).
    """
    with tf.Graph().as_default(), tf.Session() as session:
        terms, parts, inputs = {}, {}, {}
        for key, (text, *arrays) in cases.items():
            terms[key] = []
            for term in objective.terms(loss_expression.parse(text), "merged"):
                place = (*map(id, arrays), id(term.loss), str(term.parameters))
                if place not in parts:
                    parts[place] = _part(term, inputs, *arrays)
                terms[key].append((term.weight, place))
        found = session.run(parts)
    return {
        key: [sum(weight * found[place][which] for weight, place in weighted) for which in (0, 1)]
        for key, weighted in terms.items()
    }


def _part(term, inputs, answer, labels, task):
    if id(answer) not in inputs:
        inputs[id(answer)] = tf.constant(answer), _targets(labels, answer.shape[3], task)
    tensor, targets = inputs[id(answer)]
    value = term.loss.build(tensor, targets, Context(), **term.parameters)
    return value, tf.gradients(value, tensor)[0]


def _musket_array(rule):
    """Returns an array by the rule of the Keras pipeline's losses, float32."""
    kind, *rest = rule
    if kind == "hard":
        return np.float32(_musket_array(rest) > 0.5)
    if kind in ("zeros", "ones"):
        return np.full(rest, kind == "ones", np.float32)
    seed, number, height, width, channels = rest
    random = np.random.RandomState(seed)
    small = (number, -(-height // 4), -(-width // 4))
    if kind == "mask":
        return _repeated(random.randint(0, 2, size=(*small, channels)), height, width)
    if kind == "onehot":
        found = random.randint(0, channels, size=(*small, 1))
        return _repeated(found == np.arange(channels), height, width)
    logits = 2 * random.standard_normal((number, height, width, channels))
    if kind == "softmax":
        powers = np.exp(logits - logits.max(axis=3, keepdims=True))
        return np.float32(powers / powers.sum(axis=3, keepdims=True))
    return np.float32({"logits": logits, "sigmoid": 1.0 / (1.0 + np.exp(-logits))}[kind])


def _repeated(small, height, width):
    return np.float32(small.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width])


def _musket_cases(manifest):
    """Returns name of a case -> (answer, labels, task)."""
    found = {}
    for name, parts in manifest["cases"].items():
        values, answer = (_musket_array(part) for part in parts)
        task = "binary" if values.shape[3] == 1 else "multilabel"
        labels = np.int32(values)
        if name in _EXCLUSIVE:
            labels, task = np.int32(values.argmax(axis=3))[..., np.newaxis], "multiclass"
        found[name] = answer, labels, task
    return found


def test_losses_of_the_keras_pipeline():
    manifest, stored = golden_json("musket/losses.json"), _arrays("musket/losses.npz")
    entries = {entry["array"]: entry for entry in manifest["losses"]}
    assert len(entries) == 113
    arrays = _musket_cases(manifest)
    found = _of_answers(
        {
            name: (loss_expression.of_musket(entry["loss"]), *arrays[entry["case"]])
            for name, entry in entries.items()
        }
    )
    for name, entry in entries.items():
        value, gradient = found[name]
        if (entry["loss"], entry["case"]) == _INFINITE:
            assert entry["value"] in ("Infinity", np.inf)
            assert np.isfinite(value)
            assert value > 1000
            assert np.isfinite(gradient).all()
            continue
        message = f"{entry['loss']} {entry['case']}"
        np.testing.assert_allclose(value, entry["value"], _VALUE, 1e-7, err_msg=message)
        limit = _SLOPE * max(1.0, np.abs(stored[name]).max())
        np.testing.assert_allclose(gradient, stored[name], 0, limit, err_msg=message)


def test_expressions_that_the_keras_pipeline_reads_right():
    manifest = golden_json("musket/losses.json")
    grammar = {entry["expression"]: entry for entry in manifest["grammar"]}
    # Their values are the original's misreadings: a sign, a factor without a digit before the
    # point and parentheses are skipped there, and metrics added as if they were losses.
    misread = {
        *("binary_crossentropy+ 0.1*dice_loss", "binary_crossentropy+-0.5*dice_loss"),
        *("binary_crossentropy+.5*dice_loss", "binary_crossentropy+(0.1)*dice_loss"),
    }
    metrics = {"binary_crossentropy+dice", "binary_crossentropy+iou"}
    right = [
        text
        for text, entry in grammar.items()
        if "value" in entry and text not in misread and text not in metrics
    ]
    assert len(right) == 9
    arrays = _musket_cases(manifest)["binary"]
    found = _of_answers(
        {text: (loss_expression.of_musket(text), *arrays) for text in [*right, *misread]}
    )
    found = {text: value for text, (value, _) in found.items()}
    for text in right:
        assert found[text] == pytest.approx(grammar[text]["value"], rel=_VALUE), text
    for text in misread:
        assert found[text] != pytest.approx(grammar[text]["value"], rel=1e-2), text
    for text in metrics:
        with pytest.raises(OptionError, match=r"is no loss of the Keras pipeline"):
            loss_expression.of_musket(text)


# What the RefineNet system names -> its parameters here, beside those of Keras.
_ANSWERS = {"x": "logits", "p": "probabilities", "sm": "probabilities"}


def test_losses_of_keras_by_name():
    entries = golden_json("refinenet/losses_optimizers.json")["losses"]
    assert len(entries) == 19
    logits = (np.random.RandomState(101).standard_normal((2, 16, 24, 3)) * 3).astype(np.float32)
    labels = np.stack([_multi_label(seed, 16, 24, 3) for seed in (102, 103)])
    powers = np.exp(logits.astype(np.float64))
    answers = {
        "x": logits,
        "p": np.float32(powers / (1 + powers)),
        "sm": np.float32(powers / powers.sum(axis=3, keepdims=True)),
    }
    found = _of_answers(
        {
            place: (_keras_text(entry), answers[entry["input"]], labels, "multilabel")
            for place, entry in enumerate(entries)
        }
    )
    for entry, (value, gradient) in zip(entries, found.values()):
        message = f"{entry['loss']} of {entry['input']}"
        np.testing.assert_allclose(value, entry["value"], 1e-5, 1e-6, err_msg=message)
        norm = np.sqrt(np.sum(np.square(gradient, dtype=np.float64)))
        np.testing.assert_allclose(norm, entry["grad_norm"], 1e-5, 1e-6, err_msg=message)
        places = np.arange(8) * (gradient.size - 1) // 7
        np.testing.assert_allclose(
            gradient.flat[places], entry["grad_sample"], 1e-4, 1e-6, err_msg=message
        )


def _keras_text(entry) -> str:
    parameters = {k: v for k, v in entry["kwargs"].items() if k != "from_logits"}
    parameters["of"] = _ANSWERS[entry["input"]]
    text = ", ".join(f"{name}={value}" for name, value in parameters.items())
    return f"keras.{entry['loss']}({text})"


def _multi_label(seed, height, width, channels):
    random = np.random.RandomState(seed)
    size = (-(-height // 8), -(-width // 8), channels)
    small = random.randint(0, 3, size=size) == 0
    return np.int32(small.repeat(8, axis=0).repeat(8, axis=1)[:height, :width])


def _torch_case(case, text):
    """Returns the tensors of a case of the systems in PyTorch: the loss, and its gradients."""
    shape = [case["n"], case["h"], case["w"]]
    numbers = range(case["label_seed"], case["label_seed"] + case["n"])
    labels = np.stack(
        [rules.label_map(seed, *shape[1:], case["classes"], case["ignore"]) for seed in numbers]
    )
    labels[case.get("all_ignored", [])] = case["ignore"]
    logits = {
        f"o{place}": tf.constant(_torch_logits(case, labels, *sizes))
        for place, sizes in enumerate(case["logits"])
    }
    classes = ClassSet(default_names(case["classes"]), ignore_label=case["ignore"])
    options = LossOptions(loss=text, label_weights=case.get("weight"))
    objective.check(options, classes)
    value = objective.build(
        {name: (tensor, 1.0) for name, tensor in logits.items()},
        tf.constant(np.int32(labels)),
        classes,
        Context(options),
    )
    return value, tf.gradients(value, list(logits.values()))


def _torch_logits(case, labels, height, width, seed):
    shape = (case["n"], height, width, case["classes"])
    logits = np.random.RandomState(seed).standard_normal(shape) * case.get("scale", 2.0)
    for image, boost in enumerate(case.get("boost", [])):
        if labels.shape[1:3] == (height, width):
            label = labels[image, ..., 0]
            places = np.nonzero(label != case["ignore"])
            logits[(image, *places, label[places])] += boost
    return logits.astype(np.float32)


def _hardnet_text(case) -> str:
    return hardnet_losses.expression_of(
        case["loss"],
        case.get("params", {}),
        outputs=len(case["logits"]) if case.get("tuple") else None,
        weighted="weight" in case,
    )


def _compare_with_torch(name, text_of, *, slope, slope_of_sum):
    cases = [entry for entry in golden_json(f"{name}.json")["cases"] if "error" not in entry]
    stored = _arrays(f"{name}.npz")
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run([_torch_case(entry["case"], text_of(entry["case"])) for entry in cases])
    for entry, (value, gradients) in zip(cases, found):
        case = entry["case"]["name"]
        if case.endswith("ce_all_ignored") or case == "all_ignored":
            # The originals divide 0 by 0.
            assert np.isnan(entry["loss"])
            assert value == 0.0
            assert not any(gradient.any() for gradient in gradients)
            continue
        np.testing.assert_allclose(value, entry["loss"], 1e-6, err_msg=case)
        limit = slope_of_sum if case == "ce_sum" else slope
        for place, gradient in enumerate(gradients):
            key = f"{case}_grad{place}"
            np.testing.assert_allclose(gradient, stored[key], 0, limit, err_msg=key)
    return cases


def test_losses_of_fc_hardnet():
    cases = _compare_with_torch("hardnet/losses", _hardnet_text, slope=1e-8, slope_of_sum=1e-6)
    assert len(cases) == 21


def test_an_image_smaller_than_k_is_averaged_where_the_original_fails():
    (entry,) = (
        entry
        for entry in golden_json("hardnet/losses.json")["cases"]
        if entry["case"]["name"] == "bs_fewer_pixels_than_K"
    )
    assert "IndexError" in entry["error"]
    with tf.Graph().as_default(), tf.Session() as session:
        found, _ = session.run(_torch_case(entry["case"], _hardnet_text(entry["case"])))
        mean, _ = session.run(_torch_case(entry["case"], "cross_entropy(reduction=sum)"))
    assert found == pytest.approx(mean / 64, rel=1e-6)


def test_losses_of_the_abeja_template():
    def text_of(case):
        return (
            "cross_entropy; o1: 0.5*cross_entropy"
            if len(case["logits"]) > 1
            else "o0: cross_entropy"
        )

    assert len(_compare_with_torch("abeja/losses", text_of, slope=1e-8, slope_of_sum=0)) == 5


def _arrays(name):
    return np.load(golden_folder() / name)
