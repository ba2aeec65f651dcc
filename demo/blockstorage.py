"""The Block Storage API, as little of it as the story needs."""

import time
from typing import Any

import requests

#: Seconds for anything to reach the state that was asked for.
PATIENCE = 30.0

Json = dict[str, Any]


class RequestFailed(Exception):
    """The API refused, or what it accepted did not end as asked."""


class BlockStorage:
    """Requests to one server as administrator."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v3"
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers.update({"X-Auth-Token": "admin:admin", "OpenStack-API-Version": "volume 3.66"})

    def set_quota(self, **limits: int) -> None:
        self._send("PUT", "/os-quota-sets/admin", {"quota_set": limits})

    def create_volume(self, **fields: Any) -> str:
        """Ask for a volume; returns the id of what was accepted."""
        return str(self._send("POST", "/volumes", {"volume": {"size": 1, **fields}})["volume"]["id"])

    def create_snapshot(self, volume_id: str, name: str) -> str:
        body = {"snapshot": {"volume_id": volume_id, "name": name}}
        return str(self._send("POST", "/snapshots", body)["snapshot"]["id"])

    def extend(self, volume_id: str, size: int) -> None:
        self._send("POST", f"/volumes/{volume_id}/action", {"os-extend": {"new_size": size}})

    def attach(self, volume_id: str, instance_id: str, initiator: str) -> Json:
        """An attachment with its connection, in use."""
        connector = {"initiator": initiator, "host": "demo", "ip": "127.0.0.1"}
        body = {"volume_uuid": volume_id, "instance_uuid": instance_id, "connector": connector}
        attachment: Json = self._send("POST", "/attachments", {"attachment": body})["attachment"]
        self._send("POST", f"/attachments/{attachment['id']}/action", {"os-complete": {}})
        return attachment

    def detach(self, attachment_id: str) -> None:
        self._send("DELETE", f"/attachments/{attachment_id}")

    def delete(self, path: str) -> None:
        self._send("DELETE", path)

    def list_ids(self, collection: str) -> list[str]:
        return [row["id"] for row in self._send("GET", f"/{collection}")[collection]]

    def wait_for(self, path: str, status: str = "available") -> Json:
        """The resource at ``path`` once it has ``status``."""
        deadline = time.monotonic() + PATIENCE
        while True:
            resource: Json = next(iter(self._send("GET", path).values()))
            if resource["status"] == status:
                return resource
            if resource["status"].startswith("error") or time.monotonic() > deadline:
                raise RequestFailed(f"{path} is {resource['status']} and not {status}")
            time.sleep(0.005)

    def wait_until_gone(self, path: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while self._answer("GET", path).status_code != 404:
            if time.monotonic() > deadline:
                raise RequestFailed(f"{path} is still there")
            time.sleep(0.005)

    def _send(self, method: str, path: str, body: Json | None = None) -> Json:
        answer = self._answer(method, path, body)
        if answer.status_code >= 400:
            raise RequestFailed(f"{method} {path}: HTTP {answer.status_code} {answer.text}")
        document: Json = answer.json() if answer.content else {}
        return document

    def _answer(self, method: str, path: str, body: Json | None = None) -> requests.Response:
        return self._http.request(method, self._url + path, json=body, timeout=PATIENCE)
