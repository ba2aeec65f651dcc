"""Addresses and connectors as they are written, and as they are known."""

from types import SimpleNamespace
from typing import Any

import pytest

from volumed.model.credentials import is_same_connector
from volumed_drivers.targets.lio.backstores import _refuse_callers_link
from volumed_drivers.targets.lio.requests import Refused
from volumed_drivers.targets.portals import addresses_of, portals_of


def test_an_address_is_one_however_it_is_written() -> None:
    written = SimpleNamespace(
        target_ip_address="2001:DB8:0::1", iscsi_secondary_ip_addresses=["2001:db8::1", "192.0.2.7", "storage.example"]
    )
    addresses = addresses_of(written)
    assert addresses == ["2001:db8::1", "192.0.2.7", "storage.example"]
    assert portals_of(addresses, 3260)[0] == "[2001:db8::1]:3260"


@pytest.mark.parametrize(
    ("known", "asked", "is_same"),
    [
        ({"initiator": "iqn.a:1", "host": "h"}, {"initiator": "IQN.a:1", "host": "h"}, True),
        ({"initiator": "iqn.a:1", "host": "h"}, {"initiator": "iqn.a:1", "host": "other"}, False),
        ({"host": "h"}, {"host": "other"}, False),
        ({"host": "h"}, {"host": "h", "initiator": None}, True),
    ],
)
def test_a_connector_is_an_initiator_on_a_host(known: Any, asked: Any, is_same: bool) -> None:
    assert is_same_connector(known, asked) is is_same


def test_a_device_in_a_folder_of_others_is_not_exported(tmp_path: Any) -> None:
    _refuse_callers_link("/dev/null")
    tmp_path.chmod(0o777)
    with pytest.raises(Refused, match="others than root may write to"):
        _refuse_callers_link(f"{tmp_path}/link")
