"""What operators see and set: types, quotas, services, pools, zones, versions, health, figures."""

import re
from typing import Any

from sqlalchemy import update

from tests.functional.api.stage import Api, PlayedManager, Recorder
from volumed.api.policies import list_rules
from volumed.db import quotas
from volumed.db.engine import Database
from volumed.db.tables import services


def test_versions_are_told_to_anybody(api: Api) -> None:
    stranger = api.as_user("")
    offered = stranger.ask("GET", "/")
    assert offered.status_code == 300
    (version,) = offered.json["versions"]
    assert (version["id"], version["min_version"], version["version"]) == ("v3.0", "3.0", "3.66")
    assert stranger.get("/v3/")["versions"] == [version]


def test_every_answer_names_its_version_and_request(api: Api) -> None:
    answer = api.at("3.44").ask("GET", "/v3/volumes")
    assert answer.headers["OpenStack-API-Version"] == "volume 3.44"
    assert answer.headers["Vary"] == "OpenStack-API-Version"
    assert re.fullmatch(r"req-[0-9a-f-]{36}", answer.headers["x-openstack-request-id"])


def test_types(api: Api, admin: Api, manager: PlayedManager) -> None:
    api.post("/v3/types", {"volume_type": {"name": "gold"}}, 403)
    asked = {"name": "gold", "description": "d", "extra_specs": {"a": "b"}}
    made = admin.post("/v3/types", {"volume_type": asked}, 200)["volume_type"]
    admin.post("/v3/types", {"volume_type": {"name": "gold"}}, 409)
    path = f"/v3/types/{made['id']}"
    assert "extra_specs" not in api.get(path)["volume_type"]
    assert admin.get(path)["volume_type"]["extra_specs"] == {"a": "b"}
    assert api.get("/v3/types/default")["volume_type"]["name"] == "__DEFAULT__"
    assert {each["name"] for each in api.get("/v3/types")["volume_types"]} == {"gold", "__DEFAULT__"}
    assert [each["name"] for each in admin.get('/v3/types?extra_specs={"a":"b"}')["volume_types"]] == ["gold"]

    manager.available(api, volume_type="gold")
    assert admin.get("/v3/os-quota-sets/p1?usage=true")["quota_set"]["volumes_gold"]["in_use"] == 1
    renamed = admin.put(path, {"volume_type": {"name": "platinum", "description": None}})["volume_type"]
    assert (renamed["name"], renamed["description"]) == ("platinum", None)
    assert admin.get("/v3/os-quota-sets/p1?usage=true")["quota_set"]["volumes_platinum"]["in_use"] == 1
    assert "in use" in admin.delete(path, expected=400)["badRequest"]["message"]

    bare = admin.post("/v3/types", {"volume_type": {"name": "bare"}}, 200)["volume_type"]
    admin.delete(f"/v3/types/{bare['id']}")
    assert admin.ask("GET", f"/v3/types/{bare['id']}").status_code == 404
    default = api.get("/v3/types/default")["volume_type"]["id"]
    admin.delete(f"/v3/types/{default}", expected=400)
    admin.put(f"/v3/types/{default}", {"volume_type": {"name": "x"}}, expected=400)


def test_a_type_may_be_called_as_one_that_is_gone_was(
    api: Api, admin: Api, manager: PlayedManager, database: Database
) -> None:
    old = admin.post("/v3/types", {"volume_type": {"name": "gold"}}, 200)["volume_type"]["id"]
    volume_id = manager.available(api, volume_type="gold")
    admin.put("/v3/os-quota-sets/p1", {"quota_set": {"volumes_gold": 1}})
    api.delete(f"/v3/volumes/{volume_id}")
    manager.finish_all()
    database.write(quotas.adjust, "p1", {"volumes_gold": -1, "gigabytes_gold": -1})  # the played one does not
    admin.delete(f"/v3/types/{old}")
    new = admin.post("/v3/types", {"volume_type": {"name": "silver"}}, 200)["volume_type"]["id"]
    manager.available(api, volume_type="silver")
    admin.put(f"/v3/types/{new}", {"volume_type": {"name": "gold"}})
    told = admin.get("/v3/os-quota-sets/p1?usage=true")["quota_set"]["volumes_gold"]
    assert (told["in_use"], told["limit"]) == (1, -1)


