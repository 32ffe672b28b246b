"""Trained models of other frameworks, as ONNX: one file for each, each needing an extra of its own."""
