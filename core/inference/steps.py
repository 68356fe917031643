"""Post-processing of predicted labels: named steps, in the order they are given.

    clean = steps.create(["min_object=50", "fill_holes@salt"], classes)
    labels = clean(labels)

A text is NAME, NAME=N, either with @CLASS or @CLASS+CLASS (names or ids) for some classes only, or
FILE.py:FUNCTION. The steps are the files of `core/inference/postprocessing/`. They run after the
decision of each pixel, on the labels of one image at its size.

Where a pixel may have several classes, a step changes the plane of each class, all of them unless
some are named. Where it has one, steps see one class after the other by id, all but class 0 (the
background) unless some are named:

- Pixels that a class loses get the class of their surroundings: that of the nearest pixels on a way
  that does not cross the class itself; class 0 if there are none.
- A class gains pixels of class 0 only, so that no object grows over another, unless the class is
  named: then it gains pixels of all.

Values that are no class, such as an ignore label, stay as they are and are never spread.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from typing import Callable, NamedTuple

import numpy as np
from scipy import ndimage

import core.inference.postprocessing
from core.inference.postprocessing import Step
from utils import variants
from utils.classes import ClassSet
from utils.errors import OptionError, UserError, reason_of

# Name -> record of every step; the folder is the registry.
STEPS = variants.collect(core.inference.postprocessing)
_FLAG = "--postprocess"
_TEXT = re.compile(r"(?P<name>\w+)(?:=(?P<number>[^@]*))?(?:@(?P<classes>.+))?")
_OF_A_FILE = re.compile(r"(?P<path>.+\.py):(?P<name>\w+)")
# What `watershed_ift` climbs only where there is no other way.
_WALL = 255


class Named(NamedTuple):
    """A step as it was written.

    Attributes:
      text: The text.
      step: The step.
      number: Its number, None without.
      classes: Names or ids of classes, empty for the default.
    """

    text: str
    step: Step
    number: int | None
    classes: tuple


class Own(NamedTuple):
    """A function of a user's file; attributes `text`, and `path` and `name` of the function."""

    text: str
    path: str
    name: str


def parse(texts) -> list:
    """Returns the `Named` and `Own` steps of texts; commas separate several of one text.

    Raises:
      OptionError: If there is no such step, or it is written wrongly.
    """
    parts = [part.strip() for text in texts or () for part in text.split(",")]
    return [_parsed(part) for part in parts if part]


def _parsed(text):
    own = _OF_A_FILE.fullmatch(text)
    if own:
        return Own(text, own["path"], own["name"])
    found = _TEXT.fullmatch(text)
    if not found:
        raise OptionError(
            f"{_FLAG}={text} is not NAME, NAME=N, NAME@CLASS or FILE.py:FUNCTION; the names are "
            f"{', '.join(sorted(STEPS))}."
        )
    step = variants.lookup(STEPS, found["name"], f"step of {_FLAG}")
    number = _number(text, found["number"], step)
    return Named(text, step, number, tuple(filter(None, (found["classes"] or "").split("+"))))


def _number(text, number, step):
    if not step.takes_number:
        if number is not None:
            raise OptionError(f"{_FLAG}={text}: this step takes no number; leave it out.")
        return None
    if number is None or not re.fullmatch("0*[1-9][0-9]{0,8}", number):
        raise OptionError(
            f"{_FLAG}={text}: this step needs a whole number of pixels, 1 to 999999999."
        )
    return int(number)


def texts_of(texts) -> list:
    """Returns the texts of the steps, one each."""
    return [step.text for step in parse(texts)]


def check_storable(texts):
    """Raises OptionError if a step is code, which an export cannot carry."""
    for step in parse(texts):
        if isinstance(step, Own):
            raise OptionError(
                f"{_FLAG}={step.text} is code of yours, which an export cannot carry; leave it "
                "out, and pass it to the prediction with --model."
            )


def create(texts, classes: ClassSet) -> Callable | None:
    """Returns a function from the labels of an image to those after all steps; None without steps.

    It takes and returns integers [h, w], or 0 and 1 [h, w, classes] where a pixel may have several,
    of one type.

    Raises:
      OptionError: If there is no such step or class.
      UserError: If a user's function cannot be loaded; when called, if it fails or returns what is
        no labels.
    """
    functions = [
        _load(step, classes) if isinstance(step, Own) else _bound(step, classes)
        for step in parse(texts)
    ]
    if not functions:
        return None

    def run(labels):
        for function in functions:
            labels = function(labels)
        return labels

    return run


