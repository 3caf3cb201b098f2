"""The error tree says what happened, why, and what to do."""

import errors
from errors import UnknownNameError, UnveilError, UsageError


def test_unknown_names_offer_the_nearest():
    error = UnknownNameError("restorer", "dark-chanel", ["dark-channel", "lime", "bicubic_x4"])
    assert str(error) == "There is no restorer called 'dark-chanel'; did you mean dark-channel?"
    assert "known: lime" in str(UnknownNameError("protocol", "zzz", ["lime"]))
    assert isinstance(error, UsageError)


def test_every_error_is_a_hub_error():
    for name, item in vars(errors).items():
        if name.endswith("Error"):
            assert issubclass(item, UnveilError)
