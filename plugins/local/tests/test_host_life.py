"""How hosts begin, are shared, and end: real processes, real signals."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from scillm import APIConnectionError, Kernel
from scillm_http import Http
from scillm_local import Local, locks, meeting
from scillm_local.access import Leases, host_for
from scillm_local.errors import HostError, ModelFileError, ModelMissingError
from scillm_local.meeting import Record
from scillm_local.model import built_in
from scillm_local.plan import plan_for

from .conftest import ask, host, hosts, until

pytestmark = pytest.mark.slow


@pytest.fixture
def short_grace(monkeypatch):
    """A host that is started now outlives its last user by a moment only."""
    monkeypatch.setenv("SCILLM_LOCAL_GRACE_S", "0.5")


def is_gone(pid: int) -> bool:
    """Whether no process has this id, not even a zombie."""
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def test_a_killed_host_is_replaced_by_the_next_call(own_place, kernel):
    """The caller notices nothing but the time, and the dead process is no zombie."""
    ask(kernel)
    first = host().pid

    os.kill(first, signal.SIGKILL)
    answer = ask(kernel)

    assert answer.text
    assert host().pid != first
    until(lambda: is_gone(first))


def test_a_host_killed_before_it_says_anything_is_replaced_once(own_place, kernel):
    """A connection that breaks before the first event is tried again with a new host."""
    ask(kernel)
    first = host()
    os.kill(first.pid, signal.SIGSTOP)  # it takes the connection and says nothing
    threading.Timer(0.3, os.kill, (first.pid, signal.SIGKILL)).start()

    answer = ask(kernel)

    assert answer.text
    assert host().pid != first.pid


def test_a_host_killed_amid_a_stream_is_an_error_with_what_had_come(own_place, kernel):
    """What the caller has seen cannot be taken back, so nothing is tried again."""
    stream = ask(kernel, "Tell a long story.", max_tokens=400, stream=True)
    seen = [next(iter(stream)) for _ in range(5)]

    os.kill(host().pid, signal.SIGKILL)
    with pytest.raises(APIConnectionError) as caught:
        list(stream)

    assert len(seen) == 5
    assert caught.value.partial is not None


def test_two_processes_at_once_share_one_host(user):
    """Both find no host, and one of them starts it for both."""
    processes = [user(), user()]

    pids = {process.stdout.readline().strip() for process in processes}

    assert pids == {str(host().pid)}


def test_threads_at_once_start_one_host(own_place):
    """The lock is between threads too, and every one of them gets the same host."""
    leases, found = Leases(), []
    threads = [
        threading.Thread(target=lambda: found.append(host_for(built_in(), leases).pid))
        for _ in range(6)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 6
    assert set(found) == {host().pid}
    leases.give_back()


def test_a_host_ends_when_its_only_user_is_killed(short_grace, user):
    """A killed process gives its lease back without doing anything."""
    process = user()
    pid = int(process.stdout.readline())

    process.kill()

    until(lambda: is_gone(pid))
    assert hosts() == []


def test_a_host_stays_while_one_of_two_users_lives(short_grace, user):
    """The last one out turns off the light."""
    first, second = user(), user()
    pid = int(first.stdout.readline())
    second.stdout.readline()

    first.kill()
    first.wait()
    place = meeting.meeting(plan_for(built_in()).key)
    until(lambda: not locks_free_soon(place))
    assert not is_gone(pid)

    second.kill()
    until(lambda: is_gone(pid))


def locks_free_soon(place) -> bool:
    """Whether nobody holds a lease any more."""
    descriptor = locks.opened(place.lease)
    try:
        return locks.is_free_for(descriptor, alone=True)
    finally:
        os.close(descriptor)


def test_a_kernel_that_is_closed_gives_its_lease_back(short_grace, own_place):
    """The host ends although the process goes on, and the kernel can be used again."""
    kernel = Kernel.of(Local(), Http())
    ask(kernel)
    first = host().pid

    kernel.close()
    until(lambda: is_gone(first))

    assert ask(kernel).text
    kernel.close()


def test_an_idle_host_ends_although_its_user_lives(own_place, kernel, monkeypatch):
    """Memory is given back, and the next call starts a host again."""
    monkeypatch.setenv("SCILLM_LOCAL_IDLE_S", "0.6")
    ask(kernel)
    first = host().pid

    until(lambda: is_gone(first))

    assert ask(kernel).text
    assert host().pid != first


def test_a_host_at_work_is_not_idle(own_place, kernel, monkeypatch):
    """An answer that takes longer than the idle time comes whole."""
    monkeypatch.setenv("SCILLM_LOCAL_IDLE_S", "0.4")

    answer = ask(kernel, "Tell a long story.", max_tokens=100, seed=1, temperature=1)

    assert answer.choices[0].finish_reason in {"length", "stop"}
    assert answer.usage.completion_tokens > 40


def test_a_record_that_a_dead_host_left_is_known_as_stale(own_place, kernel):
    """The process id in it may be somebody else's now; nobody is asked, signalled or trusted."""
    model = built_in()
    place = meeting.meeting(plan_for(model).key)
    left = Record(
        pid=os.getpid(), port=9, token="t", model_id=model.id, path="x", identity="x", log="x"
    )
    place.write(left)

    assert place.living() is None
    assert ask(kernel).text
    assert host().pid != os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_record_that_cannot_be_read_is_as_good_as_none(own_place, text):
    """A full disk or a foreign version may have left anything."""
    place = meeting.meeting("some")
    place.record.write_text(text)

    assert place.read() is None


