"""Quantisation: float weights into int8, in the three ways that ONNX Runtime runs fast on CPUs."""

from optimizer.quantize.dynamic import QuantizeDynamic
from optimizer.quantize.embeddings import QuantizeEmbeddings
from optimizer.quantize.static import QuantizeStatic

__all__ = ["QuantizeDynamic", "QuantizeEmbeddings", "QuantizeStatic"]
