"""A parser of what is nearly JSON: in time that grows with the text, and without invention.

Taken: comments, stray and missing commas, single and typographic quotes, quotes inside of
strings, line breaks in strings, bare keys and words, Python's and JSON5's literals, brackets that
are not closed. Refused: what has no reading, such as ``{"a", "b"}``, and what stands for something
that is not there, such as ``...`` and ``<value>``.
"""

from __future__ import annotations

import re
from typing import Any

MOST_DEPTH = 200

_SPACE = re.compile(r"(?:[\s,]+|//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_GAP = re.compile(r"(?:\s+|//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_KEY = re.compile(r"[^\W\d][\w$-]*")
_BARE = re.compile(r"[^\s,:{}\[\]\"“”<>][^,:{}\[\]\"“”<>\n]*")
_COMMENT = re.compile(r"//|/\*|\s#")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")
_HEX = re.compile(r"[+-]?0[xX][0-9a-fA-F]+\Z")
_WORDS: dict[str, Any] = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    "null": None,
    "None": None,
    "NULL": None,
    "nil": None,
    "undefined": None,
}
_CONSTANT = re.compile(r"[+-]?(?:NaN|nan|Infinity|inf|Inf)\Z")
_CLOSES = {'"': '"', "'": "'", "“": "”"}
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\n": ""}
_ESCAPES.update({sign: sign for sign in "\"'/\\"})
_HEX4 = re.compile(r"[0-9a-fA-F]{4}")
_QUOTED = r"""(?:"[^"\n]*"|'[^'\n]*'|[^\W\d][\w$-]*)\s*:"""
# What may stand behind the quote that ends a string: of a key, of a value, of an item.
_END_OF = {
    "key": re.compile(r"\s*(?::|\Z)"),
    "value": re.compile(
        rf"\s*(?:\}}|\]|\Z|//|/\*|,\s*(?:[\"'“}}\]]|//|/\*|#|\Z|{_QUOTED})|{_QUOTED})"
    ),
    "item": re.compile(r"""\s*(?:[,\]}"'“]|\Z|//|/\*)"""),
}


class Unreadable(ValueError):
    """A text that has no reading as JSON."""


class Lenient:
    """Reads one object or array.

    Args:
        text: It begins with a bracket.

    Attributes:
        is_cut: Whether the text ended before the last bracket was closed.
    """

    def __init__(self, text: str) -> None:
        self._text, self._place, self._depth = text, 0, 0
        self.is_cut = False

    def read(self) -> Any:
        """Return the value.

        Raises:
            Unreadable: It has no reading, holds NaN or an infinity, or is nested too deeply.
        """
        return self._container()

    def _container(self) -> Any:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise Unreadable("it is nested too deeply")
        is_object = self._text[self._place] == "{"
        self._place += 1
        value = self._object() if is_object else self._array()
        self._depth -= 1
        return value

    def _object(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not self._is_over("}"):
            key = self._key()
            self._skip(_GAP)
            if self._sign() != ":":
                if not self._sign():
                    self.is_cut = True
                    return found
                raise Unreadable(f"there is no colon after the key {key[:40]!r}")
            self._place += 1
            self._skip(_GAP)
            if self._sign() and self._sign() in ",}":
                found[key] = ""
            elif self._sign():
                found[key] = self._value("value")
            else:
                self.is_cut = True
        return found

    def _array(self) -> list[Any]:
        found: list[Any] = []
        while not self._is_over("]"):
            found.append(self._value("item"))
        return found

    def _is_over(self, closing: str) -> bool:
        """Step over what separates, and over the closing bracket if it stands there."""
        self._skip(_SPACE)
        sign = self._sign()
        if not sign:
            self.is_cut = True
            return True
        if sign not in "]}":
            return False
        if sign == closing or self._depth == 1:
            self._place += 1
        return True  # another's bracket closes this one too

    def _key(self) -> str:
        if self._sign() in _CLOSES:
            return self._string("key")
        found = _KEY.match(self._text, self._place)
        if found is None:
            raise Unreadable(f"there is no key in {self._shown()}")
        self._place = found.end()
        return found[0]

    def _value(self, where: str) -> Any:
        sign = self._sign()
        if sign in "{[":
            return self._container()
        if sign in _CLOSES:
            return self._string(where)
        found = _BARE.match(self._text, self._place)
        if found is None:
            raise Unreadable(f"there is no value in {self._shown()}")
        comment = _COMMENT.search(found[0])
        bare = found[0][: comment.start()] if comment else found[0]
        self._place = found.start() + len(bare)
        self.is_cut = self.is_cut or self._place == len(self._text)
        return _literal(self._without_next_key(bare.strip(), found.start(), where))

    def _without_next_key(self, bare: str, start: int, where: str) -> str:
        """Give back ``b`` of ``1 b: 2``, where a comma was left out."""
        if where == "value" and self._sign() == ":" and " " in bare:
            bare, _, key = bare.rpartition(" ")
            self._place = self._text.rindex(key, start, self._place)
        return bare.strip()

    def _string(self, where: str) -> str:
        text, quote = self._text, self._text[self._place]
        closing, parts = _CLOSES[quote], []
        ends = _END_OF[where]
        stop = re.compile(r"[\\" + closing + "]") if closing != '"' else _STOP
        place = self._place + 1
        while (found := stop.search(text, place)) is not None:
            parts.append(text[place : found.start()])
            place = found.end()
            if found[0] == closing:
                if ends.match(text, place):
                    self._place = place
                    return _joined(parts)
                parts.append(closing)
            else:
                part, place = _escaped(text, place)
                parts.append(part)
        parts.append(text[place:])
        self._place, self.is_cut = len(text), True
        return _joined(parts)

    def _skip(self, what: re.Pattern[str]) -> None:
        found = what.match(self._text, self._place)
        self._place = found.end() if found else self._place

    def _sign(self) -> str:
        return self._text[self._place : self._place + 1]

    def _shown(self) -> str:
        return repr(self._text[self._place : self._place + 40])


_STOP = re.compile(r'[\\"]')


def _escaped(text: str, place: int) -> tuple[str, int]:
    """Return what follows a backslash, and where it ends; one that means nothing is kept."""
    sign = text[place : place + 1]
    if sign == "u" and (code := _HEX4.match(text, place + 1)):
        return chr(int(code[0], 16)), place + 5
    return _ESCAPES.get(sign, "\\" + sign), place + 1


def _joined(parts: list[str]) -> str:
    text = "".join(parts)
    if any("\ud800" <= sign <= "\udfff" for sign in text):  # pairs become one letter
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text


def _literal(bare: str) -> Any:
    if bare in _WORDS:
        return _WORDS[bare]
    if _CONSTANT.match(bare):
        raise Unreadable("NaN and infinities are not JSON")
    if _HEX.match(bare):
        return int(bare, 16)
    if _NUMBER.match(bare):
        return _number(bare)
    if not bare or bare.strip(".…") == "" or "..." in bare or "…" in bare:
        raise Unreadable(f"{bare!r} stands for something that is not there")
    return bare


def _number(bare: str) -> int | float:
    if bare.lstrip("+-").isdigit():
        return int(bare)  # ValueError beyond the digits that Python takes
    value = float(bare)
    if value in (float("inf"), float("-inf")):
        raise Unreadable(f"{bare[:40]} is larger than any number that can be kept")
    return value
