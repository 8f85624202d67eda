"""The offline trainer: data sets, pretraining, evaluation, ONNX export."""
