"""Compares exported files with the checkpoint, image by image, and measures latency."""

from __future__ import annotations

import dataclasses
import os
import time

import numpy as np
from absl import logging

from core.export.artifact import Artifact, Tolerance
from utils import log
from utils.errors import UserError

_TIMED_RUNS = 5
# A slow network is timed less often.
_ENOUGH_SECONDS = 20.0
# If the first image (which warms up too) takes longer, the others deserve a progress line.
_SLOW_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Case:
    """An image, and its prediction by the checkpoint.

    Attributes:
      image: uint8 [h, w, 3].
      size: (height, width) of its part without padding.
      labels: int32 [h, w], or [h, w, classes].
      probabilities: float32 [h, w, channels].
    """

    image: np.ndarray
    size: tuple
    labels: np.ndarray
    probabilities: np.ndarray


def run_all(run, images, name: str) -> list:
    """Returns the results of a function on each image; shows progress if it is slow.

    Args:
      run: Maps an image to its results.
      images: The images, each uint8 [h, w, 3].
      name: The name of the function in messages.
    """
    begin = time.monotonic()
    results = [run(images[0])]
    if time.monotonic() - begin < _SLOW_SECONDS:
        return results + [run(image) for image in images[1:]]
    logging.info("Running %s on %d images.", name, len(images))
    progress = log.Progress(len(images))
    try:
        progress.update(1)
        for image in images[1:]:
            results.append(run(image))
            progress.update(len(results))
    finally:
        progress.close()
    return results


def examine(artifact: Artifact, cases) -> dict:
    """Runs an artefact on images and compares.

    Args:
      artifact: What was written.
      cases: Images of sizes that it takes.

    Returns:
      Plain values: `check` and `latency`; for an artefact that cannot run here, the reason.

    Raises:
      UserError: If it is not within its tolerance.
    """
    if artifact.open is None:
        return {"check": {"done": False, "reason": "it cannot run on this machine"}}
    with artifact.open() as run:
        check = compare(cases, run_all(run, [case.image for case in cases], artifact.name))
        latency = _latency(run, cases[0].image)
    check = {"done": True, "images": len(cases), **check, **_as_dict(artifact.tolerance)}
    raise_if_different(artifact, check)
    return {"check": check, "latency": latency}


def compare(cases, results) -> dict:
    """Returns how far results are from those of the checkpoint.

    Args:
      cases: The images and their predictions by the checkpoint.
      results: (labels, probabilities) of each, in the same shapes.

    Raises:
      UserError: If shapes differ.
    """
    equal = pixels = 0
    differences = []
    for case, (labels, probabilities) in zip(cases, results):
        if labels.shape != case.labels.shape or probabilities.shape != case.probabilities.shape:
            raise UserError(
                f"the exported network gives {labels.shape} and {probabilities.shape}, but the "
                f"checkpoint {case.labels.shape} and {case.probabilities.shape}."
            )
        part = tuple(slice(side) for side in case.size)
        equal += np.count_nonzero(labels[part] == case.labels[part])
        pixels += labels[part].size
        differences.append(np.abs(probabilities[part] - case.probabilities[part]))
    return {
        # NaN stays NaN, and exceeds every tolerance.
        "max_difference": float(np.max([difference.max() for difference in differences])),
        "mean_difference": float(np.mean([difference.mean() for difference in differences])),
        "label_agreement": equal / pixels,
    }


def raise_if_different(artifact: Artifact, check: dict):
    """Raises UserError unless a comparison is within the tolerance of an artefact."""
    tolerance = artifact.tolerance
    near = tolerance.difference is None or check["max_difference"] <= tolerance.difference
    if near and check["label_agreement"] >= tolerance.agreement:
        return
    allowed, remedy = "", "lower --int8_label_agreement, "
    if tolerance.difference is not None:
        allowed, remedy = f", at most {tolerance.difference:g}", ""
    raise UserError(
        f"{artifact.name} does not agree with the checkpoint on {check['images']} images: largest "
        f"difference of a probability {check['max_difference']:.3g}{allowed}; equal labels "
        f"{check['label_agreement']:.3%}, at least {tolerance.agreement:.1%}. Nothing was written; "
        f"{remedy}leave this format out, or check on other images (--check_images)."
    )


def _as_dict(tolerance: Tolerance) -> dict:
    return {
        "allowed_difference": tolerance.difference,
        "needed_agreement": tolerance.agreement,
    }


def _latency(run, image) -> dict:
    """Returns the median time of a run in milliseconds; earlier runs were the warm-up."""
    times = []
    while len(times) < _TIMED_RUNS and sum(times) < _ENOUGH_SECONDS:
        begin = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - begin)
    return {
        "median_ms": round(1000 * float(np.median(times)), 3),
        "runs": len(times),
        "image_size": list(image.shape[:2]),
    }


def size_of(path: str) -> int:
    """Returns the bytes of a file, or of all files of a folder."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(
        os.path.getsize(os.path.join(folder, name))
        for folder, _, names in os.walk(path)
        for name in names
    )
