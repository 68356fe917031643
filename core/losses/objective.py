"""What training minimizes besides weight decay: the loss expression over all supervised outputs."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import core.losses
from core import layers
from core import task as tasks
from core.losses import Context, Loss
from core.task import Task
from options import loss_expression
from options.loss import LossOptions
from options.loss_expression import Expression
from utils import variants
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

# Name -> record of every loss; the folder is the registry.
LOSSES = variants.collect(core.losses)

# Losses whose value for a guess is the cross entropy of chance.
_ENTROPIES = ("cross_entropy", "binary_cross_entropy")


class WeightedLoss(NamedTuple):
    """A loss of an output, its parameters and its weight in the sum."""

    weight: float
    loss: Loss
    parameters: dict


def expression_of(options: LossOptions, task: Task) -> Expression:
    """Returns the chosen expression, by default the task's own loss."""
    return loss_expression.parse(options.loss or task.loss)


def terms(expression: Expression, output: str) -> list:
    """Returns the `WeightedLoss`es of an output.

    Raises:
      OptionError: If the expression has none for it.
    """
    return [
        WeightedLoss(term.weight, LOSSES[term.call.name], _parameters(term.call))
        for term in expression.of_output(output)
    ]


def _parameters(call) -> dict:
    """Returns all parameters of a call, checked ones as they are."""
    defaults = {name: known.default for name, known in LOSSES[call.name].parameters.items()}
    return {
        **defaults,
        **{name: type(defaults[name])(value) for name, value in call.parameters.items()},
    }


def check(options: LossOptions, classes: ClassSet):
    """Refuses a loss before any graph is built.

    Raises:
      OptionError: If a loss or parameter is unknown or does not fit the task, the class weights do
        not fit the classes, or hard example mining has no effect.
    """
    task = tasks.of(classes)
    expression = expression_of(options, task)
    for call in expression.calls:
        _check_call(call, expression, task)
    _check_mining(options, expression)
    weights = options.label_weights
    if weights is not None and len(weights) != classes.count:
        raise OptionError(
            f"--label_weights has {len(weights)} values, but the data set has {classes.count} "
            "classes; give one value per class."
        )


def _check_call(call, expression, task):
    if call.name not in LOSSES:
        raise expression.error(
            call.position, f"{call.name} is not a known loss; known: {', '.join(sorted(LOSSES))}"
        )
    loss = LOSSES[call.name]
    if task.name not in loss.tasks:
        fitting = sorted(name for name, other in LOSSES.items() if task.name in other.tasks)
        raise expression.error(
            call.position,
            f"{call.name} does not fit --task={task.name}: {loss.reason}. Losses for this task: "
            f"{', '.join(fitting)}",
        )
    for name, value in call.parameters.items():
        problem = _broken_rule(loss.parameters.get(name), value, task)
        if problem:
            raise expression.error(
                call.position,
                f"{name} of {call.name} {problem}; its parameters: "
                f"{', '.join(sorted(loss.parameters)) or 'none'}",
            )


def _broken_rule(known, value, task) -> str:
    """Returns the rule that the value of a parameter breaks, as text; empty if it breaks none."""
    if known is None:
        return "is unknown"
    if known.tasks is not None and task.name not in known.tasks:
        return f"has no effect with --task={task.name}"
    if known.choices is not None:
        return "" if value in known.choices else f"must be {' or '.join(known.choices)}"
    if isinstance(value, str):
        return f"is {value}, but must be a number"
    if isinstance(known.default, int) and value != int(value):
        return f"is {value:g}, but must be an integer"
    if known.minimum is not None and value < known.minimum:
        return f"is {value:g}, but must be at least {known.minimum:g}"
    if known.maximum is not None and value > known.maximum:
        return f"is {value:g}, but must be at most {known.maximum:g}"
    return ""


def _check_mining(options, expression):
    if options.top_k_percent_pixels == 1.0:
        return
    for call in expression.calls:
        if not LOSSES[call.name].mines or call.parameters.get("reduction", "mean") != "mean":
            raise expression.error(
                call.position,
                f"--top_k_percent_pixels={options.top_k_percent_pixels:g} takes the hardest of the "
                f"losses of all pixels, but this {call.name} is no mean of such",
            )


def describe(options: LossOptions, classes: ClassSet) -> str:
    """Returns the loss as text, with the meaning of bare Keras names."""
    task = tasks.of(classes)
    expression = expression_of(options, task)
    text = expression.text if options.loss else f"{expression.text} (the default of {task.name})"
    meanings = {call.written: call.name for call in expression.calls if call.written != call.name}
    for written, name in sorted(meanings.items()):
        text += (
            f"; {written} is {name} of this project, the form of the Keras pipeline is "
            f"{loss_expression.EXACT_PREFIX}{written}"
        )
    return text


def at_chance(options: LossOptions, classes: ClassSet) -> float | None:
    """Returns the loss of an answer that guesses, None where it is not known."""
    task = tasks.of(classes)
    expression = expression_of(options, task)
    all_terms = [term for terms_of in expression.outputs.values() for term in terms_of]
    if len(all_terms) != 1 or all_terms[0].call.name not in _ENTROPIES:
        return None
    return all_terms[0].weight * task.loss_at_chance(classes.count)


def build(outputs: dict, labels: tf.Tensor, classes: ClassSet, context: Context) -> tf.Tensor:
    """Returns the weighted sum of the losses of all outputs, each also in the collection LOSSES.

    Args:
      outputs: Name -> (float32 logits [N, h, w, channels], weight).
      labels: The labels of the batch, integers [N, H, W, channels of labels].
      classes: The classes of the data.
      context: See `Context`.

    Raises:
      OptionError: If an output has no loss, or a loss is for an output that is not there.
    """
    task = tasks.of(classes)
    expression = expression_of(context.options, task)
    _check_outputs(expression, outputs)
    first = next(iter(outputs.values()))[0]
    context = dataclasses.replace(context, first_size=layers.spatial_size(first))
    found = []
    for name, (logits, weight) in outputs.items():
        with tf.name_scope(f"loss_{name}"):
            targets = _targets(logits, labels, task, classes, context)
            value = _sum(terms(expression, name), logits, targets, context)
        tf.losses.add_loss(value)
        found.append(value if weight == 1.0 else weight * value)
    return tf.add_n(found, name="loss")


def _check_outputs(expression, outputs):
    unknown = sorted(name for name in expression.outputs if name not in (None, *outputs))
    if unknown:
        raise OptionError(
            f"--loss={expression.text} is about the output {unknown[0]}, but this network has "
            f"{', '.join(outputs)}."
        )


def _sum(weighted, logits, targets, context):
    values = [
        (term.weight, term.loss.build(logits, targets, context, **term.parameters))
        for term in weighted
    ]
    scaled = [value if weight == 1.0 else weight * value for weight, value in values]
    return scaled[0] if len(scaled) == 1 else tf.add_n(scaled)


def _targets(logits, labels, task, classes, context):
    if not context.options.upsample_logits:
        size = layers.spatial_size(logits)
        labels = layers.resize_nearest(labels, size, context.align_corners)
    return task.targets(labels, classes, context.options.label_weights)
