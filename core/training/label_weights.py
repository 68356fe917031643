"""Class weights from the counts of the training split: computed once, then those of the run."""

from __future__ import annotations

from options import saved as saved_options
from options.config import COUNTED, SAVED, Config


def settle(config: Config, dataset) -> Config:
    """Returns the config with the class weights that `--label_weights_from` stands for.

    A run that continues has the weights that it began with, from its `options.json`, if the records
    are the same; else they are computed from all labels of the training split.

    Args:
      config: The options of the run.
      dataset: The opened data set, with the task of the run.

    Raises:
      UserError: If a label cannot be read, or `options.json` is damaged.
    """
    formula, split = config.loss.label_weights_from, config.train.train_split
    if formula is None:
        return config
    saved = saved_options.load(config.train.train_logdir)
    old = saved.values("loss")
    if (
        old.get("label_weights_from") == formula
        and old.get("label_weights") is not None
        and saved.run.get("split") == split
        and saved.run.get("fingerprint") == dataset.fingerprint(split)
    ):
        return config.with_values({"label_weights": old["label_weights"]}, SAVED + saved.path)
    weights = dataset.label_weights(split, formula)
    return config.with_values({"label_weights": weights}, COUNTED + split)


def describe(config: Config, classes) -> str:
    """Returns the class weights as text, empty without `--label_weights_from`."""
    if config.loss.label_weights_from is None:
        return ""
    weights = ", ".join(
        f"{name} {weight:.4g}" for name, weight in zip(classes.names, config.loss.label_weights)
    )
    return (
        f"Class weights by --label_weights_from={config.loss.label_weights_from} of split "
        f"{config.train.train_split}: {weights}."
    )
