"""``scillm chutes``: what it prints, and how it ends."""

import json

import pytest
from click.testing import CliRunner

import scillm
from scillm_chutes.commands import chutes


def run(*arguments):
    """Run it in this process."""
    return CliRunner().invoke(chutes, [str(each) for each in arguments])


@pytest.fixture
def many(gateway):
    """A gateway with models of several sizes and kinds."""
    gateway.models = [
        {"id": "v/Big-235B-A22B", "supported_features": ["json_mode", "tools"]},
        {"id": "v/Near-200B", "supported_features": ["json_mode", "tools"]},
        {"id": "v/Half-120B", "supported_features": ["json_mode", "tools"]},
        {"id": "v/Toolless-230B", "supported_features": []},
        {"id": "v/Small-8B"},
        {"id": "v/Giant-1.8T"},
        {"id": "v/Raw-240B-Base"},
        {"id": "v/See-72B", "input_modalities": ["text", "image"]},
        {"id": "v/Look-VL-90B"},
        {"id": "evil\nEXPORT=1"},
    ]
    return gateway


def env_of(output):
    """The lines for a .env file, as a mapping."""
    lines = output.partition("\n# Router:")[0].splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#") and line)


class TestPeers:
    def test_peers_are_near_in_size_and_lack_nothing(self, many):
        """Neither far smaller, nor far larger, nor untaught, nor of another kind."""
        done = run("peers", "--primary", "v/Big-235B-A22B")
        assert done.exit_code == 0
        assert env_of(done.stdout) == {
            "CHUTES_TEXT_MODEL": "v/Big-235B-A22B",
            "CHUTES_TEXT_MODEL_ALT1": "v/Near-200B",
            "CHUTES_TEXT_MODEL_ALT2": "v/Half-120B",
            "CHUTES_TEXT_MODEL_ALT3": "v/Toolless-230B",
        }

    def test_max_bounds_them_and_the_idle_come_first(self, many, monkeypatch):
        """Load decides between equals."""
        monkeypatch.setenv("SCILLM_UTIL_K", "1")
        many.models = [{"id": f"v/{name}-70B"} for name in ("a", "b", "c", "d")]
        many.utilization = [
            {"name": "v/b-70B", "utilization": 0.95},
            {"name": "v/c-70B", "utilization": 0.6},
            {"name": "v/d-70B", "utilization": 0.1},
        ]
        done = run("peers", "--primary", "v/a-70B", "--max", 2)
        assert list(env_of(done.stdout).values()) == ["v/a-70B", "v/d-70B", "v/c-70B"]

    def test_the_environment_names_the_primary_else_it_is_the_largest(self, many, monkeypatch):
        """And that nobody named it is said."""
        done = run("peers")
        assert env_of(done.stdout)["CHUTES_TEXT_MODEL"] == "v/Giant-1.8T"
        assert "is the largest that the gateway lists" in done.stderr
        monkeypatch.setenv("CHUTES_TEXT_MODEL", "v/Near-200B")
        assert env_of(run("peers").stdout)["CHUTES_TEXT_MODEL"] == "v/Near-200B"

    def test_models_that_see(self, many):
        """Of their own kind alone, under variables of their own."""
        done = run("peers", "--kind", "vlm")
        assert env_of(done.stdout) == {
            "CHUTES_VLM_MODEL": "v/Look-VL-90B",
            "CHUTES_VLM_MODEL_ALT1": "v/See-72B",
        }

    def test_verify_keeps_those_only_that_answer_with_json(self, many):
        """Until enough have; why another did not is told on stderr."""
        many.failing["v/Near-200B"] = [404]
        many.said["v/Half-120B"] = "Sure! Here you go."
        done = run("peers", "--primary", "v/Big-235B-A22B", "--verify")
        assert list(env_of(done.stdout).values()) == ["v/Big-235B-A22B", "v/Toolless-230B"]
        assert "did not pass: v/Near-200B" in done.stderr
        assert "did not pass: v/Half-120B: the answer is not JSON: 'Sure!" in done.stderr

    def test_verify_keeps_nobody_where_nobody_answers(self, many):
        """No alternate that is known not to work; exit code 3 if the primary does not either."""
        for model in many.models:
            many.failing[model["id"]] = [404]
        assert run("peers", "--primary", "v/Big-235B-A22B", "--verify").exit_code == 3
        many.failing.pop("v/Big-235B-A22B")
        done = run("peers", "--primary", "v/Big-235B-A22B", "--verify")
        assert (done.exit_code, len(env_of(done.stdout))) == (0, 1)

    def test_the_router_runs_as_printed(self, many, monkeypatch):
        """With the lines for .env in the environment; its second asks the alternate."""
        done = run("peers", "--primary", "v/Big-235B-A22B", "--max", 1)
        for name, value in env_of(done.stdout).items():
            monkeypatch.setenv(name, value)
        many.failing["v/Big-235B-A22B"] = [503]
        found = {}
        exec(done.stdout.partition("# Router:")[2], found)
        asked = [{"role": "user", "content": "hi"}]
        answer = found["router"].completion(model="chutes/text", messages=asked)
        assert answer.served_by.model == "v/Near-200B"

    def test_neither_key_nor_address_is_printed(self, many):
        """On neither stream, whether they are given or found."""
        many.failing["v/Near-200B"] = [401]
        done = run("peers", "--verify", "--base", many.base, "--key", "cpk-secret-2")
        assert many.base not in done.stdout
        assert "cpk-secret" not in done.output

    @pytest.mark.parametrize("missing", ["CHUTES_API_BASE", "CHUTES_API_KEY"])
    def test_without_a_gateway_or_a_key_it_ends_with_2(self, many, monkeypatch, missing):
        """And says which variable to set."""
        monkeypatch.delenv(missing)
        done = run("peers")
        assert done.exit_code == 2
        assert missing in done.stderr

    def test_without_models_it_ends_with_3(self, gateway):
        """None of the kind, or none told at all."""
        assert run("peers", "--kind", "vlm").exit_code == 3
        gateway.models = []
        scillm.close()
        assert run("peers", "--base", gateway.base.removesuffix("/v1")).exit_code == 3

    def test_an_id_that_would_break_a_file_is_passed_over(self, gateway):
        """What a gateway lists is not ours to trust."""
        gateway.models = [{"id": "evil\nEXPORT=1"}, {"id": "$(x)"}, {"id": "good-8B"}]
        assert list(env_of(run("peers").stdout).values()) == ["good-8B"]


