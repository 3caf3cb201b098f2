"""A method's scores in the two forms the Hugging Face Hub reads: `model-index` and `.eval_results/*.yaml`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from errors import UnknownNameError, UsageError
from eval.exports.printed import plain, set_name
from eval.wording import counted

if TYPE_CHECKING:
    from eval.leaderboard import Leaderboard


def to_model_index(
    board: Leaderboard,
    method: str,
    *,
    dataset: str,
    dataset_name: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    model_name: str | None = None,
    task: str = "image-to-image",
    source_url: str | None = None,
) -> str:
    """The `model-index` block of a model card's front matter, one result a metric.

    The protocol travels in `metric_args` and in the metric's name, because a number without it cannot be compared.

    Args:
        board: The leaderboard.
        method: Which of its methods.
        dataset: Hub id (or plain name) of the set that was scored.
        dataset_name: Pretty name; the name under which the set was scored, or else the id, where None.
        split: Split that was scored.
        revision: Git revision of the set.
        model_name: Name in the card; the method's where None.
        task: Hub task identifier.
        source_url: Where the leaderboard stands.

    Raises:
        UnknownNameError: `method` is not on the board.
    """
    from huggingface_hub import EvalResult, ModelCardData

    source = {"source_name": "Unveil leaderboard", "source_url": source_url} if source_url else {}
    results = [
        EvalResult(
            task_type=task,
            dataset_type=dataset,
            dataset_name=plain(dataset_name or set_name(board) or dataset),
            dataset_split=split,
            dataset_revision=revision,
            metric_type=metric,
            metric_name=f"{board.specs[metric].title} ({board.protocol_name})",
            metric_value=value,
            metric_args=_arguments(board, method, metric),
            **source,
        )
        for metric, value in _scores(board, method).items()
    ]
    return ModelCardData(model_name=plain(model_name or method), eval_results=results).to_yaml(line_break="\n") + "\n"


def to_eval_results(
    board: Leaderboard,
    method: str,
    *,
    dataset: str,
    task_prefix: str = "",
    revision: str | None = None,
    source_url: str | None = None,
    date: str | None = None,
) -> str:
    """The text of one `.eval_results/<name>.yaml`: one entry a metric; set, protocol and interval in its notes.

    Args:
        board: The leaderboard.
        method: Which of its methods.
        dataset: Hub id of the benchmark data set.
        task_prefix: Put before the metric's name to form the benchmark's task id.
        revision: Git revision of the set.
        source_url: Where the leaderboard stands.
        date: ISO 8601 date; the commit's where None, so that the same rows give the same bytes.

    Raises:
        UnknownNameError: `method` is not on the board.
    """
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=dataset,
            task_id=task_prefix + metric,
            value=value,
            dataset_revision=revision,
            source_url=source_url,
            source_name="Unveil leaderboard" if source_url else None,
            date=date,
            notes=_notes(board, method, metric),
        )
        for metric, value in _scores(board, method).items()
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True, width=120)


def _scores(board: Leaderboard, method: str) -> dict[str, float]:
    """Finite means; a model card cannot carry the others.

    Raises:
        UnknownNameError: The method is not on the board.
        UsageError: It has no finite mean.
    """
    if method not in board.methods:
        raise UnknownNameError("method on this leaderboard", method, board.methods)
    means = {metric: float(board.raw(method, metric)) for metric in board.metrics}
    finite = {metric: value for metric, value in means.items() if math.isfinite(value)}
    if not finite:
        raise UsageError(
            f"{method} has no finite mean on this leaderboard, and a model card carries no other; choose another one."
        )
    return finite


def _arguments(board: Leaderboard, method: str, metric: str) -> dict[str, str | int | float]:
    found: dict[str, str | int | float] = {
        "protocol": board.protocol_name,
        "protocol_hash": board.protocol_hash,
        "images": int(board.raw(method, f"{metric}_n")),
    }
    if board.raw(method, f"{metric}_infinite"):
        found["infinite"] = int(board.raw(method, f"{metric}_infinite"))
    if board.variants[metric]:
        found["variant"] = board.variants[metric]
    low, high = (float(board.raw(method, f"{metric}_{end}")) for end in ("low", "high"))
    if math.isfinite(low):
        found |= {"confidence": board.level, "low": low, "high": high}
    return found


def _notes(board: Leaderboard, method: str, metric: str) -> str:
    arguments = _arguments(board, method, metric)
    interval = (
        f", {board.level:.0%} interval {arguments['low']:.6g} to {arguments['high']:.6g}" if "low" in arguments else ""
    )
    variant = f", {arguments['variant']}" if "variant" in arguments else ""
    name = f"set {plain(set_name(board))}, " if set_name(board) else ""
    others = f" (infinite on {arguments['infinite']} more)" if "infinite" in arguments else ""
    protocol = f"protocol {board.protocol_name} ({board.protocol_hash})"
    return f"{name}{protocol}{variant}, mean of {counted(arguments['images'], 'image')}{others}{interval}"
