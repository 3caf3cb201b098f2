"""The metrics: one file each, formula in the docstring, no torch needed, except for `tensors`."""