class TestDoctor:
    def test_all_is_well(self, gateway):
        """One line of JSON with these fields, and exit code 0."""
        done = run("doctor", "--base", gateway.base, "--model", "text-8B", "--concurrency", 3)
        told = json.loads(done.stdout)
        assert done.exit_code == 0
        assert done.stdout.count("\n") == 1
        assert told["overall_ok"] is True
        assert told["host"] == gateway.base.removesuffix("/v1")
        assert told["chat_base"] == gateway.base
        assert told["readiness"]["body"]["data"] == [{"id": "text-8B"}]
        assert told["readiness"]["elapsed_sec"] >= 0
        assert told["single"] == {"ok": True, "content": '{"ok": true}', "model": "text-8B"}
        assert told["batch"] == {"ok": 6, "total": 6, "sample": ['{"ok": true}'] * 3}

    def test_it_waits_until_the_host_is_ready(self, gateway):
        """As long as it may."""
        gateway.failing["/models"] = [503, 404, 200]
        done = run("doctor", "--base", gateway.base, "--model", "text-8B", "--interval", 0.01)
        assert json.loads(done.stdout)["readiness"]["ok"] is True

    def test_a_host_that_never_is_ready_ends_with_1(self, gateway):
        """With the status that it gave; nothing is asked of it."""
        gateway.failing["/models"] = [503]
        done = run("doctor", "--base", gateway.base, "--model", "m", "--timeout", 0)
        told = json.loads(done.stdout)
        assert done.exit_code == 1
        assert (told["readiness"]["status"], told["single"], told["batch"]) == (503, None, None)
        assert not gateway.models_asked()

    def test_a_key_that_is_refused_is_not_waited_for(self, gateway):
        """It would be refused for eight minutes."""
        gateway.failing["/models"] = [401]
        done = run("doctor", "--base", gateway.base, "--model", "m")
        assert (done.exit_code, json.loads(done.stdout)["readiness"]["status"]) == (1, 401)
        assert "cpk-secret" not in done.output

    def test_one_call_of_many_that_fails_is_no_success(self, gateway):
        """It is counted, and what it said may be in the sample."""
        gateway.failing["text-8B"] = [200, 200, 400, 200]
        done = run("doctor", "--base", gateway.base, "--model", "text-8B")
        told = json.loads(done.stdout)
        assert done.exit_code == 1
        assert told["overall_ok"] is False
        assert (told["batch"]["ok"], told["batch"]["total"]) == (3, 4)

    def test_prose_is_no_success(self, gateway):
        """Status 200 is not enough."""
        gateway.said["text-8B"] = "ok: true"
        done = run("doctor", "--base", gateway.base, "--model", "text-8B")
        told = json.loads(done.stdout)
        assert done.exit_code == 1
        assert told["single"]["ok"] is False
        assert told["single"]["content"] == "ok: true"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "--slug SLUG, or --base URL"),
            (["--slug", "x.evil.example/"], "is no slug"),
            (["--slug", "My_Chute"], "is no slug"),
        ],
    )
    def test_without_a_host_it_ends_with_2(self, gateway, arguments, said):
        """A key must not be sent to a host that a slug smuggles in."""
        done = run("doctor", "--model", "m", *arguments)
        assert done.exit_code == 2
        assert said in done.stderr

    def test_without_a_key_it_ends_with_2(self, gateway, monkeypatch):
        """Before anything is asked."""
        monkeypatch.delenv("CHUTES_API_KEY")
        done = run("doctor", "--base", gateway.base, "--model", "m")
        assert done.exit_code == 2
        assert "CHUTES_API_KEY" in done.stderr
        assert not gateway.asked


