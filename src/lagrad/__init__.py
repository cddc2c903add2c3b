"""Train PyTorch models on uneven machines, and make use of the gradients that come late."""

__version__ = "0.1.0"