def test_an_operation_tells_a_project_nothing_of_backends(api: Api, admin: Api) -> None:
    admin.post("/v3/types", {"volume_type": {"name": "gold", "extra_specs": {"backend": "secret"}}}, 200)
    answer = api.ask("POST", "/v3/volumes", {"volume": {"size": 1, "volume_type": "gold"}})
    path = f"/v3/operations/{answer.headers['Volumed-Operation-Id']}"
    told, known = (each.get(path)["operation"]["args"] for each in (api, admin))
    assert known["extra_specs"] == {"backend": "secret"}
    assert "source_host" in known
    assert known.items() > told.items()
    assert not {"extra_specs", "source_host"} & told.keys()


def test_private_types_are_for_administrators(api: Api, admin: Api) -> None:
    asked = {"name": "secret", "os-volume-type-access:is_public": False}
    made = admin.post("/v3/types", {"volume_type": asked}, 200)["volume_type"]
    assert api.ask("GET", f"/v3/types/{made['id']}").status_code == 404
    api.post("/v3/volumes", {"volume": {"size": 1, "volume_type": "secret"}}, 404)
    assert [each["name"] for each in api.get("/v3/types?is_public=None")["volume_types"]] == ["__DEFAULT__"]
    assert len(admin.get("/v3/types?is_public=None")["volume_types"]) == 2
    assert [each["name"] for each in admin.get("/v3/types?is_public=false")["volume_types"]] == ["secret"]


def test_extra_specs(admin: Api, api: Api) -> None:
    kind = admin.post("/v3/types", {"volume_type": {"name": "gold"}}, 200)["volume_type"]["id"]
    path = f"/v3/types/{kind}/extra_specs"
    api.post(path, {"extra_specs": {"a": "1"}}, 403)
    assert admin.post(path, {"extra_specs": {"a": "1", "b": "<is> True"}}, 200) == {
        "extra_specs": {"a": "1", "b": "<is> True"}
    }
    assert admin.put(f"{path}/a", {"a": "2"}) == {"a": "2"}
    admin.put(f"{path}/a", {"b": "2"}, expected=400)
    admin.delete(f"{path}/b")
    admin.delete(f"{path}/b", expected=404)
    assert admin.get(path) == {"extra_specs": {"a": "2"}}
    admin.post(path, {"extra_specs": {"a/b": "1"}}, 400)


def test_quotas(api: Api, admin: Api) -> None:
    path = "/v3/os-quota-sets/p1"
    defaults = admin.get(f"{path}/defaults")["quota_set"]
    assert (defaults["volumes"], defaults["gigabytes"], defaults["volumes___DEFAULT__"]) == (100, 1000, -1)
    api.put(path, {"quota_set": {"volumes": 5}}, expected=403)
    assert admin.put(path, {"quota_set": {"volumes": 5, "gigabytes": -1}})["quota_set"]["volumes"] == 5
    assert api.get(path)["quota_set"]["volumes"] == 5
    assert api.ask("GET", "/v3/os-quota-sets/p2").status_code == 403
    wrong: Any
    for wrong in ({"volumes": -2}, {"volumes": 1.5}, {"volumes": "x"}, {"colours": 1}, {"volumes": 2**31}, {}):
        admin.put(path, {"quota_set": wrong}, expected=400)
    admin.delete(path, expected=200)
    assert api.get(path)["quota_set"]["volumes"] == 100
    admin.put("/v3/os-quota-class-sets/default", {"quota_class_set": {"volumes": 7}})
    assert api.get(path)["quota_set"]["volumes"] == 7
    assert api.get("/v3/limits")["limits"]["absolute"]["maxTotalVolumes"] == 7


def test_services(api: Api, admin: Api, database: Database) -> None:
    assert api.ask("GET", "/v3/os-services").status_code == 403
    (service,) = admin.get("/v3/os-services?binary=cinder-volume")["services"]
    assert (service["host"], service["state"], service["status"]) == ("node@file", "up", "enabled")
    body = {"host": "node@file", "binary": "volumed-volume", "disabled_reason": "broken disk"}
    told = admin.put("/v3/os-services/disable-log-reason", body)
    assert (told["disabled"], told["disabled_reason"]) == (True, "broken disk")
    assert admin.get("/v3/os-availability-zone")["availabilityZoneInfo"][0]["zoneState"] == {"available": False}
    admin.put("/v3/os-services/enable", {"host": "node@file", "service": "cinder-volume"})
    admin.put("/v3/os-services/disable", {"host": "nowhere", "binary": "volumed-volume"}, expected=404)
    admin.put("/v3/os-services/disable-log-reason", {"host": "node@file", "binary": "x"}, expected=400)
    admin.put("/v3/os-services/explode", {"host": "node@file", "binary": "x"}, expected=404)
    database.write(lambda tx: tx.execute(update(services).values(updated_at=services.c.updated_at - 61_000_000)))
    assert {each["state"] for each in admin.get("/v3/os-services")["services"]} == {"down"}


