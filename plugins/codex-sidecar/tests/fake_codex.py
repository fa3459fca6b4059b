"""Stands for the codex command: prints its events, and does what CODEX_FAKE says."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def say(**event):
    """Print one event."""
    print(json.dumps(event), flush=True)


def item(text, kind="agent_message", number=0, event="item.completed"):
    """Print an item."""
    say(type=event, item={"id": f"item_{number}", "type": kind, "text": text})


def note(folder, told):
    """Write down that it ran, and what it was told; return whether it was the first time."""
    runs = Path(folder) / "runs"
    with runs.open("a") as file:
        file.write(f"{os.getpid()}\n")
    seen = {"argv": sys.argv[1:], "told": told, "environment": dict(os.environ)}
    Path(folder, "seen.json").write_text(json.dumps(seen))
    return len(runs.read_text().splitlines()) == 1


def hang(folder):
    """Begin, start a child, and never end."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(folder, "child").write_text(str(child.pid))
    item("begun", event="item.updated")
    time.sleep(600)


def silent(folder):
    """Say no more."""
    time.sleep(600)


def chatty(folder):
    """Say nothing of worth, for ever."""
    while True:
        say(type="noise")
        time.sleep(0.05)


def leave(folder):
    """End with a code."""
    print("no more credit", file=sys.stderr)
    sys.exit(3)


def fails(folder):
    """Fail as codex does."""
    say(type="error", message="connection lost, again in 1 s")
    say(type="turn.failed", error={"message": "the model is overloaded"})
    sys.exit(1)


def nothing(folder):
    """End without an answer."""


def old(folder):
    """Answer with the older events."""
    say(id="0", msg={"type": "agent_reasoning", "text": "I think."})
    for text in ("old ", "answer"):
        say(id="0", msg={"type": "agent_message_delta", "delta": text})
    say(id="0", msg={"type": "agent_message", "message": "old answer"})
    totals = {"input_tokens": 5, "output_tokens": 2}
    say(id="0", msg={"type": "token_count", "info": {"total_token_usage": totals}})


def plain(folder):
    """Answer with no event at all."""
    print("plain text\nof two lines")


def answer(folder):
    """Answer."""
    item("I think.", "reasoning", 0)
    item("ls", "command_execution", 1)
    item("one two", number=2, event="item.updated")
    item("one two three STOP four", number=2)
    usage = {"input_tokens": 7, "cached_input_tokens": 1, "output_tokens": 3}
    say(type="turn.completed", usage=usage)


PARTS = {each.__name__: each for each in (hang, silent, chatty, fails, nothing, old, plain)} | {
    "exit": leave,
    "ok": answer,
    "flaky": answer,
}


def main():
    """Play the part that is asked for."""
    part, folder = os.environ.get("CODEX_FAKE", "ok"), os.environ.get("CODEX_FAKE_FOLDER")
    told = sys.argv[-1]
    if told == "-" or os.environ.get("CODEX_INPUT_MODE") == "json":
        told = sys.stdin.read()
    is_first = note(folder, told) if folder else False
    if part == "flaky" and is_first:
        print("try again", file=sys.stderr)
        sys.exit(75)
    say(type="thread.started", thread_id="t")
    say(type="turn.started")
    PARTS[part](folder)


main()
