"""RPC messages made wrong: a seed and a number say each, so that any one can be made again alone.

Hypothesis would think as long about a message as the services about refusing it, and there is little to shrink.
Every change makes the message wrong whatever else was changed. Knows messages; knows nothing of who refuses them.
"""

import copy
import json
import random
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.lab.generated_requests import CASES, SEED

#: Messages of one run over all tests.
MESSAGES = 4 * CASES

Message = dict[str, Any]

_LETTERS = ("a", "Z", "0", " ", "/", "'", "%", "\n", "\x00", "\x7f", "é", "\u200b", "日", "\U0001f4be")
_NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 2**80)
_UNPLAIN = ("a\0b", "\0", "\ud800", "x\udfffy")
_UNKNOWN = ("", "x", "' OR 1=1 --", "a" * 5000, "../../etc")
_VERSIONS = ("2.0", "0.9", "1.99", "1", "1.", ".1", "1.0.0", "-1.0", " 1.0", "1.0\n", "x", "", "9" * 99)
_METHODS = ("__init__", "init_host", "stop", "_look", "service", "create_volume ", "RPC_METHODS", "")
_CONTEXT_TEXTS = ("user_id", "project_id", "request_id", "global_request_id")


def dice_of(name: str, number: int) -> random.Random:
    """What decides the message ``number`` of those that ``name`` names."""
    return random.Random(f"{SEED}/{name}/{number}")


def json_value(dice: random.Random, depth: int = 3) -> Any:
    """Anything that JSON has."""
    kind = dice.randrange(7 if depth else 5)
    if kind < 2:
        return (None, True, False, 0.5, -1e300)[dice.randrange(5)]
    if kind == 2:
        return dice.choice((*_NUMBERS, dice.randint(-(2**40), 2**40)))
    if kind < 5:
        return _text(dice)
    few = range(dice.randrange(4))
    if kind == 5:
        return [json_value(dice, depth - 1) for _ in few]
    return {_text(dice): json_value(dice, depth - 1) for _ in few}


def _text(dice: random.Random) -> str:
    return "".join(dice.choices(_LETTERS, k=dice.choice((0, 1, 3, 10, 40))))


def _json_but(kinds: type | tuple[type, ...], dice: random.Random) -> Any:
    """Anything that JSON has, but None and these kinds."""
    while (value := json_value(dice)) is None or isinstance(value, kinds):
        pass
    return value


def _version(dice: random.Random, message: Message, context: Message) -> None:
    message["version"] = dice.choice((dice.choice(_VERSIONS), _json_but(str, dice)))


def _namespace(dice: random.Random, message: Message, context: Message) -> None:
    message["namespace"] = _json_but((), dice)


def _method(dice: random.Random, message: Message, context: Message) -> None:
    message["method"] = dice.choice((dice.choice(_METHODS), json_value(dice)))


def _args(dice: random.Random, message: Message, context: Message) -> None:
    message["args"] = dice.choice(({}, _json_but(dict, dice)))


def _volume_id(dice: random.Random, message: Message, context: Message) -> None:
    unknown = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    wrong = (None, unknown, dice.choice(_UNKNOWN), dice.choice(_UNPLAIN), _json_but(str, dice))
    _argument(message, "volume_id", dice.choice(wrong))


def _operation_id(dice: random.Random, message: Message, context: Message) -> None:
    _argument(message, "operation_id", dice.choice((dice.choice(_UNPLAIN), _json_but(str, dice))))


def _unknown_argument(dice: random.Random, message: Message, context: Message) -> None:
    _argument(message, f"no_such_{_text(dice)}", json_value(dice))


def _no_volume_id(dice: random.Random, message: Message, context: Message) -> None:
    if isinstance(message["args"], dict):
        message["args"].pop("volume_id", None)


def _context_text(dice: random.Random, message: Message, context: Message) -> None:
    context[dice.choice(_CONTEXT_TEXTS)] = dice.choice((dice.choice(_UNPLAIN), _json_but(str, dice)))


def _is_admin(dice: random.Random, message: Message, context: Message) -> None:
    context["is_admin"] = _json_but(bool, dice)


