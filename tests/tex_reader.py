"""A reader of formulas that knows nothing of cascades: the oracle for parentheses in exported LaTeX."""

from __future__ import annotations

import re
from typing import TypeAlias

Tree: TypeAlias = "str | tuple[Tree, ...]"
_TOKEN = re.compile(r"\s*(\\left[(|]|\\right[)|]|\\mathrm\{\w+\}|\\[a-z]+|[A-Z]\w*|\d+(?:\.\d+)?|[-+^{},e])")


class _Reader:
    def __init__(self, tex: str) -> None:
        self.tokens: list[str] = _TOKEN.findall(tex)
        assert "".join(self.tokens) == tex.replace(" ", ""), "a token is not known"

    def take(self, token: str | None = None) -> str:
        found = self.tokens.pop(0)
        assert token in (None, found), f"expected {token}, found {found}"
        return found

    def at(self, *tokens: str) -> bool:
        return bool(self.tokens) and self.tokens[0] in tokens

    def sum(self) -> Tree:
        """Products with signs between them and perhaps in front, from left to right."""
        left: Tree = ("neg", self._product()) if self.at("-") and self.take() else self._product()
        while self.at("+", "-"):
            name = "add" if self.take() == "+" else "sub"
            left = (name, left, self._product())
        return left

    def _product(self) -> Tree:
        left = self._power()
        while self.at(r"\cdot", r"\times"):
            self.take()
            left = ("mul", left, self._power())
        return left

    def _power(self) -> Tree:
        if self.at("e"):
            self.take()
            self.take("^")
            return ("exp", self._braced())
        base = self._atom()
        if self.at("^"):
            self.take()
            return ("pow", base, self._braced())
        return base

    def _atom(self) -> Tree:
        token = self.take()
        if token == r"\left(":
            inner = self.sum()
            self.take(r"\right)")
            return inner
        if token == r"\left|":
            inner = self.sum()
            self.take(r"\right|")
            return ("abs", inner)
        if token == r"\frac":
            return ("div", self._braced(), self._braced())
        if token == r"\sqrt":
            return ("sqrt", self._braced())
        if token.startswith("\\"):
            return (re.sub(r"\\mathrm\{|[\\}]", "", token), *self._arguments())
        assert token[0].isalnum(), f"unexpected {token}"
        return token

    def _braced(self) -> Tree:
        self.take("{")
        inner = self.sum()
        self.take("}")
        return inner

    def _arguments(self) -> list[Tree]:
        self.take(r"\left(")
        found = [self.sum()]
        while self.at(","):
            self.take()
            found.append(self.sum())
        self.take(r"\right)")
        return found


def read_tree(tex: str) -> Tree:
    """The tree of a formula: multiplication before addition, left to right, as any reader does."""
    reader = _Reader(tex)
    found = reader.sum()
    assert not reader.tokens, f"left over: {reader.tokens}"
    return found
