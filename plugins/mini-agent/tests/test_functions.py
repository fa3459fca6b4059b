"""Functions as tools: what the model is told of them."""

from typing import Annotated, Any, Literal

import pytest

from scillm import BadRequestError
from scillm_mini_agent import tool
from scillm_mini_agent.functions import schema_of


def test_annotations_become_a_schema():
    """Types, descriptions, defaults, what is required."""

    def find(  # noqa: PLR0917  # one of each
        query: Annotated[str, "what to look for"],
        most: int = 5,
        order: Literal["new", "old"] = "new",
        tags: list[str] | None = None,
        where: dict[str, float] | None = None,
        more: Any = None,
    ) -> str:
        return query

    assert schema_of(find) == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "what to look for"},
            "most": {"type": "integer", "default": 5},
            "order": {"enum": ["new", "old"], "default": "new"},
            "tags": {
                "anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}],
                "default": None,
            },
            "where": {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "number"}},
                    {"type": "null"},
                ],
                "default": None,
            },
            "more": {"default": None},
        },
        "required": ["query"],
        "additionalProperties": False,
    }


def test_the_decorator_leaves_the_function_as_it_is():
    """It can be called as before."""

    @tool(name="plus")
    def add(a: int) -> int:
        """Add one.

        And nothing else.
        """
        return a + 1

    assert add(1) == 2
    assert add.__scillm_tool__["function"]["name"] == "plus"
    assert add.__scillm_tool__["function"]["description"] == "Add one."


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda a: a, "has no annotation"),
        (lambda *a: a, "takes any arguments"),
        (lambda a, /: a, "has no name to callers"),
    ],
)
def test_what_a_model_cannot_be_told_is_refused(function, told):
    """When the tool is made, not when it is called."""
    with pytest.raises(BadRequestError, match=told):
        tool(function)


def test_a_type_that_json_has_not_is_refused():
    """With the way out."""

    def draw(points: set) -> None: ...

    with pytest.raises(BadRequestError, match="give the schema by @tool"):
        tool(draw)
