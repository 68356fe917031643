"""The same training step in PyTorch, run on request of `benchmarks.training_step`.

ResNet-101 with output stride 16, ASPP with rates 6, 12, 18 and image pooling, cross entropy over
all pixels with an ignore label, L2 regularization, momentum; eager mode. It needs only
`requirements/benchmarks.txt`, so that it runs in an environment without TensorFlow.
"""

from __future__ import annotations

import argparse

import torch
from torch import nn
from torch.nn import functional

from benchmarks import worker

NUM_CLASSES = 21
_ATROUS_RATES = (6, 12, 18)
# Units, width, stride and rate of the four blocks; the last unit has the stride, as in our network.
_BLOCKS = ((3, 64, 2, 1), (4, 128, 2, 1), (23, 256, 1, 1), (3, 512, 1, 2))


def convolution(channels, filters, size, stride=1, rate=1):
    """Returns a convolution without biases and its batch norm, padded to keep the size."""
    padding = (size - 1) * rate // 2
    return nn.Sequential(
        nn.Conv2d(channels, filters, size, stride, padding, rate, bias=False),
        nn.BatchNorm2d(filters),
    )


class Unit(nn.Module):
    """A bottleneck unit: 1x1, 3x3, 1x1, and a shortcut."""

    def __init__(self, channels, width, stride, rate):
        super().__init__()
        self.first = convolution(channels, width, 1)
        self.second = convolution(width, width, 3, stride, rate)
        self.third = convolution(width, 4 * width, 1)
        self.shortcut = nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()
        if channels != 4 * width:
            self.shortcut = convolution(channels, 4 * width, 1, stride)

    def forward(self, inputs):
        """Returns the unit's output."""
        outputs = functional.relu(self.first(inputs), inplace=True)
        outputs = functional.relu(self.second(outputs), inplace=True)
        return functional.relu(self.third(outputs) + self.shortcut(inputs), inplace=True)


class DeepLabV3(nn.Module):
    """ResNet-101 and ASPP."""

    def __init__(self):
        super().__init__()
        units, channels = [], 64
        for count, width, stride, rate in _BLOCKS:
            for unit in range(count):
                last = unit == count - 1
                units.append(Unit(channels, width, stride if last else 1, rate))
                channels = 4 * width
        self.stem = convolution(3, 64, 7, 2)
        self.units = nn.Sequential(*units)
        self.branches = nn.ModuleList(
            [convolution(channels, 256, 1)]
            + [convolution(channels, 256, 3, rate=rate) for rate in _ATROUS_RATES]
        )
        self.pooled = convolution(channels, 256, 1)
        self.projection = convolution(5 * 256, 256, 1)
        self.logits = nn.Conv2d(256, NUM_CLASSES, 1)

    def forward(self, images):
        """Returns logits at the output stride."""
        outputs = functional.max_pool2d(functional.relu(self.stem(images)), 3, 2, 1)
        outputs = self.units(outputs)
        pooled = self.pooled(functional.adaptive_avg_pool2d(outputs, 1))
        branches = [pooled.expand(-1, -1, *outputs.shape[2:])]
        branches += [branch(outputs) for branch in self.branches]
        outputs = functional.relu(torch.cat(branches, 1), inplace=True)
        outputs = functional.relu(self.projection(outputs), inplace=True)
        return self.logits(functional.dropout(outputs, 0.1, self.training))


def _training_step(crop, batch_size, is_bf16, channels_last):
    model = DeepLabV3().train()
    images = torch.rand(batch_size, 3, crop, crop) * 255.0 - 120.0
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, NUM_CLASSES, (batch_size, crop, crop))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9, weight_decay=4e-5)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            logits = model(images)
        logits = functional.interpolate(
            logits.float(), size=(crop, crop), mode="bilinear", align_corners=True
        )
        functional.cross_entropy(logits, labels, ignore_index=255).backward()
        optimizer.step()

    return step


def _matrix_product(is_bf16):
    dtype = torch.bfloat16 if is_bf16 else torch.float32
    left, right = torch.rand(2048, 2048).to(dtype), torch.rand(2048, 2048).to(dtype)
    return lambda: left @ right


def main():
    """Builds the step and runs it on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crop", type=int, default=257)
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--matrix_product", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.matrix_product:
        function, gflop = _matrix_product(options.bf16), 2 * 2048**3 / 1e9
    else:
        function = _training_step(
            options.crop, options.batch_size, options.bf16, options.channels_last
        )
        gflop = None
    function()
    worker.serve(function, {"gflop": gflop, "versions": f"PyTorch {torch.__version__}"})


if __name__ == "__main__":
    main()
