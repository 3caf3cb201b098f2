"""The one place that says which version of the code made a number."""

__version__ = "0.1.0"
