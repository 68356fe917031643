"""ONNX, by tf2onnx, for the crop size; checked with onnxruntime."""

from __future__ import annotations

import contextlib
import importlib

import numpy as np

from core.export import graph
from core.export.artifact import (
    EXACT,
    INPUT,
    LABELS,
    PROBABILITIES,
    Artifact,
    Format,
    Job,
    outputs_of,
    tensor,
)
from utils.errors import OptionError, UserError

_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
# Has resizing as in TensorFlow (from 11), and is supported by all current runtimes.
OPSET = 13


def check_available(unused_options):
    """Raises OptionError unless the packages are there."""
    missing = []
    for package in _PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError:
            missing.append(package)
    if missing:
        raise OptionError(
            f"--format=onnx needs {', '.join(missing)}; install them on TensorFlow 2.21 with "
            "pip install --no-deps -r requirements/export.txt, or leave onnx out."
        )


def write(job: Job) -> list:
    """Writes the file.

    Raises:
      UserError: If tf2onnx cannot convert the network.
    """
    import onnx
    import tf2onnx

    path = f"{job.base}.onnx"
    try:
        model, _ = tf2onnx.convert.from_graph_def(
            graph.fixed(job.frozen, job.network),
            input_names=[f"{INPUT}:0"],
            output_names=[f"{LABELS}:0", f"{PROBABILITIES}:0"],
            opset=OPSET,
        )
    # The converter raises many kinds of errors (ValueError, KeyError, its own...).
    except Exception as error:
        raise UserError(
            f"tf2onnx {tf2onnx.__version__} cannot convert the network ({error}); leave onnx out "
            "of --format."
        ) from error
    _rename(model)
    _state_sizes(model)
    onnx.helper.set_model_props(model, {"metadata": job.metadata})
    onnx.save(model, path)
    height, width = job.network.crop_size
    inputs = {INPUT: tensor("uint8", 1, height, width, 3)}
    outputs = outputs_of(job.network, 1, height, width)
    return [Artifact("onnx", path, EXACT, lambda: opened(path), inputs, outputs)]


def _rename(model):
    """Removes TensorFlow's `:0` from the names of inputs and outputs."""
    ends = [*model.graph.input, *model.graph.output]
    names = {end.name: end.name.split(":")[0] for end in ends}
    for end in ends:
        end.name = names[end.name]
    for node in model.graph.node:
        for fields in (node.input, node.output):
            fields[:] = [names.get(name, name) for name in fields]


def _state_sizes(model):
    """Sets the output size of each resize instead of a factor.

    A runtime rounds input times factor down: 33 to 513 by a float32 factor may become 512.
    """
    import onnx

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    # In the order of the graph: each shape depends on those before it.
    for node in model.graph.node:
        if node.op_type != "Resize" or len(node.input) != 3:
            continue
        factors = onnx.numpy_helper.to_array(constants[node.input[2]])
        sizes = np.round(_shape(model, node.input[0]) * factors).astype(np.int64)
        name = f"{node.name}_sizes"
        model.graph.initializer.append(onnx.numpy_helper.from_array(sizes, name))
        node.input[:] = [*node.input[:2], "", name]
    used = {name for node in model.graph.node for name in node.input}
    for name in set(constants) - used:
        model.graph.initializer.remove(constants[name])


def _shape(model, name: str) -> np.ndarray:
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph
    [value] = [value for value in [*inferred.value_info, *inferred.input] if value.name == name]
    return np.array([side.dim_value for side in value.type.tensor_type.shape.dim])


@contextlib.contextmanager
def opened(path: str):
    """Loads an ONNX file; yields a function from an image of its size to the results."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def run(image):
        results = session.run([LABELS, PROBABILITIES], {INPUT: image[None]})
        return results[0][0], results[1][0]

    yield run


VARIANTS = {"onnx": Format(write, False, (".onnx",), check_available)}
