"""The learning rate of a run, a function of the step alone."""

from __future__ import annotations

import math

from training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """Rate of step ``step`` (from 0): a linear rise over ``warmup`` steps, then half a cosine down to the end value.

    Each of the recipe's restarts begins the same again, to end at the next one or at the last step.
    """
    begin = max((restart for restart in recipe.restarts if restart <= step), default=0)
    end = min((restart for restart in recipe.restarts if step < restart < recipe.steps), default=recipe.steps)
    peak = recipe.restarts.get(begin, recipe.learning_rate)
    if step - begin < recipe.warmup:
        return peak * (step - begin + 1) / recipe.warmup
    done = (step - begin - recipe.warmup) / max(end - begin - recipe.warmup, 1)
    swing = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return recipe.final_learning_rate + (peak - recipe.final_learning_rate) * swing
