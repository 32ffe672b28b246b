"""Models of TensorFlow: Keras files, SavedModels, handles of TensorFlow Hub, TFLite.

What is imported with ``optimize`` finds the model (source, hub). The rest runs in a process of its own
(process): TensorFlow ends a process where it meets what it does not expect, writes to stderr as it likes, and
keeps its memory.
"""
