"""ONNX files: read lazily, checked, and run node by node over the operator table."""
