"""What the three suites share."""

from __future__ import annotations

from typing import Any

import pytest


class Suite:
    """A set of standard tests that cannot be replaced in silence."""

    def test_no_standard_test_is_replaced(self) -> None:
        """A standard test may be waived only by a strict xfail that gives its reason."""
        standard = next(c for c in type(self).__mro__ if Suite in c.__bases__)
        for name in dir(standard):
            mine, theirs = getattr(type(self), name), getattr(standard, name)
            if name.startswith("test_") and mine is not theirs:
                pytest.fail(f"{type(self).__name__} replaces {name} of {standard.__name__}")
            if name.startswith("test_"):
                _check_marks(type(self).__name__, name, mine)


def _check_marks(suite: str, name: str, test: Any) -> None:
    for mark in getattr(test, "pytestmark", ()):
        is_waived = mark.name in ("skip", "skipif") or (
            mark.name == "xfail" and not (mark.kwargs.get("reason") and mark.kwargs.get("strict"))
        )
        if is_waived:
            pytest.fail(f"{suite} waives {name} by {mark.name}: use xfail(strict=True, reason=...)")
