"""The tab Gradients in TensorBoard; it imports no TensorFlow."""
