"""FC-HarDNet-70 in PyTorch, from its publication (arXiv 1909.00948)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

_STEM = ((16, 2), (24, 1), (32, 2), (48, 1))
# Growth, layers, width of the 1x1 layer after the block.
_BLOCKS = ((10, 4, 64), (16, 4, 96), (18, 8, 160), (24, 8, 224), (32, 8, 320))
_GROWTH_FACTOR = 1.7


def _layer(channels, filters, size, stride=1):
    return nn.Sequential(
        nn.Conv2d(channels, filters, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
    )


class _Block(nn.Module):
    """A harmonic dense block: layer k reads the layers k - 1, k - 2, k - 4 ... that divide it."""

    def __init__(self, channels, growth, count):
        super().__init__()
        steps = [
            [2**power for power in range(number.bit_length()) if number % 2**power == 0]
            for number in range(1, count + 1)
        ]
        self.links = [[number - step for step in found] for number, found in enumerate(steps, 1)]
        self.kept = [number for number in range(1, count + 1) if number % 2 or number == count]
        widths = [channels]
        widths += [int(growth * _GROWTH_FACTOR ** (len(found) - 1) + 1) // 2 * 2 for found in steps]
        self.layers = nn.ModuleList(
            _layer(sum(widths[link] for link in links), width, 3)
            for links, width in zip(self.links, widths[1:])
        )
        self.channels = sum(widths[number] for number in self.kept)

    def forward(self, inputs):
        """Returns the kept layers side by side."""
        outputs = [inputs]
        for links, layer in zip(self.links, self.layers):
            read = [outputs[link] for link in links]
            outputs.append(layer(torch.cat(read, 1) if len(read) > 1 else read[0]))
        return torch.cat([outputs[number] for number in self.kept], 1)


class FCHarDNet(nn.Module):
    """The encoder, and a decoder of blocks like the encoder's."""

    def __init__(self, classes):
        super().__init__()
        stem, channels = [], 3
        for filters, stride in _STEM:
            stem.append(_layer(channels, filters, 3, stride))
            channels = filters
        self.stem = nn.Sequential(*stem)
        self.blocks, self.narrow = nn.ModuleList(), nn.ModuleList()
        for growth, count, width in _BLOCKS:
            self.blocks.append(_Block(channels, growth, count))
            self.narrow.append(_layer(self.blocks[-1].channels, width, 1))
            channels = width
        self.joined, self.blocks_up = nn.ModuleList(), nn.ModuleList()
        for index in reversed(range(len(_BLOCKS) - 1)):
            both = channels + self.blocks[index].channels
            self.joined.append(_layer(both, both // 2, 1))
            self.blocks_up.append(_Block(both // 2, *_BLOCKS[index][:2]))
            channels = self.blocks_up[-1].channels
        self.classifier = nn.Conv2d(channels, classes, 1)

    def forward(self, images):
        """Returns the logits in the size of the images, with their weight."""
        outputs, skips = self.stem(images), []
        for index, (block, narrow) in enumerate(zip(self.blocks, self.narrow)):
            outputs = functional.avg_pool2d(outputs, 2) if index else outputs
            outputs = block(outputs)
            skips.append(outputs)
            outputs = narrow(outputs)
        for skip, joined, block in zip(skips[-2::-1], self.joined, self.blocks_up):
            outputs = block(joined(torch.cat([_resized(outputs, skip), skip], 1)))
        return [(_resized(self.classifier(outputs), images), 1.0)]


def _resized(features, like):
    return functional.interpolate(
        features, size=like.shape[-2:], mode="bilinear", align_corners=True
    )


def build(channels: int) -> nn.Module:
    """Returns the network."""
    return FCHarDNet(channels)
