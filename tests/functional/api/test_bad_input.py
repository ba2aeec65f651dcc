"""Bad input is answered with 400, 404, 405, 406 or 413 and the field, changes nothing, and is never a 5xx."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.functional.api.stage import Api, PlayedManager

ID = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "size"),
        ({"size": None}, "size"),
        ({"size": 0}, "size"),
        ({"size": -1}, "size"),
        ({"size": 1.5}, "size"),
        ({"size": 1.0}, "size"),
        ({"size": True}, "size"),
        ({"size": "many"}, "size"),
        ({"size": "1\n"}, "size"),
        ({"size": 65537}, "65536 GiB"),
        ({"size": 2**63}, "65536 GiB"),
        ({"size": 2**64 - 1}, "65536 GiB"),
        ({"size": 1, "name": "a\x00b"}, "name"),
        ({"size": 1, "name": "a\nb"}, "name"),
        ({"size": 1, "name": "x" * 256}, "name"),
        ({"size": 1, "name": 7}, "name"),
        ({"size": 1, "description": "\x1b[31m"}, "description"),
        ({"size": 1, "metadata": {"k": 1}}, "metadata/k"),
        ({"size": 1, "metadata": {"": "v"}}, "metadata"),
        ({"size": 1, "metadata": {"k": "v" * 256}}, "metadata/k"),
        ({"size": 1, "metadata": []}, "metadata"),
        ({"size": 1, "nmae": "typo"}, "nmae"),
        ({"size": 1, "snapshot_id": "x"}, "snapshot_id"),
        ({"size": 1, "snapshot_id": ID, "source_volid": ID}, "source_volid"),
        ({"size": 1, "availability_zone": "mars"}, "mars"),
        ({"size": 1, "imageRef": ID}, "imageRef"),
        ({"size": 1, "image_id": ID}, "image_id"),
        ({"size": 1, "backup_id": ID}, "backup_id"),
        ({"size": 1, "consistencygroup_id": ID}, "consistencygroup_id"),
        ({"size": 1, "multiattach": "maybe"}, "multiattach"),
    ],
)
def test_a_wrong_volume_is_refused_by_name_and_nothing_is_written(
    api: Api, manager: PlayedManager, asked: dict[str, Any], field: str
) -> None:
    answer = api.ask("POST", "/v3/volumes", {"volume": asked})
    assert answer.status_code == 400
    assert answer.json["badRequest"]["code"] == 400
    assert field in answer.json["badRequest"]["message"]
    assert manager.live() == []
    assert api.get("/v3/limits")["limits"]["absolute"]["totalVolumesUsed"] == 0


@pytest.mark.parametrize("name", ["volume_type", "snapshot_id", "source_volid"])
def test_what_does_not_exist_is_named(api: Api, name: str) -> None:
    answer = api.ask("POST", "/v3/volumes", {"volume": {"size": 1, name: ID}})
    assert answer.status_code == 404
    assert ID in answer.json["itemNotFound"]["message"]


def test_known_fields_may_be_null(api: Api) -> None:
    nulls = ("consistencygroup_id", "backup_id", "imageRef", "snapshot_id", "source_volid", "availability_zone")
    named = dict.fromkeys((*nulls, "name", "description", "volume_type", "metadata", "group_id", "multiattach"))
    api.post("/v3/volumes", {"volume": {"size": "1", **named}})


def test_older_clients_may_send_what_the_service_sets(api: Api) -> None:
    asked = {"volume": {"size": 1, "user_id": None, "project_id": "x", "status": "creating", "attach_status": "no"}}
    api.at("3.52").post("/v3/volumes", asked)
    api.at("3.53").post("/v3/volumes", asked, 400)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b"7", b'"x"', b'{"volume": null}', b'{"volume": []}', b'{"volume": {}, "x": 1}'),
        *(b'{"volume": {"name": "\xff\xfe", "size": 1}}', b'{"volume": {"name": "\\ud800", "size": 1}}'),
        *(b'{"volume": {"size": 1e400}}', b'{"volume": {"size": NaN}}', b"[" * 5000, b'{"a":' * 5000),
    ],
)
def test_a_body_that_is_not_one_is_refused(api: Api, body: bytes) -> None:
    for method, path in (
        *(("POST", "/v3/volumes"), ("POST", "/v3/snapshots"), ("POST", "/v3/attachments"), ("POST", "/v3/types")),
    ):
        answer = api.as_user("admin:p1").ask(method, path, body)
        assert answer.status_code == 400, (method, path, answer.text)


def test_a_body_that_is_nested_too_deep_is_refused(admin: Api, manager: PlayedManager) -> None:
    """More could be read than can be written and shown again."""
    volume_id = manager.available(admin)
    connector: Any = {"host": "h"}
    for _ in range(40):
        connector = {"host": "h", "more": connector}
    answer = admin.ask("POST", "/v3/attachments", {"attachment": {"volume_uuid": volume_id, "connector": connector}})
    assert answer.status_code == 400, answer.text
    assert "nested deeper than 32 levels" in answer.json["badRequest"]["message"]
    assert manager.live() == []


def test_a_body_has_a_limit(api: Api) -> None:
    body = orjson.dumps({"volume": {"size": 1, "description": "x" * 200_000}})
    answer = api.ask("POST", "/v3/volumes", body)
    assert answer.status_code == 413
    assert "114688" in answer.json["overLimit"]["message"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *((f"/v3/volumes/{ID}", 404), ("/v3/volumes/x", 404), ("/v3/volumes/%00", 400), ("/v3/volumes/a%0ab", 400)),
        *(("/v3/volumes?limit=-1", 400), ("/v3/volumes?limit=x", 400), (f"/v3/volumes?limit={2**64}", 400)),
        *(("/v3/volumes?offset=1.5", 400), ("/v3/volumes?marker=x", 404), ("/v3/volumes?sort=secret", 400)),
        *(("/v3/volumes?sort=name:up", 400), ("/v3/volumes?metadata=%7B", 400), ("/v3/volumes?name=%00", 400)),
        *(("/v3/volumes?metadata=%7B%22a%5C%22%22:%22b%22%7D", 400), ("/v3/volumes?colour=red", 400)),
        *(("/v3/volumes?created_at=gt:soon", 400), ("/v3/volumes?bootable=maybe", 400), ("/v3/volumes?size=x", 200)),
        *(("/v3/operations?state=odd", 400), ("/v3/operations?colour=red", 400), (f"/v3/operations/{ID}", 404)),
        *((f"/v3/volumes/{ID}/timeline", 404), (f"/v3/volumes/{ID}/placement", 404), ("/v3/types/nope", 404)),
        *(("/v3/extensions/nope", 404), ("/v3/volumes/x/y/z", 404), ("/nowhere", 404), ("/v2/volumes", 404)),
        *((f"/v3/snapshots/{ID}", 404), (f"/v3/attachments/{ID}", 404), ("/v3/snapshots?sort=x", 400)),
    ],
)
def test_a_wrong_path_or_query(api: Api, path: str, expected: int) -> None:
    answer = api.ask("GET", path)
    assert answer.status_code == expected, answer.text
    if expected >= 400:
        (fault,) = answer.json.values()
        assert fault["code"] == expected
        assert fault["message"]


def test_filters_that_are_unknown_are_ignored_before_they_were_checked(api: Api) -> None:
    assert api.at("3.30").get("/v3/volumes?colour=red") == {"volumes": []}


def test_methods_versions_and_strangers(api: Api) -> None:
    for method, path in (("PATCH", "/v3/volumes"), ("DELETE", "/v3/volumes"), ("PUT", "/v3/limits")):
        answer = api.ask(method, path)
        assert (answer.status_code, "badMethod" in answer.json) == (405, True)
    for version, expected in (("3.67", 406), ("2.0", 406), ("3", 400), ("x", 400), ("latest", 200), ("3.0", 200)):
        assert api.at(version).ask("GET", "/v3/volumes").status_code == expected, version
    for token in ("", ":p", " "):
        answer = api.as_user(token).ask("GET", "/v3/volumes")
        assert (answer.status_code, "WWW-Authenticate" in answer.headers) == (401, True), token


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"os-extend": {}}, {"os-extend": {"new_size": 0}}, {"os-extend": {"new_size": 2**70}}),
        *({"os-nothing": None}, {"os-extend": {"new_size": 5}, "os-reserve": None}, {"os-extend": {"new_size": 65537}}),
        *({"os-initialize_connection": {}}, {"os-initialize_connection": {"connector": []}}),
        *({"os-initialize_connection": {"connector": {"initiator": 7}}}, {"os-reset_status": {"status": "odd"}}),
        *({"os-reset_status": {}}, {"os-reset_status": {"attach_status": "attached"}}, {"os-reserve": {"x": 1}}),
        *({"os-terminate_connection": {}}, {"os-detach": {"attachment_id": "x"}}),
    ],
)
def test_a_wrong_action_is_refused(admin: Api, manager: PlayedManager, body: dict[str, Any]) -> None:
    volume_id = manager.available(admin)
    if body.get("os-extend", {}).get("new_size") == 2**70:
        raw = b'{"os-extend": {"new_size": 1180591620717411303424}}'
        assert admin.ask("POST", f"/v3/volumes/{volume_id}/action", raw).status_code == 400
        return
    answer = admin.ask("POST", f"/v3/volumes/{volume_id}/action", body)
    assert answer.status_code == 400, answer.text
    assert admin.volume(volume_id)["status"] == "available"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(
    (
        *("size", "name", "description", "metadata", "volume_type", "availability_zone", "snapshot_id"),
        *("source_volid", "multiattach", "volume_id", "force", "volume_uuid", "connector", "mode", "extra_specs"),
    )
)
_POSTS = st.sampled_from(
    [
        ("/v3/volumes", "volume"),
        ("/v3/snapshots", "snapshot"),
        ("/v3/attachments", "attachment"),
        ("/v3/types", "volume_type"),
    ]
)


@given(post=_POSTS, asked=st.dictionaries(_FIELDS, _JSON, max_size=4))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_body_makes_a_5xx(api: Api, post: tuple[str, str], asked: dict[str, Any]) -> None:
    path, key = post
    try:
        body = orjson.dumps({key: asked})
    except orjson.JSONEncodeError:  # a lone surrogate; the bytes of one are tested above
        return
    answer = api.as_user("admin:p1").ask("POST", path, body)
    assert answer.status_code < 500, answer.text


@given(query=st.text(st.characters(codec="utf-8"), max_size=40))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_makes_a_5xx(api: Api, query: str) -> None:
    from urllib.parse import quote

    for name in ("marker", "limit", "sort", "metadata", "created_at", "name", "name~", "status", "host"):
        answer = api.as_user("admin:p1").ask("GET", f"/v3/volumes/detail?{name}={quote(query)}")
        assert answer.status_code < 500, (name, answer.text)
