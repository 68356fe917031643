"""Finds checkpoints, matches their names and shapes, restores, and reports what was restored.

A restore is complete or an error: a tensor that is missing or has another shape stops the run,
unless its scope was excluded on purpose, or it is a classifier for another number of classes in the
checkpoint that training starts from. TF1 checkpoints of both formats (V1, V2) are read; tensors in
half precision are widened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import glob
import os
import re
import tempfile
from typing import Callable

from core.checkpoints import names as tensor_names
from utils.compat import tf
from utils.errors import UserError, reason_of
from utils.files import read_json

PREFIX = "model.ckpt"
# Folder in a run's folder with the checkpoint of the best evaluation, and its scores.
BEST_FOLDER = "best"
BEST_FILE = "best.json"
# The best several.
TOP_FOLDER = "top"
TOP_FILE = "top.json"
_SHOWN_NAMES = 8
# Input channels of the networks whose weights can be adapted to another number.
_COLORS = 3
# The files of a checkpoint, whose names begin with its prefix.
_PART = re.compile(r"(.+)\.(?:index|meta|data-\d+-of-\d+)$", re.DOTALL)
# How files of other frameworks begin.
_FOREIGN = {
    b"\x89HDF": "an HDF5 file, such as Keras writes",
    b"PK": "a zip file, such as Keras and PyTorch write",
    b"\x80\x02": "a pickle, such as PyTorch writes",
}


@dataclasses.dataclass(frozen=True)
class Match:
    """How the tensors of a checkpoint fit the variables of a network.

    Attributes:
      path: The checkpoint's prefix.
      loaded: Variables that the checkpoint holds with the same shape.
      new: Names of variables that keep their initial values.
      skipped: Names in the checkpoint that no variable uses.
      missing: Names of variables that the checkpoint should hold but does not.
      misshapen: (name, shape in the checkpoint, shape in the network) of those that differ.
      averages: Names of the variables that are loaded from their EMA.
      other_classes: As misshapen, of those in `new` that have another number of classes.
      other_inputs: As misshapen, of those in `loaded` that are adapted to another number of input
        channels.
      arrays: Name -> value, if they are not in a checkpoint but were converted.
    """

    path: str
    loaded: tuple
    new: tuple
    skipped: tuple
    missing: tuple
    misshapen: tuple
    averages: frozenset = frozenset()
    other_classes: tuple = ()
    other_inputs: tuple = ()
    arrays: dict | None = None

    def report(self) -> str:
        """Returns a table of what was loaded, skipped and new, a few lines long."""
        parameters = sum(variable.shape.num_elements() for variable in self.loaded)
        lines = [
            f"Checkpoint {self.path}:",
            f"  loaded   {len(self.loaded):5d} variables, {parameters:,} values",
            f"  new      {len(self.new):5d} variables{_scopes(self.new)}",
            f"  skipped  {len(self.skipped):5d} tensors of the checkpoint{_scopes(self.skipped)}",
        ]
        lines += [
            f"  other number of classes, so new: {_shapes(*row)}" for row in self.other_classes
        ]
        lines += [
            f"  other number of input channels, so adapted: {_shapes(*row)}"
            for row in self.other_inputs
        ]
        return "\n".join(lines)

    def raise_if_unexpected(self, remedy: str):
        """Raises UserError if anything is missing or misshapen.

        Args:
          remedy: A sentence on what the user can do.
        """
        if not self.missing and not self.misshapen:
            return
        problems = [f"  {_shapes(*row)}" for row in self.misshapen]
        problems += [f"  {name}: not in the checkpoint" for name in self.missing]
        shown = problems[:_SHOWN_NAMES]
        if len(problems) > len(shown):
            shown.append(f"  and {len(problems) - len(shown)} more")
        raise UserError(
            f"checkpoint {self.path} does not fit the network ({len(self.loaded)} variables match, "
            f"{len(self.missing)} are missing, {len(self.misshapen)} have another shape):\n"
            + "\n".join(shown)
            + f"\n{remedy}"
        )


def _shapes(name, stored, needed) -> str:
    return f"{name}: {_shape(stored)} in the checkpoint, {_shape(needed)} in the network"


def _shape(shape) -> str:
    return "x".join(str(size) for size in shape) or "scalar"


def _scopes(names) -> str:
    """Returns ' (scope1 4, scope2 7)' with the number of names in each top scope."""
    counts = {}
    for name in names:
        # PyTorch's names have points.
        scope = re.split("[/.]", name)[0]
        counts[scope] = counts.get(scope, 0) + 1
    return (
        f" ({', '.join(f'{scope} {count}' for scope, count in counts.items())})" if counts else ""
    )


def match(path: str, variables, exclude=(), averaged: bool = False, arrays=None) -> Match:
    """Compares a checkpoint, or converted arrays, with variables, by name and shape.

    Args:
      path: Prefix of a checkpoint.
      variables: The network's variables.
      exclude: Regular expressions; variables whose names match one at their start stay new.
      averaged: Whether variables are loaded from their EMA if the checkpoint holds one; frozen
        variables have none.
      arrays: Name -> value of what was converted from the file at the path; None: it is a
        checkpoint.

    Raises:
      UserError: If there is no readable checkpoint at the path, or none with averages.
    """
    stored = shapes(path) if arrays is None else _shapes_of(arrays)
    averages = averages_of(path) if averaged else frozenset()
    loaded, new, missing, misshapen = [], [], [], []
    for variable in variables:
        name = variable.op.name
        shape = variable.shape.as_list()
        if any(re.match(pattern, name) for pattern in exclude):
            new.append(name)
        elif name not in stored:
            missing.append(name)
        elif list(stored[name]) != shape:
            misshapen.append((name, stored[name], shape))
        else:
            loaded.append(variable)
    taken = {variable.op.name for variable in variables} - set(new)
    skipped = [name for name in sorted(stored) if name not in taken]
    found = (tuple(loaded), tuple(new), tuple(skipped), tuple(missing), tuple(misshapen))
    return Match(path, *found, averages, arrays=arrays)


def _shapes_of(arrays) -> dict:
    return {name: list(array.shape) for name, array in arrays.items()}


def averages_of(path: str) -> frozenset:
    """Returns the names of the variables whose EMA a checkpoint holds.

    Raises:
      UserError: If there is no readable checkpoint at the path, or none with averages.
    """
    suffix = tensor_names.EMA_SUFFIX
    names = frozenset(name[: -len(suffix)] for name in shapes(path) if name.endswith(suffix))
    if not names:
        raise UserError(
            f"checkpoint {path} holds no EMA of the weights; leave out --use_ema, or train "
            "with --ema_decay."
        )
    return names


def shapes(path: str) -> dict:
    """Returns name -> shape of every tensor in a checkpoint.

    Raises:
      UserError: If there is no readable checkpoint at the path.
    """
    return dict(reader(path).get_variable_to_shape_map())


def reader(path: str):
    """Opens a checkpoint.

    Raises:
      UserError: If there is no readable checkpoint at the path.
    """
    if os.path.isdir(path):
        raise UserError(
            f"{path} is a folder, not a checkpoint; name a prefix such as "
            f"{os.path.join(path, PREFIX + '-1000')}."
        )
    if not glob.glob(glob.escape(path) + ".index") and not os.path.isfile(path):
        raise UserError(
            f"no checkpoint at {path}; pass its prefix, the file names without .index and "
            ".data-00000-of-00001."
        )
    _check_is_prefix(path)
    with reading(path):
        return tf.train.load_checkpoint(_literal(path))


def _check_is_prefix(path: str):
    """Raises UserError for a file that is a part of a checkpoint, or of another framework."""
    part = _PART.match(path)
    if part and os.path.isfile(path):
        raise UserError(
            f"{path} is a file of the checkpoint {part.group(1)}; pass the latter, its prefix."
        )
    if not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        begin = file.read(8)
    for magic, kind in _FOREIGN.items():
        if begin.startswith(magic):
            raise UserError(
                f"{path} is {kind}, not a checkpoint; convert it with `python seg.py "
                "convert_weights`."
            )


def _literal(path: str) -> str:
    """Returns a prefix of the same checkpoint that TensorFlow does not take for a pattern.

    Raises:
      UserError: If the checkpoint's own name holds `*`, `?` or `[`.
    """
    folder, name = os.path.split(path)
    if glob.has_magic(name):
        raise UserError(
            f"checkpoint {path} has a name that TensorFlow takes for a pattern; rename its files "
            "without *, ? and [."
        )
    if not glob.has_magic(folder):
        return path
    return os.path.join(_link(os.path.abspath(folder)).name, "folder", name)


@functools.lru_cache(maxsize=None)
def _link(folder: str) -> tempfile.TemporaryDirectory:
    """Returns a temporary folder, kept until the process ends, with a link `folder` to another."""
    kept = tempfile.TemporaryDirectory(prefix="checkpoints-")
    os.symlink(folder, os.path.join(kept.name, "folder"))
    return kept


@contextlib.contextmanager
def reading(path: str):
    """Turns errors of TensorFlow while it reads a checkpoint into a UserError.

    Raises:
      UserError: If it is damaged or incomplete.
    """
    try:
        yield
    # A truncated data file raises IndexError in TF 2's reader.
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
        first_line = reason_of(error)
        raise UserError(
            f"checkpoint {path} is damaged or incomplete ({first_line}); use another one."
        ) from error


def restore_op(path: str, variables, exclude=(), averaged: bool = False) -> tf.Operation:
    """Returns an operation that fills variables from a checkpoint.

    Run it inside `reading(path)`, which reports a damaged file.

    Args:
      path: Prefix of a checkpoint.
      variables: The variables; the checkpoint must hold all of them with the same shape.
      exclude: As in `match`.
      averaged: As in `match`.

    Raises:
      UserError: If a variable is missing or has another shape.
    """
    matched = match(path, variables, exclude, averaged)
    matched.raise_if_unexpected(
        "Pass the options of the network that the checkpoint was saved from."
    )
    return assign_op(matched)


def assign_op(matched: Match) -> tf.Operation:
    """Returns an operation that assigns the loaded variables of a match, widened to their type."""
    if not matched.loaded:
        return tf.no_op()
    dtypes = reader(matched.path).get_variable_to_dtype_map()
    suffixes = dict.fromkeys(matched.averages, tensor_names.EMA_SUFFIX)
    names = [variable.op.name + suffixes.get(variable.op.name, "") for variable in matched.loaded]
    with tf.device("/cpu:0"), tf.name_scope("restore"):
        values = tf.raw_ops.RestoreV2(
            prefix=_literal(matched.path),
            tensor_names=names,
            shape_and_slices=[""] * len(names),
            dtypes=[dtypes[name] for name in names],
        )
        return tf.group(
            *(
                _assign(variable, value, matched).op
                for variable, value in zip(matched.loaded, values)
            )
        )


def _assign(variable, value, matched):
    """Returns the assignment of a stored value, in the type and the shape of the variable."""
    value = tf.cast(value, variable.dtype.base_dtype)
    if any(name == variable.op.name for name, _, _ in matched.other_inputs):
        value = _adapted(value, variable.shape.as_list())
    return tf.assign(variable, value)


def _adapted(value, shape):
    """Returns what stands for three input channels, for another number of them.

    A kernel for grey images gives what the stored one gives for equal red, green and blue. With
    more channels the three keep their filters and the others begin with zeros. What batch norm has
    before the first convolution is the mean of the three in the others.
    """
    is_kernel = len(shape) == 4
    more = shape[2 if is_kernel else 0] - _COLORS
    if is_kernel:
        if more < 0:
            return tf.reduce_sum(value, axis=2, keepdims=True)
        return tf.pad(value, [[0, 0], [0, 0], [0, more], [0, 0]])
    mean = tf.reduce_mean(value, keepdims=True)
    return mean if more < 0 else tf.concat([value, tf.tile(mean, [more])], axis=0)


def loader(matched: Match) -> Callable:
    """Returns `load(session)`, which loads a match once; its operations are made now.

    Raises:
      UserError: By `load`, if the checkpoint is damaged.
    """
    if matched.arrays is None:
        assign, feeds = assign_op(matched), {}
    else:
        assign, feeds = _assign_fed(matched)

    def load(session):
        with reading(matched.path):
            session.run(assign, feeds)
        # The values are not needed again, and as large as the network.
        feeds.clear()

    return load


def _assign_fed(matched: Match) -> tuple:
    """Returns an operation that assigns fed values, and the values; constants fill a graph."""
    feeds, assigned = {}, []
    with tf.device("/cpu:0"), tf.name_scope("restore"):
        for variable in matched.loaded:
            value = matched.arrays[variable.op.name]
            fed = tf.placeholder(value.dtype, value.shape)
            feeds[fed] = value
            assigned.append(_assign(variable, fed, matched).op)
    matched.arrays.clear()
    return tf.group(*assigned), feeds


def num_outputs(path: str, classifier: str) -> int | None:
    """Returns the number of channels of a checkpoint's classifier, None if it has none.

    Args:
      path: Prefix of a checkpoint.
      classifier: Scope of the classifier, `Architecture.classifier`.

    Raises:
      UserError: If there is no readable checkpoint at the path.
    """
    found = shapes(path)
    for name in ("biases", "weights"):
        if f"{classifier}/{name}" in found:
            return found[f"{classifier}/{name}"][-1]
    return None


def match_initial(
    path: str,
    variables,
    head_scopes,
    classifier_scopes,
    initialize_head: bool,
    auxiliary_scopes=(),
    input_scopes=(),
    arrays=None,
    unused=(),
) -> Match:
    """Matches the checkpoint, or the converted arrays, that training starts from.

    If the checkpoint has no variable of the head, such as one of ImageNet, the head stays new, and
    so does an auxiliary head. A classifier for another number of classes stays new. Any other part
    of the head that is missing or has another shape is an error unless the head is excluded. A
    first convolution for RGB is adapted to another number of input channels.

    Args:
      path: Prefix of a checkpoint.
      variables: The network's variables, without the optimizer's.
      head_scopes: Regular expressions of the head's variables.
      classifier_scopes: Regular expressions of those that depend on the number of classes.
      initialize_head: Whether to load the head if the checkpoint has one.
      auxiliary_scopes: Regular expressions of the heads that the checkpoint may lack, one each.
      input_scopes: Regular expressions of the variables among which the first convolution is.
      arrays: As in `match`.
      unused: Names of what else the file of converted arrays holds, for the report.

    Raises:
      UserError: If a tensor is missing or has another shape.
    """
    stored = shapes(path) if arrays is None else _shapes_of(arrays)
    has_head = _holds(stored, head_scopes)
    exclude = tuple(scope for scope in auxiliary_scopes if not _holds(stored, [scope]))
    if not (initialize_head and has_head):
        exclude += tuple(head_scopes)
    matched = match(path, variables, exclude, arrays=arrays)
    matched = dataclasses.replace(matched, skipped=(*matched.skipped, *unused))
    matched = _without_other_classes(matched, classifier_scopes)
    matched = _with_other_inputs(matched, variables, input_scopes)
    if has_head and initialize_head:
        remedy = (
            "If only the head differs, pass "
            "--initialize_last_layer=false, with --last_layers_contain_logits_only to keep all but "
            "the logits layer; otherwise pass the options of the checkpoint's network."
        )
    else:
        remedy = "Pass the options of the checkpoint's network, first of all --model_variant."
    matched.raise_if_unexpected(remedy)
    return matched


def _holds(names, scopes) -> bool:
    return any(re.match(pattern, name) for pattern in scopes for name in names)


def _without_other_classes(matched: Match, classifier_scopes) -> Match:
    """Returns a match in which a classifier for another number of classes is new."""
    other = tuple(
        row
        for row in matched.misshapen
        if any(re.match(pattern, row[0]) for pattern in classifier_scopes)
        and _differ_in_classes(*row[1:])
    )
    names = {name for name, _, _ in other}
    return dataclasses.replace(
        matched,
        new=(*matched.new, *(name for name, _, _ in other)),
        skipped=tuple(sorted({*matched.skipped, *names})),
        misshapen=tuple(row for row in matched.misshapen if row not in other),
        other_classes=other,
    )


def _with_other_inputs(matched: Match, variables, scopes) -> Match:
    """Returns a match in which what stands for RGB is adapted to other input channels."""
    rows = tuple(
        row
        for row in matched.misshapen
        if any(re.match(pattern, row[0]) for pattern in scopes) and _differ_in_inputs(*row[1:])
    )
    adapted = {name for name, _, _ in rows}
    return dataclasses.replace(
        matched,
        loaded=(*matched.loaded, *(item for item in variables if item.op.name in adapted)),
        misshapen=tuple(row for row in matched.misshapen if row not in rows),
        other_inputs=rows,
    )


def _differ_in_inputs(stored, needed) -> bool:
    """Whether only the input channels differ, three in what is stored; two have no meaning."""
    axis = 2 if len(stored) == 4 else 0
    if len(stored) != len(needed) or len(stored) not in (1, 4) or needed[axis] == 2:
        return False
    same = [size for place, size in enumerate(needed) if place != axis]
    return stored[axis] == _COLORS and same == [*stored[:axis], *stored[axis + 1 :]]


def _differ_in_classes(stored, needed) -> bool:
    """Whether two shapes are those of one layer of a classifier for other numbers of classes.

    What follows the classifier, such as a dense upsampling convolution, has multiples of the number
    of classes as inputs and outputs.
    """
    if len(stored) != len(needed) or not stored:
        return False
    if list(stored[:-1]) == list(needed[:-1]):
        return True
    is_kernel = len(stored) == 4 and list(stored[:2]) == list(needed[:2])
    return is_kernel and stored[2] * needed[3] == needed[2] * stored[3]


def newest(folder: str) -> str:
    """Returns the prefix of the newest complete checkpoint in a folder.

    Raises:
      UserError: If the folder does not exist or holds none.
    """
    if not os.path.isdir(folder):
        raise UserError(f"no folder {folder}; pass the --train_logdir of a run.")
    found = find_all(folder)
    if not found:
        raise UserError(f"{folder} holds no checkpoint ({PREFIX}-STEP.index and its data).")
    return found[-1]


def best(folder: str) -> str:
    """Returns the prefix of the checkpoint with the best evaluation of its run.

    Args:
      folder: The run's folder.

    Raises:
      UserError: If the run has none.
    """
    path = os.path.join(folder, BEST_FOLDER, BEST_FILE)
    try:
        prefix = os.path.join(os.path.dirname(path), read_json(path)["checkpoint"])
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no best checkpoint (no {BEST_FOLDER}/{BEST_FILE}); train with "
            "--eval_interval_steps to keep one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); pass a checkpoint instead.") from error
    if not is_complete(prefix):
        raise UserError(f"{path} names {prefix}, which does not exist; pass another checkpoint.")
    return prefix


def run_of(path: str) -> str:
    """Returns the folder of the run that a checkpoint, or one of its best, belongs to."""
    folder = os.path.dirname(path)
    for name, file in ((BEST_FOLDER, BEST_FILE), (TOP_FOLDER, TOP_FILE)):
        if os.path.basename(folder) == name and os.path.exists(os.path.join(folder, file)):
            return os.path.dirname(folder)
    return folder


def find_all(folder: str) -> list:
    """Returns the prefixes of the complete checkpoints in a folder, oldest first."""
    found = []
    for index in glob.glob(os.path.join(glob.escape(folder), PREFIX + "*.index")):
        prefix = index[: -len(".index")]
        parts = re.fullmatch(re.escape(PREFIX) + r"(?:-(\d+))?", os.path.basename(prefix))
        if parts and is_complete(prefix):
            found.append((int(parts.group(1) or -1), prefix))
    return [prefix for _, prefix in sorted(found)]


def files_of(prefix: str) -> list:
    """Returns the existing files of a checkpoint, the index last."""
    data = sorted(glob.glob(glob.escape(prefix) + ".data-*-of-*"))
    return [*data, *glob.glob(glob.escape(prefix) + ".index")]


def is_complete(prefix: str) -> bool:
    """Whether all files of a checkpoint exist; their content is not checked."""
    files = files_of(prefix)
    counts = [int(path.rsplit("-of-", 1)[1]) for path in files[:-1]]
    return bool(counts) and files[-1].endswith(".index") and set(counts) == {len(counts)}


def check_readable(path: str):
    """Reads a whole checkpoint and verifies its checksums.

    It takes about as long as a restore; a command does it once, before it continues from there.

    Raises:
      UserError: If a file is truncated or damaged.
    """
    opened = reader(path)
    with reading(path):
        for name in opened.get_variable_to_shape_map():
            opened.get_tensor(name)


def step_of(path: str) -> int | None:
    """Returns the global step that a checkpoint holds, or None."""
    opened = reader(path)
    if not opened.has_tensor("global_step"):
        return None
    with reading(path):
        return int(opened.get_tensor("global_step"))
