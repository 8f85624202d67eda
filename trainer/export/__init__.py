"""Trained models as ONNX graphs and bundles."""
