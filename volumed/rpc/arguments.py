"""The arguments of a message against what the method takes: names, types, and values that any database can hold.

Knows annotations of plain values; knows no method.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Union

from volumed.model.context import RequestContext
from volumed.model.errors import InvalidMessage

#: Values in values in an argument at most.
DEEPEST: Final = 32

#: The whole numbers that every database has.
_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Signature:
    """A method's parameters with the types of those that messages name."""

    parameters: inspect.Signature
    hints: Mapping[str, Any]

    @classmethod
    def of(cls, method: Callable[..., Any]) -> "Signature":
        """Of a method that takes the context first."""
        return cls(inspect.signature(method), typing.get_type_hints(method))

    def bind(self, method: str, context: RequestContext, args: Any) -> inspect.BoundArguments:
        """The call with ``args``. Raises ``InvalidMessage`` naming what is wrong with them."""
        args = {} if args is None else args
        if not isinstance(args, Mapping) or not all(isinstance(key, str) for key in args):
            raise InvalidMessage(method=method, reason="its arguments are not a mapping of names")
        try:
            bound = self.parameters.bind(context, **args)
        except TypeError as error:
            raise InvalidMessage(method=method, reason=str(error)) from None
        for name, value in args.items():
            if not _fits(value, self.hints.get(name, Any)) or not is_plain(value):
                raise InvalidMessage(method=method, reason=f"its argument {name[:40]} is not what the method takes")
        return bound


def is_plain(value: Any, depth: int = DEEPEST) -> bool:
    """Whether every database can hold the value: text without NUL and lone surrogates, whole numbers of 64 bits."""
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, int):
        return _LEAST <= value <= _MOST
    if isinstance(value, Mapping):
        return depth > 0 and all(is_plain(key) and is_plain(inner, depth - 1) for key, inner in value.items())
    if isinstance(value, Sequence):
        return depth > 0 and all(is_plain(inner, depth - 1) for inner in value)
    return True


def _fits(value: Any, hint: Any) -> bool:
    """Whether the value is of the annotated type; what is in lists and objects is the method's to check."""
    origin = typing.get_origin(hint)
    if origin in {Union, types.UnionType}:
        return any(_fits(value, one) for one in typing.get_args(hint))
    if hint in {Any, object}:
        return True
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)
