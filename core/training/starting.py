"""What a training starts from, and whether its device can do what is asked."""

from __future__ import annotations

from absl import logging

from core import network
from core.checkpoints import restore
from core.training import step
from deployment.backend import Backend
from options.network import NetworkSpec
from options.training import TrainingSpec, TrainOptions
from utils.errors import OptionError


def check_backend(options: TrainOptions, backend: Backend):
    """Raises OptionError for what one process can do and several cannot, or this device."""
    if options.recover_from_nan and backend.ranks > 1:
        raise OptionError(
            f"--recover_from_nan={options.recover_from_nan} needs a single process, but "
            f"{backend.ranks} train together; leave it out and start the command again instead."
        )
    if options.sync_batch_norm and backend.runs_loop_on_device():
        raise OptionError(f"--sync_batch_norm is for CPU and GPU; leave it out on {backend.name}.")


def initial_weights(config: TrainingSpec, spec: NetworkSpec) -> restore.Match | None:
    """Returns how `--tf_initial_checkpoint` fits the network in the default graph, None without.

    Args:
      config: The training.
      spec: The network.

    Raises:
      UserError: If a tensor is missing or has another shape.
    """
    options = config.train
    if options.tf_initial_checkpoint is None:
        return None
    architecture = network.architecture(spec)
    matched = restore.match_initial(
        options.tf_initial_checkpoint,
        step.network_variables(),
        architecture.last_layer_scopes(config.optimizer.last_layers_contain_logits_only),
        architecture.classifier_scopes,
        options.initialize_last_layer,
    )
    logging.info("%s", matched.report())
    return matched
