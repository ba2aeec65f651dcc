"""Whether an export that is found is the one that is wanted."""

from collections.abc import Collection, Sequence

from volumed.driver.interface import EVERYBODY, Access, ActualExport


def is_as_wanted(found: ActualExport | None, wanted: Sequence[Access] | None) -> bool:
    """Whether ``found`` lets in exactly ``wanted``; None: no export. A password is nowhere to be read."""
    if found is None or wanted is None:
        return found is None and wanted is None
    return (
        found.path is not None
        and found.usernames == {access.username for access in wanted}
        and _let_in(found.initiators) == _let_in({access.initiator or EVERYBODY for access in wanted})
    )


def _let_in(initiators: Collection[str]) -> frozenset[str]:
    """Names of initiators in lower case, as they are on the wire (RFC 7143, 4.2.7)."""
    return frozenset({EVERYBODY} if EVERYBODY in initiators else (name.lower() for name in initiators))
