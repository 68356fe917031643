"""A trained network as files for others: frozen graph, SavedModel, TFLite, ONNX, Ascend's om."""
