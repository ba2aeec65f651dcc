"""Requests made by Schemathesis from the published document: right ones, wrong ones, and what is in between.

Left to itself it would ask strangers' questions about things that do not exist. So most requests get a caller, a
microversion and the ids of what is there; which ones is drawn with the request, so that a seed says all.
"""

import functools
import json
import os
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, openapi
from schemathesis.core import NotSet

from volumed.api.openapi.document import document

#: Cases of one run over all operations, unless the environment says otherwise.
CASES = int(os.environ.get("VOLUMED_FUZZ", "5000"))

_told = os.environ.get("VOLUMED_SEED", "4")

#: Says the same run again. Every run is the same, unless the environment says another seed, or ``random``.
SEED = random.SystemRandom().randrange(2**32) if _told == "random" else int(_told)

_TOKENS = ("admin:p1", "admin:p1", "alice:p1", "mallory:p2")
_VERSIONS = tuple(f"volume {each}" for each in ("3.66", "latest", "3.0", "3.26", "3.40", "3.53", "3.60"))
_HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff]*")

#: Fields of bodies and parameters of paths that are ids, by what they are ids of.
IDS: Mapping[str, str] = {
    "resource_id": "",
    "volume_id": "volumes",
    "volume_uuid": "volumes",
    "source_volid": "volumes",
    "snapshot_id": "snapshots",
    "attachment_id": "attachments",
    "type_id": "types",
    "volume_type": "types",
    "operation_id": "operations",
    "project_id": "projects",
    "class_name": "classes",
    "key": "keys",
    "host": "hosts",
    "binary": "binaries",
}

#: Gives an id of the kind that is asked for, the one that the number picks; None where there is none.
Known = Callable[[str, int], str | None]


@dataclass(frozen=True, slots=True)
class Manners:
    """How a request is dressed: the caller, the version, and which of the known ids it uses (None: its own)."""

    token: str | None
    version: str | None
    key: str | None
    pick: int | None


_MANNERS = st.builds(
    Manners,
    token=st.sampled_from((*_TOKENS, None)),
    version=st.sampled_from((*_VERSIONS, None)),
    key=st.sampled_from((None, None, None, "one", "two")),
    pick=st.integers(0, 9) | st.integers(0, 9) | st.integers(0, 9) | st.none(),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it goes over the wire, without the host."""

    method: str
    template: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes | None


def labels() -> list[str]:
    """Every operation of the document, as ``METHOD /path``."""
    paths = document()["paths"]
    return [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]


def share_of_each(cases: int) -> int:
    """How many cases of each operation make so many of all."""
    return -(-cases // len(labels()))


@functools.cache
def _schema() -> Any:
    return openapi.from_dict(document())


def requests_of(label: str, cases: int, known: Known, ask: Callable[[Request], None]) -> None:
    """Hand ``cases`` requests of one operation to ``ask``; a failure tells the smallest request that shows it."""
    method, path = label.split(" ", 1)
    operation = _schema()[path][method]
    right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)

    @seed(SEED)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=right | wrong, manners=_MANNERS)
    def run(case: Any, manners: Manners) -> None:
        ask(_request(path, case, manners, known))

    print(f"{label}: VOLUMED_SEED={SEED} says the same requests again")
    run()


def _request(template: str, case: Any, manners: Manners, known: Known) -> Request:
    path = template
    collection = template.split("/")[2] if template.count("/") > 1 else ""
    for name, value in (case.path_parameters or {}).items():
        mine = _known(name, collection, manners, known)
        path = path.replace(f"{{{name}}}", quote(str(value) if mine is None else mine, safe="", errors="replace"))
    query = urlencode(case.query or {}, doseq=True, errors="replace")
    return Request(case.method, template, path, query, _headers(case, manners), _body(case.body, manners, known))


def _known(name: str, collection: str, manners: Manners, known: Known) -> str | None:
    if manners.pick is None or name not in IDS:
        return None
    return known(IDS[name] or collection, manners.pick)


def _headers(case: Any, manners: Manners) -> dict[str, str]:
    found = {
        str(name): str(value)
        for name, value in (case.headers or {}).items()
        if _HEADER_NAME.fullmatch(str(name)) and _HEADER_VALUE.fullmatch(str(value)) and str(value).strip()
    }
    dressed = {"X-Auth-Token": manners.token, "OpenStack-API-Version": manners.version, "Idempotency-Key": manners.key}
    names = {name.lower() for name in dressed if dressed[name] is not None} | {"content-length", "transfer-encoding"}
    kept = {name: value for name, value in found.items() if name.lower() not in names}
    return kept | {name: value for name, value in dressed.items() if value is not None}


def _body(body: Any, manners: Manners, known: Known) -> bytes | None:
    if isinstance(body, NotSet):
        return None
    if isinstance(body, bytes):
        return body
    return json.dumps(_with_ids(body, manners, known), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _with_ids(value: Any, manners: Manners, known: Known) -> Any:
    if isinstance(value, list):
        return [_with_ids(inner, manners, known) for inner in value]
    if not isinstance(value, dict):
        return value
    return {key: _inner(key, inner, manners, known) for key, inner in value.items()}


def _inner(key: str, value: Any, manners: Manners, known: Known) -> Any:
    mine = _known(key, "", manners, known) if isinstance(value, str) and IDS.get(key) else None
    return _with_ids(value, manners, known) if mine is None else mine
