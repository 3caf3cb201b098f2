"""Logs that grow, are cut when a run is resumed, and take what a changed recipe logs."""

from training.logbook import Logbook, read_rows


def rows(folder):
    return read_rows(folder / "train.csv")


def test_a_resumed_run_writes_its_rows_anew(tmp_path):
    book = Logbook(tmp_path, tensorboard=False)
    for step in (10, 20, 30):
        book.write("train", {"step": step, "loss": step / 10})
    Logbook(tmp_path, 20, tensorboard=False).write("train", {"step": 30, "loss": 7.0})
    assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [("10", "1"), ("20", "2"), ("30", "7")]


def test_a_changed_recipe_may_log_more_and_less(tmp_path):
    Logbook(tmp_path, tensorboard=False).write("train", {"step": 10, "l1": 0.5})
    more = Logbook(tmp_path, 10, tensorboard=False)
    more.write("train", {"step": 20, "l1": 0.4, "log_error": -2.0})
    more.write("train", {"step": 30, "log_error": -2.1})
    Logbook(tmp_path, 30, tensorboard=False)
    assert rows(tmp_path) == [
        {"step": "10", "l1": "0.5", "log_error": ""},
        {"step": "20", "l1": "0.4", "log_error": "-2"},
        {"step": "30", "l1": "", "log_error": "-2.1"},
    ]
