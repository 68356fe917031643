"""Prints the mean IoU of each evaluation in a log.

Lines such as `eval/miou_1.0_class_3 : 0.71234` are read, ours and those of the DeepLab family.
Where a log holds several evaluations with the same scales, the last one counts. Classes whose value
is nan are listed and left out of the mean: they have no pixels. (In the family's logs a class that
is only predicted is nan, too; in ours it is 0 and counts.)
"""

from __future__ import annotations

import dataclasses
import math
import re

from options.config import Config
from utils.errors import UserError

# "eval/miou_1.0_class_3 : 0.71234", also within a line that a logger or a dict's text wrote.
_LINE = re.compile(r"eval/(miou_[\w.]+?)_class_(\d+)['\"]?\s*[:=]\s*([-+.\w]+)")


@dataclasses.dataclass(frozen=True)
class LoggedEvaluation:
    """One evaluation of a log.

    Attributes:
      tag: What stands before the class, such as miou_1.0.
      iou: Class id -> IoU, nan where the class has none.
    """

    tag: str
    iou: dict

    @property
    def absent(self) -> list:
        """The classes without an IoU."""
        return [number for number, value in sorted(self.iou.items()) if math.isnan(value)]

    @property
    def miou(self) -> float | None:
        """The mean over the classes that have an IoU, None if none has."""
        known = [value for value in self.iou.values() if not math.isnan(value)]
        return sum(known) / len(known) if known else None


def read(path: str) -> list:
    """Returns the last evaluation of each tag, in the order of the file.

    Raises:
      UserError: If the file cannot be read, or holds no evaluation or a damaged one.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = _LINE.findall(file.read())
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}; name the log of an evaluation."
        ) from error
    if not found:
        raise UserError(
            f"{path} holds no line such as 'eval/miou_1.0_class_3 : 0.71234'; name the log of an "
            "evaluation."
        )
    evaluations = {}
    for tag, number, text in found:
        iou = evaluations.setdefault(tag, {})
        if int(number) in iou:
            # A class again: the next evaluation begins.
            iou = evaluations[tag] = {}
        iou[int(number)] = _number(text, path)
    for tag, iou in evaluations.items():
        missing = sorted(set(range(max(iou) + 1)) - set(iou))
        if missing:
            raise UserError(
                f"the last evaluation {tag} of {path} lacks class {missing[0]}; it was "
                "interrupted, evaluate again."
            )
    return [LoggedEvaluation(tag, iou) for tag, iou in evaluations.items()]


def _number(text: str, path: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{path} holds {text!r} where an IoU belongs; fix the file.") from None


def main(unused_config: Config, path: str):
    """Prints the mean of each evaluation."""
    for evaluation in read(path):
        classes, absent = len(evaluation.iou), evaluation.absent
        mean = "nan" if evaluation.miou is None else f"{evaluation.miou:.5f}"
        left_out = f", without {', '.join(map(str, absent))}" if absent else ""
        counted = f"{classes - len(absent)} of {classes} classes{left_out}"
        print(f"eval/{evaluation.tag}_overall : {mean}  ({counted})")
