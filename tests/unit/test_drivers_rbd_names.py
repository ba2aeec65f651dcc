"""Whose image it is by its id."""

import pytest

from volumed_drivers.rbd.names import is_made_by


@pytest.mark.parametrize(
    ("client", "image_id"),
    [("101b", "101bff50fe2e"), ("101b", "101b7"), ("d6", "d60b9436"), ("1234567", "234567ff50fe2e"), ("f", "f1")],
)
def test_an_id_begins_with_the_number_of_the_client_that_made_it(client: str, image_id: str) -> None:
    assert is_made_by(client, image_id)


@pytest.mark.parametrize(
    ("client", "image_id"),
    [
        ("101b", "101cff50fe2e"),
        ("101b", "101b"),
        ("101b", "101bff50fe2e0"),
        ("101b", ""),
        ("1234567", "0234567ff50fe2"),
    ],
)
def test_other_ids_are_others(client: str, image_id: str) -> None:
    assert not is_made_by(client, image_id)
