from __future__ import annotations

from lib.simulated_users import sample_occasions
from run.show_from import compare


def test_fewer_suggestions_are_shown_and_nearly_as_much_is_accepted() -> None:
    compared = compare([sample_occasions(1_200, 3)], [0.25])[0.25]
    assert compared.shown < 0.9
    assert compared.accepted > 0.98
    assert compared.accepted_chars > 0.95
    assert compared.shown <= compared.by_confidence
    assert compared.calibration_error < 0.06
