"""Scoring: sets, protocols, metrics, rows, statistics and leaderboards. Always `from eval.x import y`."""
