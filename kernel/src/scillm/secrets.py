"""A value that must not be seen: an API key, a header that carries one."""

from __future__ import annotations

from collections.abc import Iterable


class Secret:
    """A text that shows itself only when asked by name.

    ``repr``, ``str``, formatting and logging give ``***``; a pickle holds no value, so
    that a secret never travels to another process or a file by accident.

    Args:
        value: The text to hide.
    """

    __slots__ = ("_value",)
    _value: str | None

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a secret is text, not {type(value).__name__}")
        self._value = value

    def reveal(self) -> str:
        """Return the text itself, for the one place that sends it.

        Raises:
            ValueError: The secret came out of a pickle, which does not carry its value.
        """
        if self._value is None:
            raise ValueError(
                "this secret was left behind when the object holding it was pickled; "
                "set the key again in this process, by argument or environment variable"
            )
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (_withheld, ())


def redact(text: str, secrets: Iterable[object]) -> str:
    """Return *text* with stars for each Secret, whole and without its first word."""
    for secret in secrets:
        if isinstance(secret, Secret) and secret._value:
            for part in (secret._value, secret._value.rpartition(" ")[2]):
                text = text.replace(part, "***") if len(part) > 3 else text
                if len(part) > 12 and (begin := text.find(part[:8])) >= 0:
                    text = text[:begin] + "***"  # a secret whose end was cut off with the text
    return text


def _withheld() -> Secret:
    secret = Secret("")
    secret._value = None
    return secret
