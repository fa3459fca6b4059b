"""The bounds of waits, for all settings."""

import random

from hypothesis import given
from hypothesis import strategies as st

from scillm_retry.policy import Policy

times_s = st.floats(0, 1e6)
policies = st.builds(
    Policy,
    attempts=st.none(),
    first_s=times_s,
    growth=st.floats(1, 10),
    longest_s=times_s,
    chance=st.floats(0, 1),
    honors_retry_after=st.booleans(),
)


@given(policies, st.integers(1, 10_000), st.randoms(use_true_random=False))
def test_a_wait_lies_between_its_bounds(policy, failures, chance):
    """Never negative, never longer than allowed, and as much left to chance as was said."""
    top_s = policy.backoff_s(failures, lambda low, high: high)
    low_s = policy.backoff_s(failures, lambda low, high: low)
    drawn_s = policy.backoff_s(failures, chance.uniform)
    assert 0 <= low_s <= top_s <= policy.longest_s
    assert top_s >= min(policy.first_s, policy.longest_s)
    assert low_s - 1e-6 <= drawn_s <= top_s + 1e-6
    assert abs(low_s - top_s * (1 - policy.chance)) <= 1e-6 * (1 + top_s)


@given(policies, st.integers(1, 5_000))
def test_waits_do_not_shrink(policy, failures):
    """The longest possible wait grows until it meets its bound, and overflows nothing."""

    def top_s(failures):
        return policy.backoff_s(failures, lambda low, high: high)

    assert top_s(failures) <= top_s(failures + 1) * (1 + 1e-9)


def test_full_jitter_is_spread_over_the_whole_wait():
    """Many callers that fail together do not come back together."""
    policy = Policy(
        attempts=None, first_s=2.0, growth=2.0, longest_s=120.0, chance=1.0, honors_retry_after=True
    )
    chance = random.Random(1)
    drawn = sorted(policy.backoff_s(3, chance.uniform) for _ in range(1000))
    tenths = [sum(1 for each in drawn if n * 0.8 <= each < (n + 1) * 0.8) for n in range(10)]
    assert min(tenths) > 60
