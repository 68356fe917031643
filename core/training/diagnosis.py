"""Looks for the first tensor that is not finite in a step whose update was not applied.

Since the weights are still those that the step failed with, its batch can be run again. Tensors
are read in the order in which the graph was built, which is the order in which they are computed:
variables first, then the network and its loss, then the gradients.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.training.step import TrainStep
from utils.compat import tf

# Values that are fetched at once: few runs, and little memory beside the step's own.
_VALUES_AT_ONCE = 1 << 27


class Finding(NamedTuple):
    """What one rank finds when it runs its batch again.

    Attributes:
      images: The names of its images.
      cause: What was not finite, in words; None if everything was finite.
    """

    images: str
    cause: str | None


def look(session, step: TrainStep, batch: dict, *, alone: bool) -> Finding:
    """Returns what was not finite in a step.

    Args:
      session: The training's session; its weights are those before the step.
      step: The training step.
      batch: The batch of the step, arrays: "image", "label", "name".
      alone: Whether no other rank takes part, so that gradients can be computed.
    """
    names = ", ".join(name.decode("utf-8", "replace") for name in batch["name"])
    feed = {step.images: batch["image"], step.labels: batch["label"]}
    return Finding(names, first_bad_tensor(session, step, feed, alone=alone))


def in_words(findings) -> str:
    """Returns a sentence on what all ranks found, which names the rank it came from.

    Args:
      findings: (images, cause) of each rank.
    """
    findings = [Finding(*finding) for finding in findings]
    bad = [rank for rank, finding in enumerate(findings) if finding.cause]
    if len(findings) == 1:
        (own,) = findings
        return f"Its images were {own.images}; {own.cause or 'run again, everything was finite'}. "
    if not bad:
        return (
            "Run again, network and loss were finite in every rank; gradients are looked into "
            "with one process only. "
        )
    others = f", as from {len(bad) - 1} more" if len(bad) > 1 else ""
    first = findings[bad[0]]
    return f"It came from rank {bad[0]}{others}: its images were {first.images}; {first.cause}. "


def first_bad_tensor(session, step: TrainStep, feed: dict, *, alone: bool) -> str | None:
    """Returns which tensor is not finite while all before it are, in words, or None.

    Args:
      session: The training's session.
      step: The training step.
      feed: Its batch: images and labels -> arrays.
      alone: As in `look`.
    """
    if not np.isfinite(feed[step.images]).all():
        return "the images themselves are not finite"
    variable = _first_bad(session, tf.trainable_variables(), {})
    if variable is not None:
        return f"the variable {variable.op.name} was not finite before"
    tensor = _first_bad(session, _forward_tensors(step, alone=alone), feed)
    if tensor is not None:
        shape = "x".join(str(side) for side in tensor.shape.as_list()) or "scalar"
        return f"the first tensor that is not finite is {tensor.name} ({tensor.op.type}, {shape})"
    # Gradients are computed from the loss back to the images: the last variable's come first.
    names = {
        gradient: variable.op.name
        for gradient, variable in reversed(step.gradients)
        if gradient is not None and alone
    }
    gradient = _first_bad(session, list(names), feed)
    if gradient is not None:
        return f"the network is finite, but the gradient of {names[gradient]} is not"
    return None


def _forward_tensors(step, *, alone: bool) -> list:
    """Returns what is computed of the images up to the loss, in the order of the graph.

    With other ranks it ends where these are needed.
    """
    needed = _ancestors(step.total_loss.op)
    of_images = {step.images.op}
    of_others = set()
    tensors = []
    # Operations are listed as they were made: each behind those that it reads.
    for operation in step.total_loss.graph.get_operations():
        if operation not in needed:
            continue
        inputs = {tensor.op for tensor in operation.inputs}
        if not alone and (operation.type.startswith("Collective") or inputs & of_others):
            of_others.add(operation)
            continue
        if not inputs & of_images:
            continue
        of_images.add(operation)
        tensors += [output for output in operation.outputs if output.dtype == tf.float32]
    return tensors


def _ancestors(operation) -> set:
    found, ahead = {operation}, [operation]
    while ahead:
        for tensor in ahead.pop().inputs:
            if tensor.op not in found:
                found.add(tensor.op)
                ahead.append(tensor.op)
    return found


def _first_bad(session, tensors, feed):
    """Returns the first tensor that is not finite, or None; fetches as many at once as is cheap."""
    chunk, size = [], 0
    for place, tensor in enumerate(tensors):
        chunk.append(tensor)
        size += tensor.shape.num_elements() or 0
        if size < _VALUES_AT_ONCE and place + 1 < len(tensors):
            continue
        for fetched, value in zip(chunk, session.run(chunk, feed)):
            if not np.isfinite(value).all():
                return fetched
        chunk, size = [], 0
    return None
