"""One export: restore, freeze, write each format to a temporary folder, check, publish."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile

from absl import logging

import core.export
from core.checkpoints import files
from core.checkpoints import restore as checkpoint
from core.export import check, graph, metadata
from core.export.artifact import Artifact, Job, Network
from core.inference import resize
from core.network import variables as network_variables
from deployment.backend import Backend
from options import export
from utils import log, variants
from utils.compat import tf
from utils.errors import OptionError, UserError

# Name -> record of every format; the folder is the registry.
FORMATS = variants.collect(core.export)
_METADATA_SUFFIX = ".json"
INFERENCE_GRAPH = "inference_graph.pbtxt"
# What TensorFlow writes into the folder of a SavedModel.
_SAVED_MODEL = ("saved_model.pb", "variables", "assets", "assets.extra", "fingerprint.pb")


@dataclasses.dataclass(frozen=True)
class Samples:
    """Images and their origin.

    Attributes:
      images: uint8 [h, w, 3], any sizes.
      source: Their origin as text.
    """

    images: list
    source: str


def split_by_available(export_options: export.ExportOptions) -> tuple:
    """Returns the formats that can be written here, and why each of the others cannot.

    Raises:
      OptionError: If a format is unknown, or none can be written, because a package is missing, or
        this TensorFlow is too old or too new.
    """
    available, reasons = [], []
    records = {name: variants.lookup(FORMATS, name, "--format") for name in export_options.format}
    for name, record in records.items():
        try:
            record.check_available(export_options)
        except OptionError as error:
            reasons.append(str(error))
        else:
            available.append(name)
    if not available:
        raise OptionError(" ".join(reasons))
    return tuple(available), reasons


def run(
    network: Network,
    *,
    checkpoint_path: str,
    export_options: export.ExportOptions,
    samples: Samples,
    representative: Samples | None,
    backend: Backend,
) -> dict:
    """Exports a checkpoint.

    Args:
      network: What is exported.
      checkpoint_path: Prefix of the checkpoint.
      export_options: Formats and file names.
      samples: The images to check on.
      representative: The images that set the ranges of whole numbers, if there are any.
      backend: The started device.

    Returns:
      The content of the JSON file beside the artefacts.

    Raises:
      UserError: If the checkpoint does not fit, the folder cannot be written to, a converter fails
        or an artefact does not agree with the checkpoint. Then nothing is written.
    """
    base = export.base_of(export_options.export_path)
    _check_replaceable(export_options.export_path)
    described = metadata.describe(network, checkpoint_path, export_options.use_ema)
    with _staging(base) as folder, _writing(os.path.dirname(base) or "."):
        frozen, cases = _freeze(
            network, checkpoint_path, export_options, samples.images, folder, backend
        )
        job = Job(
            frozen=frozen,
            network=network,
            base=os.path.join(folder, os.path.basename(base)),
            frozen_path=os.path.join(folder, os.path.basename(export_options.export_path)),
            metadata=metadata.as_text(described),
            options=export_options,
            representative=_fitted(representative, network),
        )
        described["check_images"] = {"count": len(samples.images), "source": samples.source}
        described["artifacts"] = {}
        for name in export_options.format:
            for artifact in FORMATS[name].write(job):
                examined = check.examine(artifact, cases[FORMATS[name].any_size])
                described["artifacts"][artifact.name] = _entry(artifact, examined)
                log.message(_line(artifact, examined))
        with open(job.base + _METADATA_SUFFIX, "w", encoding="utf-8") as file:
            file.write(metadata.as_text(described))
        _publish(job, os.path.dirname(base) or ".")
    return described


def _fitted(samples, network):
    if samples is None:
        return None
    return [resize.fit(image, network.crop_size, network.pad_color)[0] for image in samples.images]


@contextlib.contextmanager
def _staging(base: str):
    """Creates a folder beside the target, and removes it with its remaining content."""
    target = os.path.dirname(base) or "."
    is_new = not os.path.exists(target)
    try:
        os.makedirs(target, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=f".{os.path.basename(base)}-", dir=target)
    except OSError as error:
        raise UserError(
            f"cannot write to the folder of --export_path, {target}: {error.strerror}; name "
            "another one."
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if is_new and not os.listdir(target):
            os.rmdir(target)


@contextlib.contextmanager
def _writing(target: str):
    """Raises UserError instead of the errors of a full or read-only disk."""
    try:
        yield
    except (FileNotFoundError, tf.errors.NotFoundError):
        # Not a problem of the disk: the folder was created.
        raise
    except (OSError, tf.errors.OpError) as error:
        reason = files.cannot_write(error)
        if reason is None:
            raise
        raise UserError(
            f"cannot write to the folder of --export_path, {target}: {reason}; free some space or "
            "name another one."
        ) from error


def _freeze(network, path, export_options, samples, folder, backend) -> tuple:
    """Returns the network as constants, and the predictions of the checkpoint.

    These are a dict: True -> cases of any size, False -> of the crop size, as far as formats need
    them.
    """
    needed = {FORMATS[name].any_size for name in export_options.format}
    with tf.Graph().as_default() as live:
        inputs, *outputs = graph.build_live(network)
        restore = checkpoint.restore_op(path, network_variables(), averaged=export_options.use_ema)
        if export_options.save_inference_graph:
            tf.io.write_graph(live.as_graph_def(add_shapes=True), folder, INFERENCE_GRAPH)
        with tf.Session(config=backend.session_config()) as session:
            with checkpoint.reading(path):
                session.run(restore)
            cases = {}
            for any_size in needed:
                given = [_taken(image, network, any_size) for image in samples]
                results = check.run_all(
                    lambda image: session.run(outputs, {inputs: [image]}),
                    [image for image, _ in given],
                    "the checkpoint",
                )
                cases[any_size] = [
                    check.Case(image, size, labels[0], probabilities[0])
                    for (image, size), (labels, probabilities) in zip(given, results)
                ]
            return graph.freeze(session), cases


def _taken(image, network, any_size) -> tuple:
    """Returns an image at the size that a format takes, and its size without padding."""
    if any_size:
        return image, image.shape[:2]
    return resize.fit(image, network.crop_size, network.pad_color)


def _entry(artifact: Artifact, examined: dict) -> dict:
    return {
        "file": os.path.basename(artifact.path),
        "bytes": check.size_of(artifact.path),
        "inputs": artifact.inputs,
        "outputs": artifact.outputs,
        **({"notes": list(artifact.notes)} if artifact.notes else {}),
        **examined,
    }


def _line(artifact: Artifact, examined: dict) -> str:
    """Returns the line that describes an artefact."""
    size = f"{check.size_of(artifact.path) / 1e6:.2f} MB"
    name = f"{os.path.basename(artifact.path)} ({artifact.name}), {size}"
    done = examined["check"]
    if not done["done"]:
        return f"{name}: not checked, {done['reason']}"
    latency = examined["latency"]
    return (
        f"{name}: largest difference {done['max_difference']:.2g}, equal labels "
        f"{done['label_agreement']:.4%} on {done['images']} images; {latency['median_ms']:.1f} ms "
        f"an image (median of {latency['runs']}, {'x'.join(map(str, latency['image_size']))})"
    )


def _names(export_path: str) -> list:
    """Returns the names of all files and folders that an export to a path may write."""
    name = os.path.basename(export.base_of(export_path))
    suffixes = [suffix for record in FORMATS.values() for suffix in record.suffixes]
    return [
        *(os.path.basename(export_path), INFERENCE_GRAPH),
        *(name + suffix for suffix in (*suffixes, _METADATA_SUFFIX)),
    ]


def _check_replaceable(export_path: str):
    """Raises UserError if a folder in the way of an export holds what no export has written."""
    target = os.path.dirname(export_path) or "."
    for path in (os.path.join(target, name) for name in _names(export_path)):
        foreign = os.path.isdir(path) and set(os.listdir(path)).difference(_SAVED_MODEL)
        if foreign:
            raise UserError(
                f"{path} is in the way: it is a folder with {min(foreign)}, which no export has "
                "written; pass another --export_path, or move it away."
            )


def _publish(job: Job, target: str):
    """Moves the files to the target, the metadata last.

    Other files in the temporary folder (converters leave some) are not kept.
    """
    folder, names = os.path.dirname(job.base), _names(job.frozen_path)
    written = [name for name in names if os.path.exists(os.path.join(folder, name))]
    older = [
        name for name in names if name not in written and os.path.exists(os.path.join(target, name))
    ]
    for name in written:
        source, final = os.path.join(folder, name), os.path.join(target, name)
        if os.path.isdir(final):
            # A folder cannot be replaced in one step.
            os.replace(final, os.path.join(tempfile.mkdtemp(dir=folder), name))
        os.replace(source, final)
    if older:
        logging.warning(
            "%s in %s: of an earlier export, no longer described by %s.",
            ", ".join(older),
            target,
            os.path.basename(job.base) + _METADATA_SUFFIX,
        )
    logging.info("Exported to %s.", target)
