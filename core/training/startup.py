"""The start of a training: what its device must support, its first step and weights, its summary.

The summary names the numbers that follow from the options, with warnings about settings that train
badly without any error.
"""

from __future__ import annotations

from typing import Callable

from absl import logging

from core import network
from core.checkpoints import foreign, named, names, restore
from deployment.backend import Backend
from options.config import Config
from options.network import NetworkSpec
from options.training import TrainOptions
from utils.classes import ClassSet
from utils.compat import tf
from utils.errors import OptionError

# Percentage of a moving average's initial value left at the end of training that is worth a
# warning.
_STALE_PERCENT = 5.0
# Images from which on a network learns from random weights what others bring along: ADE20K has
# 20,210, COCO 118,287; PASCAL VOC's 10,582 are always trained from ImageNet's.
_MANY_IMAGES = 20_000
# After this many times 1 / (1 - decay) steps, moving averages have forgotten their initial values.
_FORGOTTEN = 6.0


def check_backend(options: TrainOptions, backend: Backend):
    """Raises OptionError for options that this device, or several processes, do not support."""
    if options.recover_from_nan and backend.ranks > 1:
        raise OptionError(
            f"--recover_from_nan={options.recover_from_nan} needs a single process, but "
            f"{backend.ranks} train together; leave it out and restart the command instead."
        )
    if options.sync_batch_norm and backend.runs_loop_on_device():
        raise OptionError(f"--sync_batch_norm is for CPU and GPU; leave it out on {backend.name}.")


def start_step(resume_from: str | None, options: TrainOptions) -> int:
    """Returns the step that training starts or continues from, and logs it.

    Args:
      resume_from: The checkpoint to continue from, None at the start.
      options: The training.
    """
    if resume_from is None:
        return 0
    start = restore.step_of(resume_from)
    if start >= options.training_number_of_steps:
        logging.info(
            "%s is at step %d already; pass a larger --%s to continue.",
            resume_from,
            start,
            "epochs" if options.epochs else "training_number_of_steps",
        )
    else:
        logging.info("Continuing from %s at step %d.", resume_from, start)
    return start


def initial_weights(config: Config) -> Callable | None:
    """Returns the function of a session that loads the weights to start from, None without.

    It loads them into the network in the default graph.

    Raises:
      UserError: If a tensor is missing or has another shape.
    """
    options = config.train
    path = named.initial_weights(options, config.network.model_variant)
    if path is None:
        if options.init == named.RANDOM:
            logging.info("Starting from random weights, as --init=%s says.", options.init)
        return None
    matched = foreign.match_initial(
        path,
        network.variables(),
        config.spec,
        options.initialize_last_layer,
        config.optimizer.last_layers_contain_logits_only,
    )
    logging.info("%s", matched.report())
    return restore.loader(matched)


def unfrozen(path: str) -> Callable | None:
    """Returns the function of a session with which the first stage without frozen parts begins.

    It loads the checkpoint into the default graph. The checkpoint holds no slots and no averages of
    what was frozen. Slots start as they do in a new training, averages as the variables: until now
    they would have followed them.

    Args:
      path: Prefix of the checkpoint that ends the stage before.

    Returns:
      None if the checkpoint holds every variable of the default graph, or lacks some of the
      network's, so that it is read as any other.
    """
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    new = sorted(set(variables) - set(restore.shapes(path)))
    if not new or any(names.is_of_network(name) for name in new):
        return None
    loaded = [variable for name, variable in variables.items() if name not in new]
    matched = restore.match(path, loaded)
    matched.raise_if_unexpected("Run the command with the options that the run began with.")
    suffix = names.EMA_SUFFIX
    averages = [name for name in new if name.endswith(suffix)]
    copies = tf.group(
        *(
            tf.assign(variables[name], variables[name[: -len(suffix)]].read_value()).op
            for name in averages
        )
    )
    logging.info("Nothing is frozen from here on; %d variables of training are new.", len(new))
    load = restore.loader(matched)

    def start(session):
        load(session)
        session.run(copies)

    return start


def describe(
    spec: NetworkSpec, options: TrainOptions, classes: ClassSet, run: dict, backend: Backend
):
    """Logs the numbers that follow from the options; call it where the graph is built.

    Args:
      spec: The network.
      options: The training.
      classes: The classes of the data set.
      run: From `run_folder.describe_run`.
      backend: The started device.
    """
    parameters = sum(variable.shape.num_elements() for variable in network.variables())
    images_per_step = options.images_per_step * backend.ranks
    logging.info(
        "%s at output stride %d, %s parameters.",
        spec.options.model_variant,
        network.backbone(spec.options).output_stride(spec.options),
        f"{parameters:,}",
    )
    logging.info(
        "%s: %d images of split %s, %d classes (%s); %d steps of %d images are %.1f epochs.",
        classes.name,
        run["num_images"],
        options.train_split,
        classes.count,
        classes.task,
        options.training_number_of_steps,
        images_per_step,
        options.training_number_of_steps * images_per_step / run["num_images"],
    )
    logging.info(
        "Device %s; %s; commit %s.",
        backend.name,
        ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
        run["commit"] or "unknown",
    )


def warn_of_batch_norm(spec: NetworkSpec, options: TrainOptions):
    """Warns of settings under which batch norm trains badly without any error."""
    if not options.uses_batch_statistics:
        return
    if options.train_batch_size < 8:
        logging.warning(
            "--train_batch_size=%d is small for batch norm, which trains well from 8 images on. "
            "With fewer, start from a trained network and pass --nofine_tune_batch_norm.",
            options.train_batch_size,
        )
    steps = options.training_number_of_steps
    head_left = 100 * spec.options.batch_norm_decay**steps
    if head_left > _STALE_PERCENT:
        logging.warning(
            "After %d steps the head's moving averages still carry %.0f%% of their initial values; "
            "evaluation will be worse than training. Pass a smaller --batch_norm_decay (such as "
            "%.3g) or train longer.",
            steps,
            head_left,
            max(0.5, 1.0 - _FORGOTTEN / steps),
        )
    backbone_left = 100 * network.backbone(spec.options).batch_norm_decay ** steps
    is_frozen = not {"backbone", "encoder"}.isdisjoint(options.freeze or ())
    is_new = _starts_at_random(options) and not is_frozen
    if is_new and backbone_left > _STALE_PERCENT:
        logging.warning(
            "After %d steps the moving averages of %s still carry %.0f%% of their initial values; "
            "evaluation will be worse than training. Start from a checkpoint, train longer, or use "
            "another backbone.",
            steps,
            spec.options.model_variant,
            backbone_left,
        )


def warn_of_random_weights(spec: NetworkSpec, options: TrainOptions, num_images: int):
    """Warns of few images for random weights, unless `--init=random` says that they are meant."""
    if not _starts_at_random(options) or options.init or num_images >= _MANY_IMAGES:
        return
    logging.warning(
        "Training starts from random weights, for which %d images are few: pass --init=imagenet or "
        "--tf_initial_checkpoint. weights/ holds those of mobilenet_v2%s.",
        num_images,
        "" if spec.options.model_variant == "mobilenet_v2" else ", others are yours to put there",
    )


def _starts_at_random(options: TrainOptions) -> bool:
    return options.tf_initial_checkpoint is None and options.init in (None, named.RANDOM)
