"""Models of PyTorch: modules with their weights, and torch's own files.

What is imported with ``optimize`` finds the model (source); the rest imports torch, which takes seconds.
"""
