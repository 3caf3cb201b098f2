"""Losses: one idea a file, usable with any restorer."""
