"""One printed form of a leaderboard a file. `eval.export` is the door."""
