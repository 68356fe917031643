"""FCN on ResNet-101 in PyTorch, in torchvision's form (arXiv 1411.4038, 1512.03385).

The stride of a bottleneck is in its 3x3 convolution, strides beyond 8 are atrous rates, and there
is an auxiliary head on stride 16's features in training.
"""

from __future__ import annotations

from torch import nn
from torch.nn import functional

from benchmarks.training_of_torch import Unit, convolution

# Units, width, stride, and the atrous rates of the first unit and of the others.
_STAGES = ((3, 64, 1, 1, 1), (4, 128, 2, 1, 1), (23, 256, 1, 1, 2), (3, 512, 1, 2, 4))
_AUXILIARY_WEIGHT = 0.5


def _head(channels, classes):
    return nn.Sequential(
        convolution(channels, channels // 4, 3),
        nn.ReLU(inplace=True),
        nn.Dropout(0.1),
        nn.Conv2d(channels // 4, classes, 1),
    )


class FCN(nn.Module):
    """The backbone and both heads."""

    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Sequential(convolution(3, 64, 7, 2), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        stages, channels = [], 64
        for count, width, stride, first_rate, rate in _STAGES:
            units = [Unit(channels, width, stride, first_rate)]
            channels = 4 * width
            units += [Unit(channels, width, 1, rate) for _ in range(count - 1)]
            stages.append(nn.Sequential(*units))
        self.stages = nn.Sequential(*stages[:-1])
        self.last = stages[-1]
        self.head, self.auxiliary = _head(channels, classes), _head(channels // 2, classes)

    def forward(self, images):
        """Returns the (logits, weight) of the heads; in inference there is one."""
        features = self.stages(self.pool(self.stem(images)))
        found = [(self.head(self.last(features)), 1.0)]
        if self.training:
            found.append((self.auxiliary(features), _AUXILIARY_WEIGHT))
        size = images.shape[-2:]
        return [
            (functional.interpolate(logits, size, mode="bilinear"), weight)
            for logits, weight in found
        ]


def build(channels: int) -> nn.Module:
    """Returns the network."""
    return FCN(channels)
