"""Runs a step of a network in PyTorch on request of `benchmarks.architectures`.

It needs only `requirements/benchmarks.txt`. A network's file has `build(channels)`, which returns a
module; the module gives a list of (logits in the size of the images, weight of their loss).
"""

from __future__ import annotations

import torch
from torch.nn import functional

from benchmarks import worker
from benchmarks.peers import arguments


def _training_step(options, model, images):
    labels = torch.randint(0, options.num_classes, (options.batch_size, *options.image_size))
    if options.optimizer == "adam":
        optimizer = torch.optim.Adam(model.parameters())
    else:
        optimizer = torch.optim.SGD(
            model.parameters(), lr=1e-4, momentum=0.9, weight_decay=options.weight_decay
        )

    def loss_of(logits):
        if options.task == "multiclass":
            return functional.cross_entropy(logits, labels, ignore_index=255)
        targets = labels[:, None].expand_as(logits).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, targets)

    def step():
        optimizer.zero_grad(set_to_none=True)
        sum(weight * loss_of(logits) for logits, weight in model(images)).backward()
        optimizer.step()

    return step


def _prediction(model, images):
    def predict():
        with torch.inference_mode():
            model(images)

    return predict


def main():
    """Builds the step and runs it on request."""
    parser = arguments.parser(__doc__)
    parser.add_argument("--channels_last", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = arguments.network(options).build(arguments.channels(options))
    model.train(not options.inference)
    parameters = sum(one.numel() for one in model.parameters())
    images = torch.randn(options.batch_size, 3, *options.image_size)
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    if options.compile:
        model = torch.compile(model)
    if options.inference:
        function = _prediction(model, images)
    else:
        function = _training_step(options, model, images)
    function()
    worker.serve(function, {"parameters": parameters, "versions": f"PyTorch {torch.__version__}"})


if __name__ == "__main__":
    main()
