"""Frozen parts of a network: what a pattern stands for, and which variables are left as they are.

A frozen variable has no gradient, no weight decay, no slot and no average; gradients still pass
through its layer to what is below. The batch norm of a frozen part has one of three forms
(`--frozen_batch_norm`):

- inference: it uses its moving averages; gamma and beta are frozen too. This is Keras's layer with
  `trainable=False`.
- affine: it uses its moving averages, and gamma and beta are trained.
- statistics: it normalizes with the statistics of the batch and goes on to update its moving
  averages; gamma and beta are frozen. This is PyTorch's layer in training mode whose parameters
  are in no optimizer.

From `--unfreeze_step` on nothing is frozen. A training is a row of stages, each with a graph of its
own that continues from the checkpoint of the one before; the reasons are in
`docs/decisions/0022-unfreezing-builds-the-graph-anew.md`.
"""

from __future__ import annotations

import re

from absl import logging

from core import layers
from core.architectures import Architecture
from options.training import TrainOptions
from utils.errors import OptionError

# The last parts of the names of what the affine form trains.
_AFFINE = ("gamma", "beta")


def end_of_stage(options: TrainOptions, step: int) -> int:
    """Returns the step at which other variables are trained than now, or training ends.

    Args:
      options: The training.
      step: Steps done so far.
    """
    ends = (options.unfreeze_step, options.training_number_of_steps)
    return min([end for end in ends if end > step], default=options.training_number_of_steps)


def at_step(options: TrainOptions, step: int) -> TrainOptions:
    """Returns the options of the stage that follows a number of steps.

    Args:
      options: The training.
      step: Steps done so far.
    """
    if not options.unfreeze_step or step < options.unfreeze_step:
        return options
    return options.replace(
        freeze=None,
        frozen_batch_norm=layers.FROZEN_INFERENCE,
        unfreeze_step=0,
        sync_batch_norm=options.sync_batch_norm and options.fine_tune_batch_norm,
    )


class Frozen:
    """Tells which variables are frozen, by their names."""

    def __init__(
        self,
        options: TrainOptions,
        backbone_scope: str,
        architecture: Architecture,
        flag: str = "freeze",
    ):
        """Makes the rule.

        Args:
          options: `freeze`, patterns that are each "backbone" or "encoder", "head" (all after the
            backbone, including the decoder), "decoder", "auxiliary", or a regular expression that
            matches names at their start; and `frozen_batch_norm`.
          backbone_scope: Scope of the backbone's variables.
          architecture: The architecture, which knows its heads and its decoder.
          flag: Name of the flag that the patterns come from, for messages.

        Raises:
          OptionError: If the architecture has no such part.
        """
        named = _named_parts(backbone_scope, architecture)
        self._batch_norm = options.frozen_batch_norm
        self._expressions = {}
        for pattern in options.freeze or ():
            parts = named.get(pattern, (pattern,))
            if not parts:
                raise OptionError(
                    f"--{flag}={pattern}: this architecture has no such part; it has "
                    f"{', '.join(name for name, scopes in named.items() if scopes)}."
                )
            self._expressions[pattern] = [re.compile(part) for part in parts]

    def matches(self, name: str) -> bool:
        """Whether the variable of this name is in a frozen part."""
        return any(_matches(parts, name) for parts in self._expressions.values())

    def _keeps(self, name: str) -> bool:
        """Whether the variable of this name is not trained."""
        if self._batch_norm == layers.FROZEN_AFFINE and name.rsplit("/", 1)[-1] in _AFFINE:
            return False
        return self.matches(name)

    def trained(self, variables) -> list:
        """Returns the variables that are not frozen.

        Raises:
          OptionError: If a pattern freezes none, or nothing is left.
        """
        names = [variable.op.name for variable in variables]
        for pattern, parts in self._expressions.items():
            matched = [name for name in names if _matches(parts, name)]
            if not matched:
                scopes = sorted({name.split("/")[0] for name in names})
                raise OptionError(
                    f"--freeze={pattern} matches no variable that is trained; their names start "
                    f"with {', '.join(scopes)}."
                )
            if not any(self._keeps(name) for name in matched):
                raise OptionError(
                    f"--freeze={pattern} matches only gamma and beta, which "
                    "--frozen_batch_norm=affine trains; leave one of them out."
                )
        left = [variable for variable in variables if not self._keeps(variable.op.name)]
        if not left:
            raise OptionError("--freeze leaves no variable to train; freeze less.")
        return left

    def report(self, variables):
        """Logs how much is frozen.

        Args:
          variables: All that would be trained otherwise.
        """
        frozen = [variable for variable in variables if self._keeps(variable.op.name)]
        if frozen:
            logging.info(
                "Frozen by --freeze=%s: %d of %d variables, %s of %s parameters.",
                ",".join(self._expressions),
                len(frozen),
                len(variables),
                f"{_parameters(frozen):,}",
                f"{_parameters(variables):,}",
            )


def _named_parts(backbone_scope: str, architecture: Architecture) -> dict:
    """Returns name of a part -> regular expressions of its variables; empty where it has none."""
    backbone = (re.escape(backbone_scope) + "/",)
    return {
        "backbone": backbone,
        "encoder": backbone,
        "head": architecture.last_layer_scopes(),
        "decoder": architecture.decoder_scopes,
        "auxiliary": architecture.auxiliary_scopes,
    }


def _matches(expressions, name: str) -> bool:
    return any(expression.match(name) for expression in expressions)


def _parameters(variables) -> int:
    return sum(variable.shape.num_elements() for variable in variables)
