"""The networks of `benchmarks.architectures` in the frameworks that their users come from.

Each file is a network, written from its publication and with the layers that the framework offers;
`torch_worker` and `keras_worker` run them. None of them loads this project's network code, so that
they run in environments of their own.
"""
