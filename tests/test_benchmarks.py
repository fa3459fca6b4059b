"""The benchmarks are run by hand; that they start, and that their tables hold, is tested here."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from pytest_scillm.endpoint import grammar

HERE = Path(__file__).parent / "benchmarks"
RUN, FAULTS = HERE / "run.py", HERE / "faults.py"
KEY_ERROR = {"end": "raised", "names": ["AuthenticationError", "ScillmError"], "text": "no"}
GIVEN_UP = {"end": "raised", "names": ["RateLimitError"], "text": "429", "status": 429}


def test_the_benchmarks_list_what_they_measure():
    """Each metric with its clients; nothing is installed and nothing measured."""
    done = _run("--list")

    assert done.returncode == 0, done.stderr
    assert "first      first completed call of a cold process" in done.stdout
    assert "scillm, scillm_few, scillm_httpx, raw_httpx, openai, litellm" in done.stdout


def test_an_unknown_metric_is_named():
    """And what there is."""
    done = _run("--list", "--metrics", "frist")

    assert done.returncode == 2
    assert "no 'frist'; there are import, first" in done.stderr


def test_the_fault_matrix_lists_its_cells():
    """Each fault with its doors, and the clients; nothing is installed and nothing run."""
    done = _run("--list", "--only", "scillm,openai", "--doors", "sync,stream", driver=FAULTS)

    assert done.returncode == 0, done.stderr
    assert "429-after-2          429 with Retry-After: 2, then well" in done.stdout
    assert done.stdout.endswith("clients: scillm, openai\n")


def test_an_unknown_fault_is_named():
    """And what there is."""
    done = _run("--list", "--faults", "430", driver=FAULTS)

    assert done.returncode == 2
    assert "no '430'; there are 429, 429-after-2" in done.stderr


def test_the_fault_matrix_names_only_what_there_is(matrix):
    """Options of the endpoint, works, doors, adapters, environments."""
    plan, works = matrix("plan"), matrix("works")

    for fault in plan.FAULTS.values():
        grammar.parse_options(fault.options)
        assert callable(getattr(works, fault.work))
        assert {*fault.doors, *fault.by_door} <= {*plan.DOORS}
        for right in (fault.right, *fault.by_door.values()):
            assert set(right.ends) <= {"answered", "raised", "waiting", "closed", "quiet"}
            assert bool(right.errors) == ("raised" in right.ends), "an error has a name"
    assert {*works.METHODS} == {*plan.DOORS}
    requirements = import_module("plan").REQUIREMENTS
    for peer in plan.PEERS.values():
        assert peer.environment in requirements
        assert (HERE / "matrix" / "clients" / f"{peer.module}.py").is_file()


def test_every_client_has_every_door_but_the_router(matrix):
    """As written in its adapter, whose client need not be installed: none is spared a door."""
    methods = matrix("works").METHODS
    for peer in matrix("plan").PEERS.values():
        text = (HERE / "matrix" / "clients" / f"{peer.module}.py").read_text(encoding="utf-8")
        missing = {door for door, name in methods.items() if f"def {name}(" not in text}
        assert missing == (set() if "outer" in peer.module else {"router"}), peer.module


def test_the_page_on_faults_has_every_fault_and_every_client(matrix):
    """A row that is added without a run is missed."""
    plan = matrix("plan")
    page = (HERE.parents[1] / "docs" / "faults.md").read_text(encoding="utf-8")

    rows = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")}

    assert {fault.about for fault in plan.FAULTS.values()} | {*plan.PEERS} <= rows


@pytest.mark.parametrize(
    ("cell", "slot", "requests", "verdict"),
    [
        ("429 sync", {"end": "answered"}, 2, "right"),
        ("429 sync", {"end": "answered"}, 4, "wrong"),
        ("429 sync", {"end": "waiting"}, 1, "wrong"),
        ("429 router", {"end": "not offered"}, 0, "not offered"),
        ("429-after-150-short sync", {**GIVEN_UP, "tells": ["150.0"]}, 1, "right"),
        ("429-after-150-short sync", {**GIVEN_UP, "tells": ["not at /o/429-ra150/v1"]}, 1, "half"),
        ("429-after-150-short sync", {**GIVEN_UP, "tells": ["150.0"]}, 3, "wrong"),
        ("429-after-150-short router", {"end": "answered"}, 1, "right"),
        ("429-after-150-long sync", {"end": "waiting"}, 1, "right"),
        ("429-after-150-long sync", {**GIVEN_UP, "tells": ["150.0"]}, 1, "half"),
        ("429-after-150-long sync", {**GIVEN_UP, "tells": []}, 1, "wrong"),
        ("401-quotes-key sync", {**KEY_ERROR, "status": 401}, 1, "right"),
        ("401-quotes-key sync", {**KEY_ERROR, "status": 401, "shows_key": True}, 1, "wrong"),
        ("401-quotes-key sync", {**KEY_ERROR, "status": 0}, 1, "wrong"),
        ("dropped-stream stream", {**KEY_ERROR, "came": "begun"}, 1, "right"),
        ("dropped-stream stream", {**KEY_ERROR, "came": "mixed"}, 2, "wrong"),
    ],
)
def test_the_judge_tells_right_from_wrong(matrix, cell, slot, requests, verdict):
    """What a cell is worth, by what was seen of it; what is not right has a reason."""
    full = {"module": "x", "shows_key": False, "tells": [], "status": 0, **slot}
    seen = {"slots": [full], "requests": requests, "watch_s": 8}

    found = matrix("judge").judge(*cell.split(), seen)

    assert found.word == verdict
    assert bool(found.reason) == (verdict in ("half", "wrong"))


def test_an_answer_before_the_wait_is_over_is_wrong(matrix):
    """The server asked for two seconds."""
    seen = {"slots": [{"end": "answered"}], "requests": 2, "elapsed_s": 0.6}

    found = matrix("judge").judge("429-after-2", "sync", seen)

    assert (found.word, found.reason) == ("wrong", "over after 0.6 s, though asked to wait 2 s")


def test_the_report_has_a_total_and_a_line_for_what_is_wrong(matrix):
    """Per client; half of a half counts."""
    named = {"peer": "openai", "door": "sync", "seen": {}}
    rows = [
        {**named, "fault": "429", "verdict": "right", "reason": ""},
        {**named, "fault": "404", "verdict": "half", "reason": "is mute"},
        {**named, "fault": "422", "verdict": "wrong", "reason": "asks on"},
        {**named, "fault": "503", "verdict": "right", "reason": ""},
    ]

    text = matrix("report").markdown(rows, ["a day"])

    assert "| openai | 2 | 1 | 1 | 0 | 38% |" in text
    assert "- wrong: 422, sync: asks on" in text
    assert "| 422 | **wrong** |" in text


def test_a_cell_is_done_in_a_process_of_its_own(endpoint):
    """What is seen of it comes back as a line; one that takes too long is stopped."""
    lines = [_cell(endpoint.url("echo-404")), _cell(endpoint.url("hang"), watch_s=0.3)]
    probe = [sys.executable, HERE / "matrix" / "probe.py", "ours", endpoint.url("echo")]

    done = subprocess.run(probe, input="".join(lines), capture_output=True, text=True, check=True)

    missing, hanging = (json.loads(line)["slots"][0] for line in done.stdout.splitlines())
    assert (missing["end"], missing["names"][0]) == ("raised", "NotFoundError")
    assert hanging == {"end": "waiting"}


def _cell(url, watch_s=30):
    """A sync call of this address, as a line."""
    given = {"url": url, "second_url": url, "retries": 0, "timeout_s": 30, "budget_s": 0}
    how = {"work": "call", "door": "sync", "needs_timeout": False, "watch_s": watch_s}
    return json.dumps({**how, "given": given}) + "\n"


@pytest.fixture
def matrix(monkeypatch):
    """A module of the fault matrix, by its name; forgotten afterwards."""
    before = {*sys.modules}
    monkeypatch.syspath_prepend(HERE)
    yield lambda name: import_module(f"matrix.{name}")
    for name in {*sys.modules} - before:
        if name == "plan" or name.partition(".")[0] == "matrix":
            del sys.modules[name]


def _run(*arguments, driver=RUN):
    """The driver with these arguments, ended."""
    command = [sys.executable, driver, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