def _roles(dice: random.Random, message: Message, context: Message) -> None:
    context["roles"] = _json_but(list, dice)


def _argument(message: Message, name: str, value: Any) -> None:
    """Set an argument, unless the arguments are wrong altogether."""
    if isinstance(message["args"], dict):
        message["args"][name] = value


MUTATIONS: tuple[Callable[[random.Random, Message, Message], None], ...] = (
    _version,
    _namespace,
    _method,
    _args,
    _volume_id,
    _operation_id,
    _unknown_argument,
    _no_volume_id,
    _context_text,
    _is_admin,
    _roles,
)


def mutate(dice: random.Random, message: Message, context: Mapping[str, Any]) -> tuple[Message, Message]:
    """A copy of a message about a volume, and of its context, with one to three things wrong."""
    wrong, said = copy.deepcopy(message), copy.deepcopy(dict(context))
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        dice.choice(MUTATIONS)(dice, wrong, said)
    return wrong, said


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a broker hands over: oslo.messaging's JSON (``oslo.version``, ``oslo.message``) and what AMQP says of it."""

    body: bytes
    content_type: str | None = "application/json"
    content_encoding: str | None = "utf-8"


def sealed(message: Mapping[str, Any], context: Mapping[str, Any], **more: Any) -> Envelope:
    """A cast as oslo.messaging puts it on the wire; ``more`` is told beside the message."""
    within = {
        **message,
        **{f"_context_{key}": value for key, value in context.items()},
        "_unique_id": uuid.uuid4().hex,
        **more,
    }
    return Envelope(json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(within)}).encode())


def _cut(dice: random.Random, envelope: Envelope) -> Envelope:
    return Envelope(envelope.body[: dice.randrange(len(envelope.body))])


def _spoiled(dice: random.Random, envelope: Envelope) -> Envelope:
    """With a byte that JSON has neither in a text nor outside."""
    at = dice.randrange(len(envelope.body))
    return Envelope(envelope.body[:at] + dice.choice((b"\x00", b"\x07", b"\xff", b"\xc3\x28")) + envelope.body[at:])


def _other_json(dice: random.Random, envelope: Envelope) -> Envelope:
    return Envelope(json.dumps(json_value(dice)).encode())


def _other_version(dice: random.Random, envelope: Envelope) -> Envelope:
    version = dice.choice(("1.0", "2.1", "3.0", "", "x", "2", _json_but(str, dice)))
    return Envelope(json.dumps({**json.loads(envelope.body), "oslo.version": version}).encode())


def _other_inside(dice: random.Random, envelope: Envelope) -> Envelope:
    inner = json.loads(envelope.body)["oslo.message"]
    wrong = dice.choice((json_value(dice), json.dumps(json_value(dice)), inner[: dice.randrange(len(inner))]))
    return Envelope(json.dumps({"oslo.version": "2.0", "oslo.message": wrong}).encode())


def _other_kind(dice: random.Random, envelope: Envelope) -> Envelope:
    """Of JSON kombu knows the encoding by itself, whatever the message says; so the kind is always another."""
    kind = dice.choice(("text/plain", "application/x-python-serialize", "application/x-yaml", "\x00"))
    return Envelope(envelope.body, kind, dice.choice(("utf-8", "x-no-such", "utf-16", "base64")))


ENVELOPES = (_cut, _spoiled, _other_json, _other_version, _other_inside, _other_kind)


def envelopes(name: str, count: int, message: Message, context: Mapping[str, Any]) -> Iterator[Envelope]:
    """So many wrong envelopes of a message; some are whole, of a wrong message with a wrong address for the answer."""
    for number in range(count):
        dice = dice_of(name, number)
        change = dice.randrange(len(ENVELOPES) + 2)
        if change < len(ENVELOPES):
            yield ENVELOPES[change](dice, sealed(message, context))
        else:
            wrong, said = mutate(dice, message, context)
            yield sealed(wrong, said, _reply_q=json_value(dice), _msg_id=json_value(dice), _timeout=json_value(dice))
