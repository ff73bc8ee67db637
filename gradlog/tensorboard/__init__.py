"""The tab Gradients in TensorBoard. It does not import TensorFlow."""
