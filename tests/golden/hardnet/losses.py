"""The losses of FC-HarDNet's manifests as expressions of this project."""

from __future__ import annotations

# Of the original's loss of several outputs.
_SCALE_WEIGHTS = (1.0, 0.4)


def expression_of(
    name: str, params: dict, *, outputs: int | None = None, weighted: bool = False
) -> str:
    """Returns the value of --loss.

    Args:
      name: The loss, as the manifest names it.
      params: Its arguments.
      outputs: The number of outputs o0, o1 ...; None for a network with a single one.
      weighted: Whether classes have weights, by whose sum the original's cross entropy divides.

    Raises:
      KeyError: If there is no such loss.
    """
    return _LOSSES[name](params, outputs, weighted)


def _cross_entropy(params, unused_outputs, weighted):
    if not params.get("size_average", True):
        return "cross_entropy(reduction=sum)"
    return "cross_entropy(reduction=weighted_mean)" if weighted else "cross_entropy"


def _bootstrapped(params, unused_outputs, unused_weighted):
    k, threshold = params.get("min_K", 4096), params.get("loss_th", 0.3)
    return f"bootstrapped_cross_entropy(k={k}, threshold={threshold})"


def _multi_scale(params, outputs, weighted):
    if outputs is None:
        return _cross_entropy(params, outputs, weighted)
    loss = f"bootstrapped_cross_entropy(pixels_per_k=128, threshold={params['loss_th']})"
    weights = params.get("scale_weight", _SCALE_WEIGHTS)[:outputs]
    return "; ".join(f"o{place}: {weight} * {loss}" for place, weight in enumerate(weights))


_LOSSES = {
    "cross_entropy": _cross_entropy,
    "bootstrapped_cross_entropy": _bootstrapped,
    "multi_scale_cross_entropy": _multi_scale,
}