def called(name="get_weather", arguments='{"city": "Tokyo"}'):
    """A tool call, as a model makes it."""
    return [{"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}]


class TestTools:
    def test_a_call_with_sound_arguments_counts(self, gateway, tmp_path):
        """It was asked for whole and with a choice; what was seen is kept, line by line."""
        gateway.tool_calls = called()
        evidence = tmp_path / "made/tools.jsonl"
        for _ in range(2):
            done = run("tools", "--model", "k", "--evidence", evidence)
        told = json.loads(done.stdout)
        assert (done.exit_code, told["ok_tools"]) == (0, True)
        body = gateway.asked[-1][1]
        assert body["tool_choice"] == "auto"
        assert "stream" not in body
        assert [json.loads(line)["ok_tools"] for line in evidence.read_text().splitlines()] == [
            True,
            True,
        ]

    @pytest.mark.parametrize(
        ("calls", "said"),
        [
            ([], "no tool call"),
            (called(name="delete_all"), "calls 'delete_all'"),
            (called(arguments="Tokyo"), "not JSON"),
            (called(arguments='{"town": "Tokyo"}'), "name no city"),
        ],
    )
    def test_anything_else_does_not(self, gateway, calls, said):
        """Least of all a sentence about tool_calls."""
        gateway.tool_calls = calls
        gateway.said["k"] = "finish_reason tool_calls"
        done = run("tools", "--model", "k")
        told = json.loads(done.stdout)
        assert (done.exit_code, told["ok_tools"]) == (1, False)
        assert said in told["error"]