def test_pools_and_zones(api: Api, admin: Api, recorder: Recorder) -> None:
    recorder.answers["get_pools"] = [{"name": "node@file#pool", "capabilities": {"total_capacity_gb": 5}}]
    assert admin.get("/v3/scheduler-stats/get_pools")["pools"] == [{"name": "node@file#pool"}]
    detailed = admin.get("/v3/scheduler-stats/get_pools?detail=true")["pools"]
    assert detailed[0]["capabilities"]["total_capacity_gb"] == 5
    assert api.ask("GET", "/v3/scheduler-stats/get_pools").status_code == 403
    assert api.get("/v3/os-availability-zone") == {
        "availabilityZoneInfo": [{"zoneName": "nova", "zoneState": {"available": True}}]
    }


def test_operations(api: Api, admin: Api, stranger: Api, manager: PlayedManager) -> None:
    volume_id = manager.available(api)
    api.act(volume_id, "os-extend", {"new_size": 2})
    live, ended = api.get("/v3/operations?state=live"), api.get("/v3/operations?state=succeeded")
    assert [each["kind"] for each in live["operations"]] == ["volume.extend"]
    assert [each["kind"] for each in ended["operations"]] == ["volume.create"]
    assert len(api.get(f"/v3/operations?resource_id={volume_id}&kind=volume.create")["operations"]) == 1
    assert stranger.get("/v3/operations?all_tenants=1")["operations"] == []
    assert len(admin.get("/v3/operations?all_tenants=1")["operations"]) == 2
    path = f"/v3/operations/{ended['operations'][0]['id']}"
    told = api.get(path)["operation"]
    assert told["timeline"][0]["step"] == "play"
    assert "queue" not in told
    assert admin.get(path)["operation"]["queue"] == "scheduler"
    assert stranger.ask("GET", path).status_code == 404
    page = api.get("/v3/operations?limit=1")
    assert page["operations_links"][0]["rel"] == "next"


def test_placement_is_explained(api: Api, manager: PlayedManager, database: Database) -> None:
    from volumed.db import operations

    volume_id = api.post("/v3/volumes", {"volume": {"size": 1}})["volume"]["id"]
    (operation,) = manager.live()
    reason = {"host": "node@file#pool", "passed": False, "filter": "CapacityFilter", "reason": "1 GiB asked, 0 free"}
    reason |= {"weight": None, "weights": {}}
    decision = {"chosen": None, "considered": 60, "counts": {"CapacityFilter": 60}, "candidates": [reason] * 60}
    database.write(operations.postpone, operation.id, 0, "no backend has reported", 5.0, decision)
    told = api.get(f"/v3/volumes/{volume_id}/placement")["placement"]
    assert (told["counts"], len(told["candidates"])) == ({"CapacityFilter": 60}, 50)
    assert (told["state"], told["wait_reason"], told["chosen"]) == ("waiting", "no backend has reported", None)


def test_health_and_figures(api: Api, manager: PlayedManager) -> None:
    stranger = api.as_user("")
    assert stranger.get("/healthcheck")["status"] == "healthy"
    manager.available(api)
    api.post("/v3/volumes", {"volume": {"size": 1}})
    told = stranger.ask("GET", "/metrics").text
    for line in (
        'volumed_operations_total{kind="volume.create",outcome="succeeded"} 1.0',
        'volumed_operations_live{kind="volume.create",state="queued"} 1.0',
        'volumed_service_up{binary="volumed-volume",host="node@file"} 1.0',
    ):
        assert line in told
    manager.finish_all()
    told = stranger.ask("GET", "/metrics").text
    assert 'volumed_operations_total{kind="volume.create",outcome="succeeded"} 2.0' in told
    assert "volumed_operations_live{" not in told


def test_extensions_and_filters(api: Api) -> None:
    assert {"os-quota-sets", "os-services"} <= {each["alias"] for each in api.get("/v3/extensions")["extensions"]}
    (told,) = api.get("/v3/resource_filters?resource=volume")["resource_filters"]
    assert "status" in told["filters"]
    assert api.at("3.32").ask("GET", "/v3/resource_filters").status_code == 404


def test_every_rule_is_named_once_and_documented() -> None:
    rules = list_rules()
    assert len({rule.name for rule in rules}) == len(rules)
    assert all(rule.description for rule in rules)


def test_the_rules_can_be_replaced(api: Api, options: dict[tuple[str, str], Any]) -> None:
    assert api.ask("GET", "/v3/os-services").status_code == 403
