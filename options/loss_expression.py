"""Loss expressions: weighted sums of losses, for all outputs of a network or one by one.

    cross_entropy
    binary_cross_entropy + 0.1*dice(smooth=1e-3)
    0.5*(cross_entropy + dice) - 1e-2*focal(gamma=3)
    cross_entropy + dice; aux: cross_entropy

A part before a colon is for the output of that name; a part without a name is for all others. This
module knows the form and the bare names of the Keras pipelines; which losses exist, which
parameters they have and which tasks they train is in `core/losses/`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from typing import NamedTuple

from utils.errors import OptionError

# Bare names of Keras and of the Keras pipelines -> our form of the loss.
KERAS_NAMES = {
    "binary_crossentropy": "binary_cross_entropy",
    "categorical_crossentropy": "cross_entropy",
    "dice_loss": "dice",
    "f1_loss": "f1",
    "focal_loss": "focal",
    "iou_loss": "iou",
    "jaccard_loss": "jaccard",
    "l2_loss": "l2",
    "log_loss": "binary_cross_entropy",
    "lovasz_loss": "lovasz",
}
EXACT_PREFIX = "musket."
# What the Keras pipeline finds in Keras itself -> the exact form.
_OF_KERAS = {
    name: f"keras.{loss}"
    for loss, names in {
        "CategoricalHinge": ("categorical_hinge",),
        "CosineSimilarity": ("cosine_proximity", "cosine"),
        "Hinge": ("hinge",),
        "KLDivergence": ("kullback_leibler_divergence", "kld", "KLD"),
        "LogCosh": ("logcosh",),
        "MeanAbsoluteError": ("mean_absolute_error", "mae", "MAE"),
        "MeanAbsolutePercentageError": ("mean_absolute_percentage_error", "mape", "MAPE"),
        "MeanSquaredError": ("mean_squared_error", "mse", "MSE"),
        "MeanSquaredLogarithmicError": ("mean_squared_logarithmic_error", "msle", "MSLE"),
        "Poisson": ("poisson",),
        "SquaredHinge": ("squared_hinge",),
    }.items()
    for name in names
}
# In a sum the pipeline hands probabilities to the loss that elsewhere gets logits.
_LOGITS_ALONE = "lovasz_loss"
_OF_PROBABILITIES = f"{EXACT_PREFIX}lovasz_loss_of_probabilities"

# Weights are float32 in the graph.
_LARGEST = 3.4e38

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
    r"|(?P<sign>[-+*(),=]))"
)


class Call(NamedTuple):
    """A loss of an expression.

    Attributes:
      name: Its name, our form for a bare name of Keras.
      parameters: Parameter -> number, or word.
      position: Where it stands in the text.
      written: The name as it was written.
    """

    name: str
    parameters: dict
    position: int
    written: str


class Term(NamedTuple):
    """A loss and its weight; `call` is None for a number alone."""

    weight: float
    call: Call | None
    position: int


@dataclasses.dataclass(frozen=True)
class Expression:
    """A parsed expression.

    Attributes:
      text: The text.
      outputs: Name of an output, or None for all others -> tuple of `Term`.
    """

    text: str
    outputs: dict

    @property
    def calls(self) -> list:
        """All losses in it."""
        return [term.call for terms in self.outputs.values() for term in terms]

    def error(self, position: int, problem: str) -> OptionError:
        """Returns the error that shows a place of the text."""
        return _error(self.text, position, problem)

    def of_output(self, name: str) -> tuple:
        """Returns the terms of an output whose weight is not zero.

        Raises:
          OptionError: If it has none.
        """
        terms = self.outputs.get(name, self.outputs.get(None))
        if terms is None:
            raise OptionError(
                f"--loss={self.text} has no loss for the output {name}; add {name}: LOSS, or a "
                "part without a name, which is for all other outputs."
            )
        return tuple(term for term in terms if term.weight)


def parse(text: str) -> Expression:
    """Reads an expression.

    Raises:
      OptionError: If it is none; the message shows the place.
    """
    outputs, start = {}, 0
    for part in text.split(";"):
        name, colon, _ = part.partition(":")
        output = name.strip() if colon else None
        if output == "":
            raise _error(text, start, "an output's name is missing before the colon")
        if output in outputs:
            twice = f"the output {output} stands twice" if colon else "two parts name no output"
            raise _error(text, start, twice)
        first = start + len(name) + 1 if colon else start
        outputs[output] = _Parser(text, first, start + len(part)).terms()
        start += len(part) + 1
    return Expression(text, outputs)


def of_musket(text: str) -> str:
    """Returns the expression of a Musket file as one with the exact forms of that pipeline.

    A bare Keras name on our command line means our form; in a file of the Keras pipeline it means
    what the pipeline computes.

    Args:
      text: Names and weights as the pipeline reads them; a sum may also have spaces, exponents and
        parentheses, which the original misreads or refuses.

    Raises:
      OptionError: If it is no expression, or a name is none of a loss of the pipeline.
    """
    expression = parse(text)
    calls, exact = expression.calls, text
    for call in sorted(calls, key=lambda call: -call.position):
        end = call.position + len(call.written)
        name = _exact_name(call, expression, is_sum=len(calls) > 1)
        exact = exact[: call.position] + name + exact[end:]
    return exact


def _exact_name(call, expression, is_sum) -> str:
    if call.written == _LOGITS_ALONE and is_sum:
        return _OF_PROBABILITIES
    if call.written in KERAS_NAMES:
        return EXACT_PREFIX + call.written
    if call.written in _OF_KERAS:
        return _OF_KERAS[call.written]
    known = ", ".join(sorted([*KERAS_NAMES, *_OF_KERAS]))
    raise expression.error(
        call.position, f"{call.written} is no loss of the Keras pipeline; known: {known}"
    )


def _error(text, position, problem) -> OptionError:
    return OptionError(f"--loss: {problem}.\n  {text}\n  {' ' * position}^")


class _Token(NamedTuple):
    kind: str
    text: str
    position: int


class _Parser:
    """Reads one part of an expression by recursive descent."""

    def __init__(self, text: str, start: int, end: int):
        self._text = text
        self._tokens = list(self._split(start, end))
        self._next = 0

    def _split(self, start, end):
        while self._text[start:end].strip():
            match = _TOKEN.match(self._text, start, end)
            if match is None:
                start += len(self._text[start:end]) - len(self._text[start:end].lstrip())
                raise _error(self._text, start, f"{self._text[start]!r} has no meaning here")
            kind = match.lastgroup
            yield _Token(kind, match.group(kind), match.start(kind))
            start = match.end()
        yield _Token("end", "", end)

    def terms(self) -> tuple:
        """Returns the terms of the whole part."""
        terms = self._sum()
        if self._peek.kind != "end":
            raise self._unexpected("an operator")
        for term in terms:
            if term.call is None:
                raise _error(self._text, term.position, "a number without a loss")
        if not any(term.weight for term in terms):
            raise _error(self._text, terms[0].position, "all weights are 0")
        return tuple(terms)

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._peek
        self._next += 1
        return token

    def _takes(self, sign: str) -> bool:
        found = self._peek.kind == "sign" and self._peek.text == sign
        self._next += found
        return found

    def _unexpected(self, wanted) -> OptionError:
        token = self._peek
        found = "the end" if token.kind == "end" else repr(token.text)
        return _error(self._text, token.position, f"expected {wanted}, found {found}")

    def _sum(self) -> list:
        terms = self._product()
        while self._peek.text in ("+", "-"):
            position, sign = self._peek.position, self._take().text
            terms += self._scaled(self._product(), 1.0 if sign == "+" else -1.0, position)
        return terms

    def _product(self) -> list:
        terms = self._factor()
        while self._peek.text == "*":
            position = self._take().position
            other = self._factor()
            if _has_loss(terms) and _has_loss(other):
                raise _error(self._text, position, "a loss is multiplied with a loss")
            if _has_loss(other):
                terms, other = other, terms
            terms = self._scaled(terms, math.fsum(term.weight for term in other), position)
        return terms

    def _factor(self) -> list:
        token = self._peek
        if token.kind == "number":
            return [Term(self._number(), None, token.position)]
        if token.kind == "name":
            return [Term(1.0, self._call(), token.position)]
        if self._takes("-"):
            return self._scaled(self._factor(), -1.0, token.position)
        if self._takes("+"):
            return self._factor()
        if self._takes("("):
            terms = self._sum()
            self._expect(")")
            return terms
        raise self._unexpected("a loss or a number")

    def _scaled(self, terms, factor, position) -> list:
        scaled = [term._replace(weight=term.weight * factor) for term in terms]
        if not all(abs(term.weight) <= _LARGEST for term in scaled):
            raise _error(self._text, position, "the weight is not finite in float32")
        return scaled

    def _number(self) -> float:
        token = self._take()
        value = float(token.text)
        if not value <= _LARGEST:
            raise _error(self._text, token.position, f"{token.text} is not finite in float32")
        return value

    def _expect(self, sign):
        if not self._takes(sign):
            raise self._unexpected(repr(sign))

    def _call(self) -> Call:
        token, parameters = self._take(), {}
        if self._takes("(") and not self._takes(")"):
            while True:
                parameters.update([self._parameter(parameters)])
                if self._takes(")"):
                    break
                if not self._takes(","):
                    raise self._unexpected("',' or ')'")
        name = KERAS_NAMES.get(token.text, token.text)
        return Call(name, parameters, token.position, token.text)

    def _parameter(self, known) -> tuple:
        token = self._peek
        if token.kind != "name":
            raise self._unexpected("the name of a parameter")
        if token.text in known:
            raise _error(self._text, token.position, f"{token.text} is given twice")
        self._take()
        self._expect("=")
        if self._peek.kind == "name":
            return token.text, self._take().text
        sign = -1.0 if self._takes("-") else 1.0
        if self._peek.kind != "number":
            raise self._unexpected("a number or a word")
        return token.text, sign * self._number()


def _has_loss(terms) -> bool:
    return any(term.call is not None for term in terms)