def _bound(step: Named, classes: ClassSet) -> Callable:
    """Returns a step as a function of labels alone."""
    named = [_class_id(name, step.text, classes) for name in step.classes]

    def run(labels):
        if labels.ndim == 3:
            return _on_planes(step, named or range(classes.count), labels)
        return _on_classes(step, named, labels, classes.count)

    return run


def _class_id(name, text, classes) -> int:
    if name in classes.names:
        return classes.names.index(name)
    if name.isdecimal() and int(name) < classes.count:
        return int(name)
    raise OptionError(
        f"{_FLAG}={text}: {name} is no class; the classes are {', '.join(classes.names)}, or their "
        f"ids 0 to {classes.count - 1}."
    )


def _on_planes(step, ids, labels):
    labels = labels.copy()
    for label in ids:
        plane = labels[..., label]
        mask = plane == 1
        if mask.any():
            labels[..., label] = np.where(plane > 1, plane, step.step.apply(mask, step.number))
    return labels


def _on_classes(step, named, labels, count):
    labels = labels.copy()
    for label in named or range(1, count):
        mask = labels == label
        if not mask.any():
            continue
        found = step.step.apply(mask, step.number)
        may_gain = labels < count if named else labels == 0
        labels[found & may_gain] = label
        lost = mask & ~found
        if lost.any():
            _give_away(labels, lost, label, count)
    return labels


def _give_away(labels, lost, label, count):
    """Gives pixels of a class that are lost to the classes around them, in place."""
    box = tuple(
        slice(max(0, places[0] - 1), places[-1] + 2)
        for places in (np.flatnonzero(lost.any(1)), np.flatnonzero(lost.any(0)))
    )
    labels, lost = labels[box], lost[box]
    gives = (labels != label) & (labels < count)
    if not gives.any():
        labels[lost] = 0
        return
    markers = np.where(gives, labels.astype(np.int32) + 1, 0)
    walls = np.where(gives | lost, 0, _WALL).astype(np.uint8)
    labels[lost] = (ndimage.watershed_ift(walls, markers) - 1)[lost]


def _load(step: Own, classes: ClassSet) -> Callable:
    """Returns a user's function, whose results are checked.

    It is called with the labels of an image, which it may change, and the tuple of class names.
    """
    function = _function_of(step)

    def run(labels):
        try:
            result = np.asarray(function(labels.copy(), classes.names))
        # It is the user's code: it may raise anything.
        except Exception as error:
            raise UserError(
                f"{_FLAG}={step.text} failed on labels {list(labels.shape)}: "
                f"{type(error).__name__}: {reason_of(error)}."
            ) from error
        return _checked(result, labels, step.text, classes)

    return run


def _function_of(step: Own):
    if not os.path.isfile(step.path):
        raise UserError(f"{_FLAG}={step.text}: there is no file {step.path}.")
    spec = importlib.util.spec_from_file_location("postprocessing_of_user", step.path)
    module = importlib.util.module_from_spec(spec)
    # Where it is looked up by what the file may define, such as dataclasses.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(
            f"{_FLAG}={step.text}: {step.path} cannot be loaded: {type(error).__name__}: "
            f"{reason_of(error)}."
        ) from error
    function = getattr(module, step.name, None)
    if not callable(function):
        raise UserError(f"{_FLAG}={step.text}: {step.path} has no function {step.name}.")
    return function


def _checked(result, labels, text, classes):
    """Returns what a user's function returned, if it is labels."""
    if result.shape != labels.shape or result.dtype.kind not in "biu":
        raise UserError(
            f"{_FLAG}={text} returned {result.dtype} {list(result.shape)}, but must return "
            f"integers {list(labels.shape)}."
        )
    limit = classes.count if labels.ndim == 2 else 2
    wrong = (result != labels) & ((result < 0) | (result >= limit))
    if wrong.any():
        raise UserError(
            f"{_FLAG}={text} returned the label {result[wrong][0]}, but must return 0 to "
            f"{limit - 1}."
        )
    return result.astype(labels.dtype)
