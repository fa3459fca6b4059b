"""What an error means where its status does not say it."""

import asyncio
import json
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scillm import APIConnectionError, APIError, Failure, FailureKind, InvalidResponse, Timeout
from scillm.errors import ServiceUnavailableError, StatusError
from scillm_retry.capacity import corrected

CAPACITY = [
    {"detail": "infrastructure is at maximum capacity, try again later"},
    {"error": {"message": "We are currently over capacity."}},
    {"error": {"message": "no GPU capacity left"}},
    {"error": {"message": "Capacity for this model is exhausted"}},
    {"error": {"message": "the server is overloaded", "type": "server_error"}},
    {"error": {"message": "try later", "code": "capacity_exhausted"}},
    {"error": {"message": "try later", "type": "overloaded_error"}},
    {"error": {"code": 13, "status": "UNAVAILABLE", "message": "try later"}},
    [{"error": {"code": 13, "status": "UNAVAILABLE", "message": "try later"}}],
    {"error": "at capacity"},
    {"message": "insufficient capacity", "object": "error"},
    {"code": "ServiceUnavailable"},
]
OTHER = [
    {},
    [],
    [[]],
    None,
    7,
    "",
    {"error": None},
    {"error": {"message": "internal error, id capacity-503-429"}},
    {"error": {"message": "the field 'capacity' must be a number", "param": "capacity"}},
    {"error": {"message": "exceeded", "code": 503}},
    {"error": {"message": "division by zero", "type": "server_error"}},
]
PERMANENT = [400, 401, 403, 404, 422]


def _kind(ask, wire, status, body):
    wire.fail(status, body)
    with pytest.raises(APIError) as info:
        ask(max_retries=0)
    return info.value


@pytest.mark.parametrize("body", CAPACITY, ids=json.dumps)
@pytest.mark.parametrize("status", [500, 520, 418])
def test_a_body_that_speaks_of_capacity_is_overload(ask, wire, status, body):
    """By its code, its type, or a phrase of its message; the status stays as it was."""
    error = _kind(ask, wire, status, body)
    assert type(error) is ServiceUnavailableError
    assert error.status_code == status


@pytest.mark.parametrize("body", OTHER, ids=json.dumps)
def test_other_bodies_say_nothing_new(ask, wire, body):
    """A 500 is a 500, a 418 is the caller's mistake."""
    assert _kind(ask, wire, 500, body).failure.kind is FailureKind.SERVER
    wire.answers.clear()
    assert _kind(ask, wire, 418, body).failure.kind is FailureKind.BAD_REQUEST


@pytest.mark.parametrize("status", PERMANENT)
@pytest.mark.parametrize("body", CAPACITY, ids=json.dumps)
def test_no_body_overrules_what_is_wrong_with_the_request(ask, wire, status, body):
    """These five are never retried, whatever they say."""
    assert not _kind(ask, wire, status, body).failure.is_transient


def test_a_rate_limit_stays_one(ask, wire):
    """429 has an error of its own, whatever the reason."""
    error = _kind(ask, wire, 429, {"error": {"message": "at capacity"}})
    assert error.failure.kind is FailureKind.RATE_LIMIT


def test_a_page_of_html_is_read_as_prose():
    """Gateways say it in words."""
    server = Failure(kind=FailureKind.SERVER, detail="x")
    page = StatusError(500, "<html><h1>The site is over capacity</h1></html>")
    assert corrected(server, page).kind is FailureKind.OVERLOADED
    page = StatusError(500, "<html><h1>Error</h1></html>")
    assert corrected(server, page) is server


def test_a_wait_that_was_asked_for_is_kept(ask, wire):
    """Only the kind is corrected."""
    wire.fail(500, {"detail": "no capacity"}, retry_after="9")
    with pytest.raises(ServiceUnavailableError) as info:
        ask(max_retries=0)
    assert info.value.failure.retry_after_s == 9


def test_an_error_within_a_good_answer(ask, wire, ok):
    """A host that says 200 and means 500."""
    wire.reply({"error": {"message": "model at capacity"}}).reply(ok)
    assert ask().text == "ok"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncio.TimeoutError("late"), Timeout),
        (asyncio.IncompleteReadError(b"", 9), APIConnectionError),
        (socket.gaierror(8, "unknown name"), APIConnectionError),
        (json.JSONDecodeError("odd", "{", 0), InvalidResponse),
    ],
)
def test_bare_errors_of_a_careless_sender_are_named(ask, wire, ok, error, kind):
    """They are as passing as what the kernel knows, and retried."""
    wire.answers.append(error)
    with pytest.raises(kind):
        ask(max_retries=0)
    wire.answers[:] = [error]
    wire.reply(ok)
    assert ask().text == "ok"


def test_a_bug_is_not_retried(ask, wire):
    """A ValueError of a plugin will be one the next time, too."""
    wire.answers.append(ValueError("mine"))
    with pytest.raises(APIError) as info:
        ask()
    assert info.value.failure.kind is FailureKind.BUG
    assert len(wire.sent) == 1


@settings(max_examples=50)
@given(st.integers(400, 599), st.text() | st.lists(st.none() | st.text()).map(json.dumps))
def test_no_body_upsets_it(status, body):
    """Whatever a server sends, there is a failure."""
    failure = Failure(kind=FailureKind.SERVER, detail="x", status=status)
    assert corrected(failure, StatusError(status, body)).status == status


def test_a_deep_body_upsets_nothing():
    """Nesting beyond any limit is no answer either."""
    failure = Failure(kind=FailureKind.SERVER, detail="x")
    assert corrected(failure, StatusError(500, "[" * 100_000)) is failure
