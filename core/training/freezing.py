"""Frozen variables: what a pattern stands for, and which variables it leaves as they are.

A frozen variable has no gradient, no weight decay, no slot and no average. A batch norm whose
gamma is frozen uses its moving averages and does not update them.
"""

from __future__ import annotations

import re

from absl import logging

from core.architectures import Architecture
from utils.errors import OptionError


class Frozen:
    """Tells which variables are frozen, by their names."""

    def __init__(self, patterns, backbone_scope: str, architecture: Architecture):
        """Makes the rule.

        Args:
          patterns: Each "backbone", "head" (all after the backbone, including the decoder),
            "decoder", or a regular expression that matches names at their start.
          backbone_scope: Scope of the backbone's variables.
          architecture: The architecture, which knows its head and its decoder.
        """
        named = {
            "backbone": (re.escape(backbone_scope) + "/",),
            "head": architecture.last_layer_scopes(),
            "decoder": architecture.decoder_scopes,
        }
        self._expressions = {
            pattern: [re.compile(part) for part in named.get(pattern, (pattern,))]
            for pattern in patterns or ()
        }

    def matches(self, name: str) -> bool:
        """Whether the variable of this name is frozen."""
        return any(_matches(parts, name) for parts in self._expressions.values())

    def trained(self, variables) -> list:
        """Returns the variables that are not frozen.

        Raises:
          OptionError: If a pattern matches none, or nothing is left.
        """
        names = [variable.op.name for variable in variables]
        for pattern, parts in self._expressions.items():
            if not any(_matches(parts, name) for name in names):
                scopes = sorted({name.split("/")[0] for name in names})
                raise OptionError(
                    f"--freeze={pattern} matches no variable that is trained; their names start "
                    f"with {', '.join(scopes)}."
                )
        left = [variable for variable in variables if not self.matches(variable.op.name)]
        if not left:
            raise OptionError("--freeze leaves no variable to train; freeze less.")
        return left

    def report(self, variables):
        """Logs how much is frozen.

        Args:
          variables: All that would be trained otherwise.
        """
        frozen = [variable for variable in variables if self.matches(variable.op.name)]
        if frozen:
            logging.info(
                "Frozen by --freeze=%s: %d of %d variables, %s of %s parameters.",
                ",".join(self._expressions),
                len(frozen),
                len(variables),
                f"{_parameters(frozen):,}",
                f"{_parameters(variables):,}",
            )


def _matches(expressions, name: str) -> bool:
    return any(expression.match(name) for expression in expressions)


def _parameters(variables) -> int:
    return sum(variable.shape.num_elements() for variable in variables)
