"""The rows of `benchmarks.architectures`: networks, and the ways to run their peers."""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """A network with the images that it is measured on.

    Attributes:
      flags: What makes it our network.
      size: Height and width of the images.
      batch_size: Images of a step.
      num_classes: Number of classes; a binary task has two.
      task: What the classes mean, as in `--task`.
      framework: A key of PEERS; its network is the file of `benchmarks/peers` called `peer`.
      peer: The same network in that framework.
      optimizer: momentum or adam.
      weight_decay: Of the momentum optimizer.
    """

    flags: tuple[str, ...]
    size: tuple[int, int]
    batch_size: int
    num_classes: int
    task: str
    framework: str
    peer: str
    optimizer: str = "adam"
    weight_decay: float = 0.0


CASES = {
    "fc_hardnet70": Case(
        ("--architecture=fc_hardnet", "--model_variant=hardnet70"),
        (512, 1024),
        2,
        19,
        "multiclass",
        "torch",
        "fc_hardnet",
        "momentum",
        5e-4,
    ),
    "fcn_resnet101": Case(
        ("--architecture=fcn", "--model_variant=resnet101_torch", "--output_stride=8"),
        (257, 257),
        2,
        21,
        "multiclass",
        "torch",
        "fcn",
        "momentum",
        1e-4,
    ),
    "unet_resnet34": Case(
        ("--architecture=unet", "--model_variant=resnet34_preact", "--output_stride=32"),
        (256, 256),
        8,
        2,
        "binary",
        "keras",
        "unet",
    ),
    "fpn_resnet50": Case(
        ("--architecture=fpn", "--model_variant=resnet50_preact", "--output_stride=32"),
        (256, 256),
        4,
        3,
        "multiclass",
        "keras",
        "fpn",
    ),
    "pspnet_resnet50": Case(
        ("--architecture=pspnet", "--model_variant=resnet50_preact", "--output_stride=32"),
        (240, 240),
        4,
        3,
        "multiclass",
        "keras",
        "pspnet",
    ),
    "refinenet_resnet50": Case(
        ("--architecture=refinenet", "--model_variant=resnet50_keras", "--output_stride=32"),
        (224, 224),
        8,
        2,
        "multilabel",
        "keras",
        "refinenet",
    ),
}

# Framework -> how it can run a network: the name of a variant -> flags of the framework's worker.
PEERS = {
    "torch": {
        "torch": (),
        "torch_nhwc": ("--channels_last",),
        "torch_compile": ("--compile",),
        "torch_compile_nhwc": ("--compile", "--channels_last"),
    },
    "keras": {"keras": (), "keras_xla": ("--jit_compile",)},
}
OURS = "ours"
VARIANTS = (OURS, *(name for variants in PEERS.values() for name in variants))
