"""A head described by a JSON file instead of ASPP, as found by architecture search.

The file is a list of branches, each `{"op": "conv", "kernel": 3, "rate": [h, w], "input": I}` or
`{"op": "pyramid_pooling", "grid_size": [h, w], "input": I}`; input -1 is the backbone's output, I
an earlier branch. Source: arXiv 1809.04184.
"""

from __future__ import annotations

from core import layers
from core.architectures.deeplab.aspp import KEEP_PROB
from options.network import NetworkSpec
from utils import files
from utils.compat import tf
from utils.errors import OptionError

# Channels of each branch and of the output.
FILTERS = 256

# The output stride that the rates in the file are meant for.
NOMINAL_STRIDE = 16


def load(spec: NetworkSpec) -> list[dict]:
    """Reads and checks the file of a cell.

    Raises:
      OptionError: If the file cannot be read, is no such description, or the output stride is
        coarser than what its rates are meant for.
    """
    path = spec.architecture.dense_prediction_cell_json
    if spec.options.output_stride > NOMINAL_STRIDE:
        raise OptionError(
            f"--output_stride is {spec.options.output_stride}, but the rates of a dense prediction "
            f"cell are for {NOMINAL_STRIDE}, and 8 can be derived from them."
        )
    try:
        branches = files.read_json(path)
    except (OSError, ValueError) as error:
        raise OptionError(f"--dense_prediction_cell_json={path} cannot be read: {error}.") from None
    if not isinstance(branches, list) or not branches:
        raise OptionError(f"--dense_prediction_cell_json={path} must hold a list of branches.")
    for index, branch in enumerate(branches):
        problem = _problem(branch, index)
        if problem:
            raise OptionError(f"--dense_prediction_cell_json={path}: branch {index} {problem}.")
    return branches


def _problem(branch, index) -> str:
    """Returns what is wrong with a branch, or an empty string."""
    if not isinstance(branch, dict):
        return f"is {branch!r}, but must be an object"
    source = branch.get("input")
    if not isinstance(source, int) or source >= index:
        return f"has input {source!r}, but needs -1 or an earlier branch"
    if branch.get("op") == "pyramid_pooling":
        return "" if _is_pair(branch.get("grid_size")) else "needs a grid_size [height, width]"
    if branch.get("op") != "conv":
        return f"has op {branch.get('op')!r}; known are conv and pyramid_pooling"
    if not (_is_size(branch.get("kernel")) or _is_pair(branch.get("kernel"))):
        return "needs a kernel, a number or [height, width]"
    if not _is_pointwise(branch) and not _is_pair(branch.get("rate")):
        return "needs a rate [height, width]"
    return ""


def _is_size(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_pair(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_size(side) for side in value)


def _is_pointwise(branch) -> bool:
    return branch["kernel"] in (1, [1, 1])


def build(features: tf.Tensor, spec: NetworkSpec, mode: layers.Mode, *, crop_size) -> tf.Tensor:
    """Builds the cell of `--dense_prediction_cell_json`.

    Args:
      features: [N, h, w, channels], the backbone's output.
      spec: The network.
      mode: What the graph is for.
      crop_size: (height, width) in input pixels that decides the pooling windows.

    Returns:
      [N, h, w, 256].

    Raises:
      OptionError: If the file is refused, or pooling meets images of unknown size.
    """
    with layers.arg_scope(
        mode,
        decay=spec.options.batch_norm_decay,
    ), tf.variable_scope("meta_architecture"):
        outputs = []
        for index, branch in enumerate(load(spec)):
            inputs = features if branch["input"] < 0 else outputs[branch["input"]]
            function = _pooling if branch["op"] == "pyramid_pooling" else _convolution
            outputs.append(function(inputs, branch, spec, crop_size, f"branch{index}"))
        merged = layers.dropout(tf.concat(outputs, 3), KEEP_PROB, mode)
        return layers.conv2d(merged, FILTERS, 1, scope="concat_projection")


def _convolution(inputs, branch, spec, unused_crop_size, scope):
    if _is_pointwise(branch):
        return layers.conv2d(inputs, FILTERS, 1, scope=scope)
    factor = NOMINAL_STRIDE // spec.options.output_stride
    rate = [side * factor for side in branch["rate"]]
    return layers.split_separable_conv2d(inputs, FILTERS, branch["kernel"], rate, scope=scope)


def _pooling(inputs, branch, spec, crop_size, scope):
    options = spec.architecture
    if crop_size is None:
        raise OptionError(
            f"--dense_prediction_cell_json={options.dense_prediction_cell_json} pools over a grid, "
            "which needs a crop size."
        )
    window = options.image_pooling_crop_size or crop_size
    kernel = [
        layers.scaled_size(side, 1.0 / (spec.options.output_stride * cells))
        for side, cells in zip(window, branch["grid_size"])
    ]
    pooled = tf.nn.avg_pool(inputs, [1, *kernel, 1], [1, 1, 1, 1], "VALID")
    outputs = layers.conv2d(pooled, FILTERS, 1, scope=scope)
    return layers.resize_bilinear(outputs, layers.spatial_size(inputs))
