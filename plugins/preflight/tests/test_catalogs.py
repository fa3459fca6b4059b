"""What is known of hosts: the file, its age, and several processes at once."""

import json
import stat
import subprocess
import sys

import pytest

from scillm_preflight import UnknownModelId, shelf
from scillm_preflight.api import preflight_models
from scillm_preflight.catalogs import Catalogues, in_words, place_of

ON = {"model_preflight": True}


@pytest.mark.parametrize(
    ("base", "place"),
    [
        ("http://localhost:8788", "http://localhost:8788"),
        ("http://LocalHost:8788/v1/", "http://localhost:8788"),
        ("https://llm.chutes.ai/v1", "https://llm.chutes.ai"),
        ("https://h/v1/chat/completions", "https://h"),
        ("https://h/openai/v1", "https://h/openai"),
        ("https://h/api/v4", "https://h/api/v4"),
        ("https://h/v1?key=sk-secret", "https://h"),
        ("https://user:pw@h/v1", "https://h"),
    ],
)
def test_an_address_is_kept_in_one_form(base, place):
    """However it is written, and without what might be a secret."""
    assert place_of(base) == place


@pytest.mark.parametrize(
    ("age_s", "words"),
    [(0, "0 s"), (119, "119 s"), (600, "10 min"), (7200, "2 h"), (1e6, "12 days")],
)
def test_ages_are_told_in_words(age_s, words):
    """In the unit that a person would use."""
    assert in_words(age_s) == words


def test_another_process_finds_what_one_has_read(host, kernel, kernels, ask, home):
    """In a file that holds the time, the address and the ids, for this user alone."""
    preflight_models(api_base=host.base, api_key="sk-secret-1", kernel=kernel)
    kept = json.loads(home.read_text())
    assert kept == {
        "version": 1,
        "bases": {host.base: {"read_at_s": 1_790_000_000.0, "ids": sorted(host.ids)}},
    }
    assert stat.S_IMODE(home.stat().st_mode) == 0o600
    with pytest.raises(UnknownModelId):
        ask(kernels(), "nope", **ON)
    assert host.asked == ["/v1/models"]


def test_nothing_is_read_before_it_is_needed(kernels, home, host, ask, caplog):
    """A damaged file is no matter for who does not ask."""
    home.parent.mkdir()
    home.write_text("{")
    kernel = kernels()
    ask(kernel, "nope")
    assert caplog.text == ""
    ask(kernel, "nope", **ON)
    assert "counts as absent" in caplog.text


def test_what_others_read_later_is_found_too(kernels, host, ask):
    """A process that began with nothing, or with something stale, looks again."""
    one, other = kernels(), kernels()
    assert ask(one, "nope", **ON).text == "hello"
    preflight_models(api_base=host.base, kernel=other)
    with pytest.raises(UnknownModelId):
        ask(one, "nope", **ON)


def test_a_stale_file_counts_only_if_it_may(kernels, host, clock, ask):
    """A session of yesterday says nothing of today, unless one is content with it."""
    preflight_models(api_base=host.base, kernel=kernels())
    clock.now_s += 86_400 * 3
    kernel = kernels()
    assert ask(kernel, "nope", **ON).text == "hello"
    with pytest.raises(UnknownModelId, match="listed 3 days ago"):
        ask(kernel, "nope", model_preflight_allow_stale=True, **ON)


def test_without_persistence_no_file_is_read_or_written(kernels, host, ask, home, monkeypatch):
    """The process knows by itself."""
    kernel = kernels()
    monkeypatch.setenv("SCILLM_MODEL_PREFLIGHT_PERSIST", "0")
    preflight_models(api_base=host.base, kernel=kernel)
    assert not home.parent.exists()
    with pytest.raises(UnknownModelId):
        ask(kernel, "nope", **ON)
    monkeypatch.setenv("SCILLM_MODEL_PREFLIGHT_PERSIST", "1")
    preflight_models(api_base=host.base, ttl_s=0, kernel=kernel)
    monkeypatch.setenv("SCILLM_MODEL_PREFLIGHT_PERSIST", "0")
    assert ask(kernels(), "nope", **ON).text == "hello"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"models": ["a"]}',
        b'{"version": 2, "bases": {}}',
        b'{"version": 1, "bases": []}',
        b'{"version": 1, "bases": {"http://h": {"ids": "abc", "read_at_s": 1}}}',
        b'{"version": 1, "bases": {"http://h": {"ids": [1], "read_at_s": 1}}}',
        b'{"version": 1, "bases": {"http://h": {"ids": [], "read_at_s": NaN}}}',
        b'{"version": 1, "bases": {"http://h": {"ids": [], "read_at_s": true}}}',
        b'{"version": 1, "bases": {"http://h": ["a"]}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_or_foreign_file_counts_as_absent(text, kernel, ask, home, caplog):
    """With one warning."""
    home.parent.mkdir()
    home.write_bytes(text)
    for _ in range(3):
        assert ask(kernel, "nope", **ON).text == "hello"
    assert caplog.text.count("counts as absent") == 1


