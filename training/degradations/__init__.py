"""The physics of what goes wrong with pictures, on tensors and seeded."""