def test_what_a_dead_host_left_is_removed_when_another_starts(own_place, kernel):
    """Its record and its locks; a host that somebody uses, or starts, keeps its own."""
    places = {name: meeting.meeting(name) for name in ("dead", "used", "starting")}
    for place in places.values():
        for path in (place.record, place.alive, place.lease, place.start):
            path.touch()
    used = locks.shared(places["used"].lease)

    with locks.held(places["starting"].start, 0):
        ask(kernel)

    os.close(used)
    left = {path.stem for path in places["dead"].folder.iterdir()}
    assert left == {"used", "starting", plan_for(built_in()).key}


def test_a_lock_whose_file_was_tidied_away_is_taken_anew(own_place):
    """Else two processes would each hold a lock of the same name."""
    path = own_place / "some.start"
    waiting = threading.Event()

    def wait_and_hold(seen: list[bool]) -> None:
        with locks.held(path, 30) as descriptor:
            seen.append(locks.is_current(descriptor, path))

    seen: list[bool] = []
    with locks.held(path, 0):
        thread = threading.Thread(target=wait_and_hold, args=(seen,))
        thread.start()
        waiting.wait(0.2)  # most likely it has opened the file; if not, the test proves less
        path.unlink()
    thread.join(30)

    assert seen == [True]


def test_only_the_user_may_read_where_the_host_is(own_place, kernel):
    """The token lies in a file of mode 0600 in a folder of mode 0700."""
    ask(kernel)
    place = meeting.meeting(plan_for(built_in()).key)

    assert stat.S_IMODE(place.record.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(host().log).stat().st_mode) == 0o600
    assert host().token not in repr(host())


def test_a_folder_that_others_may_enter_is_not_trusted(own_place):
    """Somebody could have put a record of a host of his there."""
    folder = own_place / "run" / "scillm"
    folder.mkdir(parents=True)
    folder.chmod(0o755)

    with pytest.raises(HostError, match="chmod 700"):
        host_for(built_in(), Leases())
    folder.chmod(0o700)


