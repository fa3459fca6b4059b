"""Errors: names, statuses, pickles."""

import pickle

import pytest

import scillm
from scillm import APIError, Failure, FailureKind, ScillmError, errors

LEAVES = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, APIError)]


@pytest.mark.parametrize("error", LEAVES, ids=lambda e: e.__name__)
def test_every_error_survives_a_pickle_with_all_it_carries(error, kernel):
    """Type, message, provider, model, failure and partial answer come back."""
    failure = Failure(kind=error.kind, detail="d", status=418, retry_after_s=1.5, request_id="q")
    partial = kernel.completion("echo/m", [{"role": "user", "content": "x"}])
    before = error("m: d", llm_provider="p", model="m", failure=failure, partial=partial)

    after = pickle.loads(pickle.dumps(before))

    assert type(after) is error
    assert str(after) == after.message == "m: d"
    assert (after.llm_provider, after.model, after.status_code, after.request_id) == (
        "p",
        "m",
        418,
        "q",
    )
    assert after.failure == failure
    assert after.partial == partial


def test_an_error_of_a_third_party_survives_a_pickle():
    """A subclass with a constructor of its own is rebuilt without calling it."""
    after = pickle.loads(pickle.dumps(_Odd(3)))
    assert (str(after), after.count) == ("3 of them", 3)


class _Odd(scillm.RateLimitError):
    def __init__(self, count):
        super().__init__(f"{count} of them")
        self.count = count


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("BadRequestError", 400),
        ("AuthenticationError", 401),
        ("PermissionDeniedError", 403),
        ("NotFoundError", 404),
        ("Timeout", 408),
        ("ConflictError", 409),
        ("UnprocessableEntityError", 422),
        ("RateLimitError", 429),
        ("InternalServerError", 500),
        ("ServiceUnavailableError", 503),
    ],
)
def test_an_error_without_an_answer_has_its_usual_status(name, status):
    """``status_code`` is never None."""
    error = getattr(scillm, name)("x")
    assert error.status_code == status
    assert isinstance(error, ScillmError)


def test_every_kind_of_failure_has_an_error():
    """No failure is without a name, and the error says the same kind."""
    for kind in FailureKind:
        error = errors.error_for(Failure(kind=kind, detail=""))
        assert error.kind is kind


def test_the_tree_in_the_docstring_is_the_tree():
    """Each error stands in the drawing below the class that it derives from."""
    lines = [line for line in errors.__doc__.splitlines() if "──" in line]
    depth = {line.split("── ")[1].split()[0]: line.index("── ") for line in lines}
    order = list(depth)
    for error in LEAVES:
        if error is not APIError:
            above = [
                n for n in order[: order.index(error.__name__)] if depth[n] < depth[error.__name__]
            ]
            assert above[-1] == error.__base__.__name__


def test_transient_failures_are_those_that_may_pass():
    """Strategies may repeat these and no others."""
    transient = {k for k in FailureKind if Failure(kind=k, detail="").is_transient}
    assert transient == {
        FailureKind.RATE_LIMIT,
        FailureKind.OVERLOADED,
        FailureKind.SERVER,
        FailureKind.TIMEOUT,
        FailureKind.UNREACHABLE,
        FailureKind.BAD_ANSWER,
    }
