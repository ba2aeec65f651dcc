"""Credentials are taken out of a connection and put in again; what another method says of its user stays."""

from volumed.model.credentials import new_credentials, with_credentials, without_credentials

CHAP = {"auth_method": "CHAP", "auth_username": "name", "auth_password": "word"}


def test_chap_is_stored_without_its_words_and_answered_with_them() -> None:
    told = {"driver_volume_type": "iscsi", "data": {"target_lun": 1} | CHAP}
    stored = without_credentials(told)
    assert stored["data"] == {"target_lun": 1, "auth_method": "CHAP"}
    assert with_credentials(stored, {"username": "name", "password": "word"}) == told
    assert with_credentials(stored, None) == stored


def test_the_user_of_a_ceph_cluster_is_told_as_the_driver_said_it() -> None:
    told = {"driver_volume_type": "rbd", "data": {"name": "pool/volume", "auth_username": "volumed"}}
    assert without_credentials(told) == told
    assert with_credentials(told, {"username": "name", "password": "word"}) == told


def test_no_generated_name_is_taken_for_a_number() -> None:
    assert "0" not in "".join(new_credentials()["username"] for _ in range(500))