def test_a_damaged_file_is_written_anew(kernel, host, home, caplog):
    """By the next listing, which says so if nobody has."""
    home.parent.mkdir()
    home.write_text("{")
    preflight_models(api_base=host.base, kernel=kernel)
    assert list(shelf.read(home)) == [host.base]
    assert caplog.text.count("counts as absent") == 1


def test_a_time_to_come_is_no_time(kernel, host, ask, home):
    """A list from the future neither counts nor keeps a true one out."""
    home.parent.mkdir()
    ahead = {"read_at_s": 9e9, "ids": ["other"]}
    home.write_text(json.dumps({"version": 1, "bases": {host.base: ahead}}))
    assert ask(kernel, "nope", **ON).text == "hello"
    assert ask(kernel, "nope", model_preflight_allow_stale=True, **ON).text == "hello"
    preflight_models(api_base=host.base, kernel=kernel)
    assert shelf.read(home)[host.base].ids == frozenset(host.ids)


def test_a_clock_that_goes_a_little_ahead_is_borne(kernels, host, ask, clock):
    """Another machine's list of this minute counts, and is not new for ever."""
    clock.now_s += 30
    preflight_models(api_base=host.base, kernel=kernels())
    clock.now_s -= 30
    kernel = kernels()
    with pytest.raises(UnknownModelId, match="listed 0 s ago"):
        ask(kernel, "nope", **ON)
    host.ids.append("nope")
    preflight_models(api_base=host.base, ttl_s=0, kernel=kernel)
    assert ask(kernel, "nope", **ON).text == "hello"
    assert host.asked == ["/v1/models", "/v1/models", "nope"]


def test_a_folder_that_cannot_be_written_is_one_warning(kernel, host, ask, home, caplog):
    """The process knows all the same."""
    home.parent.write_text("a file where the folder would be")
    for _ in range(2):
        preflight_models(api_base=host.base, ttl_s=0, kernel=kernel)
    assert caplog.text.count("is not kept") == 1
    with pytest.raises(UnknownModelId):
        ask(kernel, "nope", **ON)


def test_a_lock_that_is_never_free_is_a_warning(kernel, host, home, caplog, monkeypatch):
    """Another process that hangs takes nobody along."""
    import fcntl

    monkeypatch.setattr(shelf, "LOCK_WAIT_S", 0.02)
    home.parent.mkdir()
    with home.with_name("catalog.json.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert preflight_models(api_base=host.base, kernel=kernel) == set(host.ids)
    assert "another process holds catalog.json.lock" in caplog.text
    assert not home.exists()


def test_the_newer_of_two_lists_is_kept(home):
    """Whoever writes last."""
    new = shelf.Catalog(frozenset({"new"}), 1000.0)
    shelf.add(home, "http://h", new)
    shelf.add(home, "http://h", shelf.Catalog(frozenset({"old"}), 990.0))
    assert shelf.read(home) == {"http://h": new}


def test_the_file_does_not_grow_for_ever(home, monkeypatch):
    """The hosts that were read longest ago are left out."""
    monkeypatch.setattr(shelf, "MOST_BASES", 3)
    for n in range(5):
        shelf.add(home, f"http://h{n}", shelf.Catalog(frozenset({"a"}), 1000.0 + n))
    assert list(shelf.read(home)) == ["http://h2", "http://h3", "http://h4"]


def test_a_relative_cache_home_is_not_one(monkeypatch, tmp_path):
    """As the XDG specification says; so the user's own is taken."""
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert shelf.path() == tmp_path / ".cache" / "scillm" / "catalog.json"


WRITER = """
import sys
from pathlib import Path
from scillm_preflight import shelf
file, number = Path(sys.argv[1]), int(sys.argv[2])
for turn in range(10):
    ids = frozenset({f"model-{number}-{turn}-{n}" for n in range(50)})
    shelf.add(file, f"http://h{number}-{turn % 5}", shelf.Catalog(ids, 1000.0 + turn))
    assert len(shelf.read(file)) >= turn % 5
"""


def test_many_processes_write_at_once_and_nothing_is_lost(home):
    """Each finds a whole file at any moment, and at the end all is in it."""
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, home, str(n)], stderr=subprocess.PIPE)
        for n in range(6)
    ]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert said == [b""] * 6
    kept = shelf.read(home)
    assert kept.keys() == {f"http://h{n}-{turn}" for n in range(6) for turn in range(5)}
    assert all(catalog.read_at_s >= 1005 and len(catalog.ids) == 50 for catalog in kept.values())
    assert sorted(path.name for path in home.parent.iterdir()) == [
        "catalog.json",
        "catalog.json.lock",
    ]


def test_many_threads_read_and_keep(home, clock):
    """One kernel's catalogues are shared by threads."""
    from concurrent.futures import ThreadPoolExecutor

    catalogues = Catalogues(clock)

    def work(n):
        catalogues.keep(f"http://h{n}", frozenset({f"m{n}"}))
        return catalogues.fresh(f"http://h{n}").ids

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(24))) == [frozenset({f"m{n}"}) for n in range(24)]
    assert len(shelf.read(home)) == 24
