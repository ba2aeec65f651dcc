"""Errors, contexts and places: small values that every room hands around."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumed.model import errors
from volumed.model.context import RequestContext
from volumed.model.errors import VolumedError
from volumed.model.host import backend_of, place, pool_of


def subclasses(of: type[VolumedError]) -> list[type[VolumedError]]:
    found = [each for each in of.__subclasses__() if each.__module__ == errors.__name__]
    return found + [deeper for each in found for deeper in subclasses(each)]


def fields_of(kind: type[VolumedError]) -> dict[str, str]:
    return {name: f"the {name}" for _, name, _, _ in string.Formatter().parse(kind.message) if name}


@pytest.mark.parametrize("kind", subclasses(VolumedError), ids=lambda kind: kind.__name__)
def test_every_error_is_one_sentence_with_all_its_fields(kind: type[VolumedError]) -> None:
    fields = fields_of(kind)
    error = kind(**fields)
    assert all(value in str(error) for value in fields.values())
    assert "{" not in str(error)
    assert error.as_record() == {"type": kind.__name__, "message": str(error)}
    assert error.kwargs == fields
    assert str(kind(str(error), **fields)) == str(error)  # as it comes from the wire


@pytest.mark.parametrize("kind", [kind for kind in subclasses(VolumedError) if fields_of(kind)])
def test_an_error_without_its_fields_cannot_be_made(kind: type[VolumedError]) -> None:
    with pytest.raises(KeyError):
        kind()


def test_only_a_backends_errors_know_whether_another_may_do_better() -> None:
    elsewhere = {kind.__name__ for kind in subclasses(errors.BackendError) if kind.retry_elsewhere}
    assert elsewhere == {"BackendFull", "BackendUnreachable", "OutcomeUnknown"}


TEXTS = st.text(min_size=1, max_size=20)
CONTEXTS = st.builds(
    RequestContext,
    user_id=TEXTS,
    project_id=TEXTS,
    is_admin=st.booleans(),
    request_id=TEXTS,
    roles=st.lists(TEXTS, max_size=3).map(tuple),
    global_request_id=st.none() | TEXTS,
)


@given(CONTEXTS)
def test_a_context_survives_the_wire(context: RequestContext) -> None:
    assert RequestContext.from_dict(context.to_dict()) == context


@given(CONTEXTS, st.dictionaries(TEXTS.map(lambda key: f"x-{key}"), st.integers(), max_size=3))
def test_keys_of_another_release_are_ignored(context: RequestContext, more: dict[str, int]) -> None:
    assert RequestContext.from_dict(context.to_dict() | more) == context


def test_a_context_in_the_old_words_is_understood() -> None:
    context = RequestContext.from_dict({"user": "alice", "tenant": "p", "request_id": "req-1"})
    assert (context.user_id, context.project_id, context.is_admin) == ("alice", "p", False)


def test_a_context_without_anything_is_nobody() -> None:
    context = RequestContext.from_dict({})
    assert (context.user_id, context.project_id, context.request_id) == ("unknown", "unknown", "req-unknown")
    assert not context.is_admin


NAMES = st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=20)


@given(NAMES, NAMES, NAMES)
def test_a_place_is_taken_apart_as_it_was_put_together(host: str, backend: str, pool: str) -> None:
    service = f"{host}@{backend}"
    assert backend_of(place(service, pool)) == service
    assert pool_of(place(service, pool)) == pool


@given(NAMES)
def test_a_service_alone_names_no_pool(host: str) -> None:
    assert (backend_of(host), pool_of(host), pool_of(f"{host}#")) == (host, None, None)
