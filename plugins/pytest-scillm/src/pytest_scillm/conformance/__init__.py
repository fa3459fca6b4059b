"""What every plugin of a kind must do, as tests to inherit.

::

    from pytest_scillm import ProviderConformance


    class TestMine(ProviderConformance):
        plugin, model = scillm_mine, "mine/some-model"

A standard test cannot be replaced in silence: a known gap is written as a test of the same
name that calls the standard one, marked ``xfail(strict=True, reason="...")``.
"""

from __future__ import annotations
