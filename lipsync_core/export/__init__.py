"""Checkpoints become ONNX files here, checked and sealed. No other package of the core imports PyTorch."""
