"""The registry keeps order, refuses half additions, and offers the nearest name."""

import pytest

from errors import UnknownNameError
from restorers import registry as built_in
from restorers.card import RestorerCard
from restorers.registry import Registry, default


def card(name, task="dehaze"):
    return RestorerCard(name, name.title(), task, "A test.")


def test_order_and_tasks():
    registry = Registry()
    registry.register((card("b"), object), (card("a", "sr"), object))
    assert registry.names() == ["b", "a"]
    assert registry.names("sr") == ["a"]
    assert [c.name for c in registry.cards()] == ["b", "a"]


@pytest.mark.parametrize("bad", ["a", "new", "With Space", "x=y", ""])
def test_a_failed_addition_changes_nothing(bad):
    registry = Registry()
    registry.register((card("a"), object))
    with pytest.raises(ValueError):
        registry.register((card("new"), object), (card(bad), object))
    assert registry.names() == ["a"]


def test_unknown_names_offer_the_nearest():
    registry = Registry()
    registry.register((card("dark-channel"), object))
    with pytest.raises(UnknownNameError, match="did you mean dark-channel"):
        registry.create("dark-chanel")


def test_every_built_in_method_has_a_card_that_tells_the_truth():
    from restorers.base import count_parameters
    from restorers.checkpoint import constructor_arguments

    for entry in default().cards():
        model = default().create(entry.name)
        built = type(model)(**constructor_arguments(model))
        assert entry.tiling == built.card.tiling, f"{entry.name} would be cut as its class is, not as its options ask"
        padded = (entry.size_multiple, entry.min_size), (built.card.size_multiple, built.card.min_size)
        assert padded[0] == padded[1], f"{entry.name} would be padded by name otherwise than from a file"
        assert model.card.name == entry.name
        assert count_parameters(model) == entry.parameters
        assert entry.summary.endswith(".")


def test_every_task_has_a_recommended_method_of_its_own():
    for task, name in built_in.RECOMMENDED.items():
        assert built_in.card(name).task == task
        assert not name.endswith("+ptg_rm"), "the page's list leaves refinements out; they are a tick beside it"