def test_the_host_hears_no_signal_of_the_terminal_and_knows_no_key(own_place, kernel, monkeypatch):
    """It has a session of its own, and an environment without the starter's secrets."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    ask(kernel)
    pid = host().pid

    assert os.getsid(pid) == pid != os.getsid(0)
    environment = Path(f"/proc/{pid}/environ")
    if environment.exists():
        assert b"sk-secret" not in environment.read_bytes()


def test_a_forked_child_takes_a_lease_of_its_own(short_grace, own_place):
    """It keeps the host alive after its parent gave the lease back."""
    leases = Leases()
    found = host_for(built_in(), leases)
    context = multiprocessing.get_context("fork")
    go_on, done = context.Event(), context.Event()

    def child() -> None:
        host_for(built_in(), leases)
        done.set()
        go_on.wait(30)

    process = context.Process(target=child)
    process.start()
    assert done.wait(30)
    leases.give_back()

    place = meeting.meeting(plan_for(built_in()).key)
    assert not locks_free_soon(place)
    assert place.living() == found

    go_on.set()
    process.join()
    until(lambda: is_gone(found.pid))


def test_settings_that_change_the_host_make_another_one(own_place, kernel, monkeypatch):
    """Nobody gets a smaller context than asked for because another was there first."""
    ask(kernel)
    monkeypatch.setenv("SCILLM_LOCAL_CONTEXT_TOKENS", "1024")
    ask(kernel)

    assert len(hosts()) == 2


def test_a_file_of_the_user_answers_under_its_own_name(own_place, gguf, kernel, monkeypatch):
    """SCILLM_LOCAL_MODEL makes any GGUF file the default."""
    mine = own_place / "mine-135m.gguf"
    mine.symlink_to(gguf)
    monkeypatch.setenv("SCILLM_LOCAL_MODEL", str(mine))

    answer = kernel.completion(messages=[{"role": "user", "content": "Hi"}], max_tokens=2)

    assert answer.model == "mine-135m"
    assert answer.additional_kwargs["local"] == {"model": "local/mine-135m", "is_default": True}


def test_a_file_that_is_not_there_is_named(own_place, kernel, monkeypatch):
    """The message names the path and the variable."""
    monkeypatch.setenv("SCILLM_LOCAL_MODEL", str(own_place / "none.gguf"))

    with pytest.raises(ModelMissingError, match=r"none\.gguf.*SCILLM_LOCAL_MODEL"):
        kernel.completion("local/default", [{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"hello", "is no GGUF file"), (b"GGUF" + bytes(5000), "could not load .* The log is")],
)
def test_a_file_that_is_no_model_is_told_so(own_place, kernel, monkeypatch, content, words):
    """Before a process starts for it, or by the process that could not load it."""
    path = own_place / "broken.gguf"
    path.write_bytes(content)
    monkeypatch.setenv("SCILLM_LOCAL_MODEL", str(path))

    with pytest.raises(ModelFileError, match=words):
        kernel.completion("local/default", [{"role": "user", "content": "Hi"}])
    assert hosts() == []


@pytest.mark.parametrize(
    ("limit_bytes", "words"), [(90_000_000, "has 98362432 bytes"), (400_000_000, "could not load")]
)
def test_a_model_that_needs_more_memory_than_allowed_is_an_error(
    own_place, kernel, monkeypatch, limit_bytes, words
):
    """The setting is named, and no host is left behind."""
    monkeypatch.setenv("SCILLM_LOCAL_MEMORY_BYTES", str(limit_bytes))

    with pytest.raises(ModelFileError, match=f"(?s){words}.*SCILLM_LOCAL_MEMORY_BYTES") as caught:
        ask(kernel)
    assert not caught.value.failure.is_transient
    assert hosts() == []


def test_an_altered_model_is_not_loaded(empty_cache, gguf, kernel):
    """One byte is enough, and the message tells how to replace the file."""
    altered = bytearray(gguf.read_bytes())
    altered[-1] ^= 1
    empty_cache.write_bytes(altered)

    with pytest.raises(ModelFileError, match=r"SHA-256 is .*`scillm local pull` replaces it"):
        ask(kernel)


def test_a_host_that_is_not_up_in_time_is_an_error_that_a_retry_may_cure(
    own_place, kernel, monkeypatch
):
    """The process is ended, so that the next call does not wait for it."""
    monkeypatch.setenv("SCILLM_LOCAL_START_S", "0.01")

    with pytest.raises(HostError, match="SCILLM_LOCAL_START_S") as caught:
        ask(kernel)
    assert caught.value.failure.is_transient
    monkeypatch.delenv("SCILLM_LOCAL_START_S")
    assert ask(kernel).text


def test_a_host_whose_record_was_removed_ends(short_grace, own_place, kernel):
    """Cleaners of temporary folders must not leave a process that nobody can find."""
    ask(kernel)
    pid = host().pid

    meeting.meeting(plan_for(built_in()).key).record.unlink()

    until(lambda: is_gone(pid))


def test_what_a_host_tells_is_what_was_written(own_place):
    """A record survives the way through its file, and no half of one is ever seen."""
    place = meeting.meeting("some")
    told = Record(pid=1, port=2, token="t", model_id="m", path="p", identity="i", log="l")

    place.write(told)

    assert place.read() == told
    assert json.loads(place.record.read_text())["port"] == 2
    assert [path.name for path in place.folder.iterdir()] == ["some.json"]
