"""A position in the tokens of a line, and the errors of whoever reads there."""

from __future__ import annotations

from fusemap.diagnostics import InputError, Span
from fusemap.einsum_cascade.lexer import Token, tokens_of
from fusemap.einsum_cascade.operators import RESERVED, Operators
from fusemap.einsum_cascade.source import Source


class Cursor:
    """Reads the tokens of one line from left to right."""

    def __init__(self, source: Source, line: int, operators: Operators) -> None:
        self.source = source
        self.operators = operators
        self._tokens = tokens_of(source, line)
        self._at = 0

    @property
    def token(self) -> Token:
        """The next token, not yet taken."""
        return self._tokens[self._at]

    def peek(self, ahead: int = 1) -> Token:
        """The token `ahead` places behind the next one (the `end` token past the line)."""
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next token, which is now taken."""
        token = self.token
        if token.kind != "end":
            self._at += 1
        return token

    def at(self, *texts: str) -> bool:
        """Is the next token one of these operators or words?"""
        return self.token.kind in ("op", "name") and self.token.text in texts

    def accept(self, text: str) -> bool:
        """Take the next token if it is `text`."""
        found = self.at(text)
        if found:
            self.take()
        return found

    def expect(self, text: str, hint: str = "") -> Token:
        """Take `text` or fail."""
        if not self.at(text):
            raise self.unexpected(f"'{text}'", hint)
        return self.take()

    def name(self, what: str) -> Token:
        """Take a name that is no keyword; `what` says what it should be."""
        if self.token.kind != "name":
            raise self.unexpected(what)
        if self.token.text in RESERVED:
            raise self.error(self.token, f"expected {what}, found the keyword {self.token.text}")
        return self.take()

    def cased(self, what: str, *, upper: bool) -> Token:
        """Take a name whose first letter is upper-case or lower-case, or fail with the other spelling."""
        token = self.name(what)
        if token.text[0].isupper() != upper:
            rule = "an upper-case" if upper else "a lower-case"
            other = token.text.upper() if upper else token.text.lower()
            hint = f"{what} starts with {rule} letter: did you mean {other}?"
            raise self.error(token, f"expected {what}, found {token.text}", hint)
        return token

    def end(self, expected: str, hint: str = "") -> None:
        """Fail unless the line is used up."""
        if self.token.kind != "end":
            raise self.unexpected(expected, hint)

    def span(self, first: Token) -> Span:
        """From `first` to the last token taken."""
        last = self._tokens[max(self._at - 1, 0)]
        length = max(1, last.end - first.column)
        return Span(file=self.source.file, line=first.line, column=first.column, length=length)

    def unexpected(self, expected: str, hint: str = "") -> InputError:
        """The error at the next token, which is not what was expected."""
        return self.error(self.token, f"expected {expected}, found {self.token.described()}", hint)

    def error(self, token: Token, message: str, hint: str = "") -> InputError:
        """An error at `token`."""
        span = Span(file=self.source.file, line=token.line, column=token.column, length=max(1, len(token.text)))
        return self.error_at(span, message, hint)

    def error_at(self, span: Span, message: str, hint: str = "") -> InputError:
        """An error at `span`."""
        return InputError((self.source.diagnostic(span, message, hint),))
