"""Trained model in, bundle out: sources, passes, quantisation, measuring, choosing, the report."""

import os

# ONNX Runtime 1.32 starts a telemetry thread with its first session, unless this was set before its import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
