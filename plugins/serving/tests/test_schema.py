"""Every request that schemathesis makes up gets an answer that is no fault of ours."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import attrs

from scillm import Response
from scillm_serving import Asked, Reply, Rules
from scillm_serving import openai as serving

APP = Path(__file__).with_name("things_app.py")


def things():
    """Load the app."""
    spec = importlib.util.spec_from_file_location("things_app", APP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def answer(**arguments):
    """Answer anything."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "ok"},
        "finish_reason": "stop",
    }
    return Response({"id": "w", "object": "chat.completion", "choices": [choice]})


def examined(base):
    """Let schemathesis loose on a server."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("run", f"{base}/openapi.json", "--checks", "not_a_server_error"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "60", "--no-color"),
            *("--generation-database", "none", "--seed", "1"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout + done.stderr


def test_no_made_up_request_to_typed_routes_ends_in_a_500(serve):
    """Over a real connection; what schemathesis sends follows the document, and breaks it."""
    running = serve(things().ROUTES[:2])
    code, said = examined(running.base)
    assert code == 0, said
    assert "test cases" in said.lower() or "passed" in said.lower()


def test_no_made_up_chat_ends_in_a_500(serve):
    """Chats and lists of models."""
    running = serve(serving.routes(answer, serving.listed("a"), is_closed=False))
    code, said = examined(running.base)
    assert code == 0, said


def test_schemathesis_would_find_a_500(serve):
    """The two tests above would fail if there was one."""

    async def fragile(asked: Asked):
        """Break on some numbers."""
        if asked.body.count > 1:
            return Reply({}, 500)
        return {}

    route = attrs.evolve(things().ROUTES[0], answer=fragile)
    code, said = examined(serve([route]).base)
    assert code == 1, said


def test_the_document_says_what_the_types_say():
    """The schemas, the token, and that a body has no other fields."""
    from starlette.testclient import TestClient

    from scillm import Secret

    app = things().make(Rules(token=Secret("t")))
    with TestClient(app) as client:
        made = client.get("/openapi.json", headers={"x-api-key": "t"}).json()
    assert made["openapi"] == "3.1.0"
    assert made["security"] == [{"token": []}]
    wanted, part = (made["components"]["schemas"][name] for name in ("Wanted", "Part"))
    assert wanted["required"] == ["title", "count"]
    assert wanted["additionalProperties"] is part["additionalProperties"] is False
    assert made["paths"]["/things/{id}"]["get"]["parameters"][0]["name"] == "id"
    assert "text/event-stream" in made["paths"]["/ticks"]["get"]["responses"]["200"]["content"]
