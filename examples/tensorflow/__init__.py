"""The models of TensorFlow's own tutorials, trained here, and pressed."""
