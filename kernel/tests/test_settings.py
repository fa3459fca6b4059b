"""Where settings come from."""

import pickle

import pytest

from scillm import BadRequestError, Call, Setting, SettingError, settings
from scillm.settings import boolean

WAIT = Setting(name="WAIT_S", default=1.0, read=float, option="wait", help="seconds")


def test_the_default_holds_when_nothing_is_set():
    """Absent everywhere means default."""
    assert WAIT.value() == 1.0


def test_an_argument_beats_the_environment(monkeypatch):
    """A call's own option wins."""
    monkeypatch.setenv("SCILLM_WAIT_S", "2")
    assert WAIT.value(Call(options={"wait": 5.0})) == 5.0
    assert WAIT.value(Call()) == 2.0


def test_a_legacy_variable_counts_with_a_warning(monkeypatch):
    """LITELLM_X is read if SCILLM_X is not set."""
    monkeypatch.setenv("LITELLM_WAIT_S", "3")
    with pytest.warns(
        DeprecationWarning, match="LITELLM_WAIT_S is legacy: set SCILLM_WAIT_S instead"
    ):
        assert WAIT.value() == 3.0
    monkeypatch.setenv("SCILLM_WAIT_S", "2")
    assert WAIT.value() == 2.0


def test_a_dotenv_file_fills_in(monkeypatch, tmp_path):
    """The nearest .env upward counts, below the environment, and the environment is left alone."""
    import os

    (tmp_path / ".env").write_text("SCILLM_WAIT_S=4\nOTHER_KEY=k\n")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "er")
    monkeypatch.delenv("SCILLM_DOTENV")
    settings.dotenv.cache_clear()

    assert WAIT.value() == 4.0
    assert WAIT.lookup() == ("SCILLM_WAIT_S", "4", ".env")
    assert settings.variable("OTHER_KEY") == "k"
    assert "OTHER_KEY" not in os.environ
    monkeypatch.setenv("SCILLM_WAIT_S", "2")
    assert WAIT.value() == 2.0


def test_a_named_dotenv_file_is_read(monkeypatch, tmp_path):
    """SCILLM_DOTENV names another file."""
    (tmp_path / "mine").write_text("SCILLM_WAIT_S=6")
    monkeypatch.setenv("SCILLM_DOTENV", str(tmp_path / "mine"))
    settings.dotenv.cache_clear()
    assert WAIT.value() == 6.0


def test_a_bad_value_says_variable_value_and_remedy(monkeypatch):
    """The message quotes what was set and where."""
    monkeypatch.setenv("SCILLM_WAIT_S", "soon")
    with pytest.raises(
        ValueError,
        match=r"SCILLM_WAIT_S='soon' \(from the environment\) is not valid: .* Correct or unset it",
    ):
        WAIT.value()


def test_a_bad_secret_is_not_shown(monkeypatch):
    """A secret's value does not stand in the error."""
    monkeypatch.setenv("SCILLM_PIN", "hunter2x")
    pin = Setting(name="PIN", default=0, read=int, is_secret=True)
    with pytest.raises(ValueError, match=r"SCILLM_PIN=\*\*\*") as info:
        pin.value()
    assert "hunter2x" not in str(info.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("Yes", True), ("on", True), ("0", False), ("off", False), ("", False)],
)
def test_booleans_read_eight_words(text, value):
    """Yes and no in their usual spellings."""
    assert boolean(text) is value


def test_a_boolean_rejects_the_rest():
    """Anything else is an error, not a no."""
    with pytest.raises(ValueError, match="expected one of 0, 1, false"):
        boolean("maybe")


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [(False, "0", False), (True, "no", False), (3, "7", 7), (1.5, "2", 2.0), ("", "0", "0")],
)
def test_a_default_says_how_the_text_is_read(monkeypatch, default, text, value):
    """A switch that is set to 0 is off, though "0" is a true text."""
    monkeypatch.setenv("SCILLM_SHOUT", text)
    found = Setting(name="SHOUT", default=default).value()
    assert (found, type(found)) == (value, type(value))


def test_a_bad_value_is_the_callers_mistake_by_type(monkeypatch):
    """Both for who catches ValueError and for who catches what calls raise."""
    monkeypatch.setenv("SCILLM_WAIT_S", "soon")
    with pytest.raises(SettingError) as info:
        WAIT.value()
    assert isinstance(info.value, ValueError)
    assert isinstance(info.value, BadRequestError)
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value)  # our own bytes


def test_a_legacy_variable_warns_at_the_line_of_the_caller(monkeypatch):
    """A default filter hides what a library's own line did."""
    monkeypatch.setenv("LITELLM_WAIT_S", "3")
    within = {"__name__": "scillm_mine.sender", "WAIT": WAIT}
    exec("def value(): return WAIT.value()", within)  # a plugin's line between
    with pytest.warns(DeprecationWarning, match="LITELLM_WAIT_S is legacy") as told:
        within["value"]()
    assert told[0].filename == __file__


def test_the_names_that_are_set_are_known(monkeypatch):
    """So that one that nobody reads can be told."""
    monkeypatch.setenv("SCILLM_MODLE", "x")
    assert "SCILLM_MODLE" in settings.names_set()


def test_an_empty_foreign_variable_counts_as_unset(monkeypatch):
    """OPENAI_API_KEY= means no key."""
    monkeypatch.setenv("OPENAI_API_KEY", "")
    assert settings.variable("OPENAI_API_KEY", "none") == "none"


@pytest.mark.parametrize(
    ("written", "said"), [(b"A=\xff", "is not UTF-8 text"), (None, "names no file")]
)
def test_a_dotenv_file_that_cannot_be_read_is_named(monkeypatch, tmp_path, written, said):
    """Rather than being passed over."""
    path = tmp_path / "mine.env"
    if written:
        path.write_bytes(written)
    monkeypatch.setenv("SCILLM_DOTENV", str(path))
    settings.dotenv.cache_clear()
    with pytest.raises(ValueError, match=f"mine.env.*{said}"):
        settings.dotenv()
