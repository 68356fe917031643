"""Scores and thresholds equal those that the Keras pipeline stored."""

import numpy as np
import pytest

from core.inference import tta
from core.metrics import class_scores, musket, overlap, pixels
from core.metrics.per_image import PerImage
from core.metrics.sweep import Sweep
from core.task import TASKS
from options.evaluation import EvalOptions
from tests.resources import golden_json
from utils.classes import ClassSet, default_names
from utils.compat import tf

SETS = ("binary", "classes3", "mixed_sizes", "negatives_only")
METRICS = {"dice": "dice_per_image", "iou": "iou_per_image", "map10": "map10"}


def picture(seed, height, width, channels, kind):
    """Returns targets and probabilities [h, w, channels] by the rule of the golden file."""
    random = np.random.RandomState(seed)
    cells = random.randint(0, 2, size=(-(-height // 4), -(-width // 4), channels))
    target = cells.repeat(4, 0).repeat(4, 1)[:height, :width].astype(np.float32)
    logits = 2 * random.standard_normal((height, width, channels))
    probability = 1 / (1 + np.exp(-(logits + 3 * (target - 0.5))))
    if kind == "negative":
        target, probability = np.zeros_like(target), 1 / (1 + np.exp(-(logits - 1)))
    elif kind == "true_negative":
        target, probability = np.zeros_like(target), 0.25 * probability
    return target.astype(np.int32), probability.astype(np.float32)


def set_of(name):
    items = golden_json("musket/metrics.json")["sets"][name]
    return [picture(*item) for item in items]


def measured(name, options, make):
    """Returns a measure of a set of pictures."""
    pictures = set_of(name)
    channels = pictures[0][0].shape[-1]
    task = TASKS["binary" if channels == 1 else "multilabel"]
    classes = ClassSet(default_names(max(channels, 2)), task=task.name)
    measure = make(task, classes, options)
    with tf.Graph().as_default(), tf.Session() as session:
        for target, probability in pictures:
            batch = {
                "label": tf.constant(target[np.newaxis]),
                "height": tf.constant([target.shape[0]]),
                "width": tf.constant([target.shape[1]]),
                "valid": tf.constant([1.0]),
            }
            known, _ = pixels.of_batch(batch, task, classes)
            labels = task.decide_array(probability)[np.newaxis]
            prediction = tta.Prediction(tf.constant(labels), probability[np.newaxis])
            measure.add(session.run(measure.fetches(known, prediction)), 0)
    return measure


@pytest.mark.parametrize("policy", ["zero", "one"])
@pytest.mark.parametrize("name", SETS)
def test_final_metrics_are_means_over_pictures(name, policy):
    options = EvalOptions(empty_images=policy, threshold_sweep=True)
    at_half = measured(name, options, PerImage).scores()
    swept = measured(name, options, Sweep)
    stored = {
        entry["metric"]: entry["result"]
        for entry in golden_json("musket/metrics.json")["final"]
        if entry["set"] == name and "result" in entry
    }
    for metric, key in METRICS.items():
        theirs = f"{metric}_true_negative_is_{policy}"
        assert at_half[key] == pytest.approx(stored[theirs][theirs], abs=1e-6)
        theirs = f"{metric}_with_custom_treshold_true_negative_is_{policy}"
        best = swept.best_for_all(key)
        assert best.value == pytest.approx(stored[theirs][theirs], abs=1e-6)
        if not (name == "negatives_only" and metric == "iou" and policy == "zero"):
            # There all are zero, but for the 1e-6 that the pipeline adds to an IoU.
            assert best.threshold == stored[theirs][f"{theirs}_treshold"]


@pytest.mark.parametrize("name", ["binary", "mixed_sizes", "negatives_only"])
def test_the_threshold_search_finds_what_it_is_for(name):
    swept = measured(name, EvalOptions(threshold_sweep=True), Sweep)
    stored = golden_json("musket/metrics.json")["threshold_search_meant"][name]
    for metric, expected in stored.items():
        (best,) = swept.best(METRICS[metric])
        assert best.threshold == expected["threshold"]
        assert best.value == pytest.approx(expected["score"], abs=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_each_picture_has_the_stored_scores(name):
    stored = [
        entry
        for entry in golden_json("musket/metrics.json")["final_per_image"]
        if entry["set"] == name
    ]
    pictures = set_of(name)
    assert len(stored) == len(pictures)
    for (target, probability), expected in zip(pictures, stored):
        found = overlap.scores(*_counts(target, probability)[:3], "skip")
        for row, key in enumerate(overlap.NAMES):
            if expected[key] == -1:
                assert np.isnan(found[row]).all()
            else:
                assert found[row].mean() == pytest.approx(expected[key], abs=1e-6)


def test_a_new_pass_starts_at_zero():
    stored = golden_json("musket/metrics.json")["accumulation"]
    for name, key in (("binary", "first_set_binary"), ("negatives_only", "negatives_only_alone")):
        found = measured(name, EvalOptions(), PerImage).scores()["dice_per_image"]
        assert found == pytest.approx(stored[key], abs=1e-6)


def _counts(target, probability):
    """Returns hits, labelled, predicted and all pixels by channel."""
    predicted = probability > 0.5
    planes = (predicted & (target == 1), target == 1, predicted, np.ones_like(predicted))
    return [plane.sum(axis=(0, 1)) for plane in planes]


def _score(metric, pictures):
    """Returns a score of a group of pictures of one size, by our own functions."""
    counts = np.sum([_counts(*picture) for picture in pictures], axis=0).sum(axis=1)
    hits, labelled, predicted, _ = counts
    if metric == "binary_accuracy":
        return class_scores.accuracy(*counts[:, np.newaxis])[0]
    if metric == "matthews_correlation":
        return np.nan_to_num(class_scores.matthews(*counts))
    if metric in ("dice", "iou_coef"):
        found = overlap.scores(hits, labelled, predicted, "one")
        return found[overlap.NAMES.index("dice" if metric == "dice" else "iou")]
    target, probability = (np.float32(np.stack(parts)) for parts in zip(*pictures))
    with tf.Graph().as_default(), tf.Session() as session:
        hard = (probability > 0.5).astype(np.float32)
        return session.run(musket.overlap(tf.constant(target), tf.constant(hard))).mean()


OF_GROUPS = ("binary_accuracy", "matthews_correlation", "dice", "iou_coef", "iou", "iot")


@pytest.mark.parametrize("size", [2, 32])
@pytest.mark.parametrize("name", SETS)
def test_metrics_after_training_are_means_over_groups(name, size):
    pictures = set_of(name)
    checked = 0
    for entry in golden_json("musket/metrics.json")["after_training"]:
        ours = entry["metric"] in OF_GROUPS and "value" in entry
        if (entry["set"], entry["inference_batch"]) != (name, size) or not ours:
            continue
        groups = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        values = []
        for group in groups:
            parts = [[one] for one in group] if name == "mixed_sizes" else [group]
            values.append(np.mean([_score(entry["metric"], part) for part in parts]))
        assert np.mean(values) == pytest.approx(entry["value"], abs=1e-6), entry["metric"]
        checked += 1
    # More than one class, or size, the pipeline cannot do everywhere.
    assert checked == (4 if name in ("classes3", "mixed_sizes") else 6)


def case_of(kind, *rule):
    """Returns an array by the rules of the losses."""
    if kind == "hard":
        return (case_of(*rule) > 0.5).astype(np.float32)
    if kind in ("zeros", "ones"):
        return getattr(np, kind)(rule, np.float32)
    seed, number, height, width, channels = rule
    random = np.random.RandomState(seed)
    cells = (number, -(-height // 4), -(-width // 4))
    if kind == "mask":
        found = random.randint(0, 2, size=(*cells, channels))
    elif kind == "onehot":
        found = np.eye(channels)[random.randint(0, channels, size=cells)]
    else:
        logits = 2 * random.standard_normal((number, height, width, channels))
        if kind == "sigmoid":
            return (1 / (1 + np.exp(-logits))).astype(np.float32)
        powers = np.exp(logits)
        return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return found.repeat(4, 1).repeat(4, 2)[:, :height, :width].astype(np.float32)


CASES = (
    "binary",
    "empty",
    "full",
    "empty_zero",
    "perfect",
    "opposite",
    "multilabel",
    "exclusive",
)


@pytest.mark.parametrize("case", CASES)
def test_training_metrics_are_those_of_one_batch(case):
    golden = golden_json("musket/losses.json")
    target, probability = (case_of(*rule) for rule in golden["cases"][case])
    stored = {
        entry["metric"]: entry["value"] for entry in golden["metrics"] if entry["case"] == case
    }
    predicted = probability > 0.5
    hits = (predicted & (target == 1)).sum()
    counts = (hits, (target == 1).sum(), predicted.sum(), target.size)
    of_class = class_scores.of_counts(*np.int64(counts)[:3, np.newaxis])
    largest = (target.argmax(-1) == probability.argmax(-1)).mean()
    accuracy = class_scores.accuracy(*np.int64(counts)[:, np.newaxis])[0]
    with tf.Graph().as_default(), tf.Session() as session:
        soft, hard = session.run(
            [
                musket.overlap(tf.constant(target), tf.constant(values))
                for values in (probability, predicted.astype(np.float32))
            ]
        )
    found = {
        "binary_accuracy": accuracy,
        "categorical_accuracy": largest,
        "accuracy": accuracy if target.shape[-1] == 1 else largest,
        # Undefined scores are 0 there.
        "dice": of_class.f1[0] or 0.0,
        "matthews_correlation": np.nan_to_num(class_scores.matthews(*counts)),
        "iou": soft.mean(),
        "iou_coef": soft.mean(),
        "iot": hard.mean(),
    }
    for metric, value in found.items():
        assert value == pytest.approx(stored[metric], rel=1e-5, abs=1e-6), metric


def test_musket_scores_of_a_set_are_means_over_pictures():
    found = measured("mixed_sizes", EvalOptions(musket_metrics=True), musket.Musket).scores()
    expected = []
    for target, probability in set_of("mixed_sizes"):
        values = (probability, probability > 0.5)
        expected.append(
            [2 * ((target * p).sum() + 1) / (target.sum() + p.sum() + 1) for p in values]
        )
    assert [found["musket.iou"], found["musket.iot"]] == pytest.approx(np.mean(expected, axis=0))
