"""What Ceph's modules raise, said in the backend's family.

Knows error numbers; knows nothing of images.
"""

import errno

from volumed.driver.errors import (
    BackendBusy,
    BackendError,
    BackendFull,
    BackendInvalid,
    BackendNotFound,
    BackendUnreachable,
    OutcomeUnknown,
)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_INVALID = frozenset({errno.EINVAL, errno.EDOM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EFBIG, errno.ERANGE})
_REFUSED = frozenset({errno.EPERM, errno.EACCES})

#: librbd's word for an image whose exclusive lock it could not get: nobody answered, or we are cut off.
_UNLOCKED = errno.EROFS

#: After these the connection is not to be trusted any more: no answer, cut off, another key.
_LOST = frozenset({errno.ETIMEDOUT, errno.ESHUTDOWN, errno.ENOTCONN, _UNLOCKED, *_REFUSED})


def number(error: Exception) -> int:
    """The positive error number; 0 where there is none."""
    return abs(int(getattr(error, "errno", 0) or 0))


def is_missing(error: Exception) -> bool:
    return number(error) == errno.ENOENT


def is_there(error: Exception) -> bool:
    return number(error) == errno.EEXIST


def is_drawn_twice(error: Exception) -> bool:
    """Another image has the id that librbd drew for a new one (cls_rbd, ``dir_add_image``; met with 20,000 images)."""
    return number(error) == errno.EBADF


def is_not_as_compared(error: Exception) -> bool:
    """A compound request was refused whole, since an entry is not what it was compared with."""
    return number(error) == errno.ECANCELED


def is_full(error: Exception) -> bool:
    return number(error) in _FULL


def is_half_moved(error: Exception) -> bool:
    """librbd's word for an image that is on its way into the trash, or out of it, since somebody was interrupted."""
    return number(error) == errno.EUCLEAN


def is_forbidden(error: Exception) -> bool:
    """The key has no right to it."""
    return number(error) in _REFUSED


def is_lost(error: Exception) -> bool:
    """Whether the connection should be made anew."""
    return number(error) in _LOST or type(error).__name__ == "RadosStateError"


def translated(backend: str, what: str, error: Exception, changes: bool) -> BackendError:
    """``changes``: the call changes something, so that nobody knows what an unanswered one did."""
    found, reason = number(error), " ".join(str(error).split())
    if found == errno.ENOENT:
        return BackendNotFound(what=what, backend=backend)
    if found == errno.EBUSY:
        return BackendBusy(what=what, backend=backend, reason=reason)
    if found in _FULL:
        return BackendFull(backend=backend, what=what, reason=f"the pool is full or at its quota ({reason})")
    if found in _INVALID:
        return BackendInvalid(backend=backend, what=what, reason=reason)
    if found in _REFUSED:
        return BackendUnreachable(
            backend=backend, reason=f"{what}: the key does not allow it or is not valid ({reason})"
        )
    if found == _UNLOCKED:
        return BackendUnreachable(backend=backend, reason=f"{what}: the image's lock was not to be had ({reason})")
    if found == errno.ETIMEDOUT and changes:
        return OutcomeUnknown(what=what, backend=backend, reason=f"no answer of the cluster in time ({reason})")
    return BackendUnreachable(backend=backend, reason=f"{what}: {reason}")
