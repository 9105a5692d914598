"""ONNX graphs of matrix products, softmax and normalizations as cascades."""
