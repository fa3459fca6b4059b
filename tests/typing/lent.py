"""Names that plugins lend are typed by the generated stubs: checked by mypy, never run."""

from typing import Any

from typing_extensions import assert_type

from scillm import Response
from scillm.extras.codex import chat
from scillm.extras.multi_agents import answer_code_autogen_and_judge_codex_only as coded


def a_lent_function_has_the_types_of_its_plugin() -> None:
    """Without the stubs this would be Any, and the second call no error."""
    assert_type(chat([{"role": "user", "content": "hi"}]), dict[str, Any])
    chat([], model=7)  # type: ignore[arg-type]  # the error that must be seen
    assert_type(coded([{"task": "t"}]), dict[str, Any])
    coded([], n_variants="6")  # type: ignore[arg-type]  # the same, through a decorator


def the_kernels_own_modules_are_still_visible() -> None:
    """A partial stub leaves to the package what it does not name."""
    from scillm.answers import Response as Own

    assert_type(Own, type[Response])
