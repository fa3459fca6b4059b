"""What every plugin of a kind must do, as tests to inherit.

::

    from pytest_scillm import ProviderConformance

    class TestMine(ProviderConformance):
        plugin, model = scillm_mine, "mine/some-model"

A standard test cannot be replaced in silence: a known gap is written as
``test_x = pytest.mark.xfail(strict=True, reason="...")(ProviderConformance.test_x)``.
"""

from __future__ import annotations
