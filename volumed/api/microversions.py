"""Which microversion a request asks for, and the ones by name that change an answer.

Source: the Block Storage API's "REST API Version History".
"""

import re

from volumed.model.errors import VolumedError

MINIMUM = 0
MAXIMUM = 66

SERVICE = "volume"
HEADER = "OpenStack-API-Version"

BOOTABLE_FILTER_STRICT = 2
CLUSTER = 7
MANAGE_LIST = 8
GROUP_FILTER = 10
SUMMARY = 12
GROUPS = 13
GROUP_SNAPSHOTS = 14
METADATA_ETAG = 15
PROVIDER_ID = 21
SNAPSHOT_METADATA_FILTER = 22
DELETE_FORCE = 23
ATTACHMENTS = 27
POOL_FILTERS = 28
SNAPSHOT_SORT_BY_NAME = 30
FILTERS_CHECKED = 31
RESOURCE_FILTERS = 33
LIKE_FILTERS = 34
POOL_TYPE_FILTER = 35
SUMMARY_METADATA = 36
LIMITS_OF_PROJECT = 39
REVERT = 40
SNAPSHOT_USER = 41
EXTEND_IN_USE = 42
ATTACHMENT_COMPLETE = 44
COUNT = 45
SERVICE_OF_VOLUME = 48
BACKEND_STATE = 49
TYPE_FILTER_BY_SPECS = 52
SCHEMAS_STRICT = 53
ATTACHMENT_MODE = 54
TIME_FILTERS = 60
CLUSTER_NAME = 61
TYPE_ID = 63
CONSUMES_QUOTA = 65
SNAPSHOT_WITHOUT_FORCE = 66

_FORM = re.compile(r"([0-9]{1,9})\.([0-9]{1,9})")


class InvalidMicroversion(VolumedError):
    """The header is not a version (HTTP 400)."""

    message = "API Version String {asked} is of invalid format. Must be of format MajorNum.MinorNum."


class UnsupportedMicroversion(VolumedError):
    """There is no such version here (HTTP 406)."""

    message = "Version {asked} is not supported by the API. Minimum is {minimum} and maximum is {maximum}."


def minor_of(header: str | None) -> int:
    """The minor number that the header asks for; without one the first. Other services' parts are ignored."""
    for part in (header or "").split(","):
        service, _, asked = part.strip().partition(" ")
        if service.lower() == SERVICE:
            return _minor(asked.strip())
    return MINIMUM


def _minor(asked: str) -> int:
    if asked == "latest":
        return MAXIMUM
    form = _FORM.fullmatch(asked)
    if form is None:
        raise InvalidMicroversion(asked=asked[:40])
    major, minor = int(form[1]), int(form[2])
    if major != 3 or not MINIMUM <= minor <= MAXIMUM:
        raise UnsupportedMicroversion(asked=asked[:40], minimum=spelled(MINIMUM), maximum=spelled(MAXIMUM))
    return minor


def spelled(minor: int) -> str:
    """The version as a client writes it."""
    return f"3.{minor}"
