"""What the three suites share."""

from __future__ import annotations

from typing import Any

import pytest


class Suite:
    """A set of standard tests that cannot be replaced in silence."""

    def test_no_standard_test_is_replaced(self) -> None:
        """A standard test may be waived only by a strict xfail that gives its reason."""
        standard = next(c for c in type(self).__mro__ if Suite in c.__bases__)
        for name in (name for name in dir(standard) if name.startswith("test_")):
            mine = getattr(type(self), name)
            if mine is not getattr(standard, name) and not _is_waived(mine):
                pytest.fail(
                    f"{type(self).__name__} replaces {name} of {standard.__name__}: a known gap is "
                    "waived by xfail(strict=True, reason=...) and a call of the standard test"
                )


def _is_waived(test: Any) -> bool:
    marks = (mark for mark in getattr(test, "pytestmark", ()) if mark.name == "xfail")
    return any(mark.kwargs.get("strict") and mark.kwargs.get("reason") for mark in marks)
