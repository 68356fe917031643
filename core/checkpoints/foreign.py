"""Files of weights of other frameworks and systems, told by their content.

The converters in `core/checkpoints/convert/` say what they read and which array is which variable;
`convert_weights` writes the arrays to a checkpoint, a training takes them as they are.
"""

from __future__ import annotations

import os
import re

import core.checkpoints.convert
from core import network
from core.checkpoints import restore
from core.checkpoints.convert import Network
from options.network import NetworkSpec
from utils import variants

# Name -> record; the folder is the registry.
SOURCES = variants.collect(core.checkpoints.convert)


def sources_of(path: str) -> list:
    """Returns the names of the sources that read a file of weights, by its content.

    Those of one kind of file read it in the same way: the network decides on the names. There are
    none for checkpoints with the names of this project, nor for what is not there.
    """
    if not os.path.isfile(path) and not restore.files_of(path):
        return []
    fitting = [name for name, source in sorted(SOURCES.items()) if source.fits(path)]
    return fitting if os.path.isfile(path) or "deeplab" not in fitting else []


def check(path: str):
    """Raises UserError if a path is neither a readable checkpoint nor a known file of weights."""
    if not sources_of(path):
        restore.reader(path)


def network_of(spec: NetworkSpec, variables) -> Network:
    """Returns what converters must know of a network."""
    record = network.architecture(spec)
    return Network(
        shapes={variable.op.name: variable.shape.as_list() for variable in variables},
        backbone=network.backbone(spec.options).scope,
        classifiers=(record.classifier, *record.auxiliary_classifiers),
        variant=spec.options.model_variant,
    )


def match_initial(
    path: str, variables, spec: NetworkSpec, initialize_head: bool, classifier_only: bool
) -> restore.Match:
    """Matches the weights that training starts from; see `restore.match_initial`.

    Args:
      path: Prefix of a checkpoint, or a file of weights of another framework.
      variables: The network's variables, without the optimizer's.
      spec: The network.
      initialize_head: Whether to load the head if there is one.
      classifier_only: Whether only the classifiers count as the head.

    Raises:
      UserError: If a tensor is missing or has another shape.
    """
    record, arrays, unused = network.architecture(spec), None, ()
    for name in sources_of(path)[:1]:
        arrays, unused = SOURCES[name].convert(path, network_of(spec, variables))
    return restore.match_initial(
        path,
        variables,
        record.last_layer_scopes(classifier_only),
        record.classifier_scopes,
        initialize_head,
        record.auxiliary_scopes,
        [re.escape(f"{network.backbone(spec.options).scope}/")],
        arrays=arrays,
        unused=unused,
    )
