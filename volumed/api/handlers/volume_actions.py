"""Actions on a volume: ``POST /volumes/{id}/action`` with one action's name as the body's only key."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import falcon

from volumed.api import answers, microversions, validation
from volumed.api.accept import attachments as connecting
from volumed.api.accept import reverts
from volumed.api.accept import volume_actions as accepting
from volumed.api.accept.attachments import NewAttachment, Use
from volumed.api.accept.reverts import Reversion
from volumed.api.accept.transaction import Reference, accept
from volumed.api.accept.volume_actions import Extension
from volumed.api.accept.volumes import Removal, project_of
from volumed.api.endings import StillRunning, await_end
from volumed.api.handlers.attachments import let_in, put_out
from volumed.api.handlers.manageable import give_away
from volumed.api.handlers.resets import await_truth
from volumed.api.handlers.volumes import remove
from volumed.api.policies import volume_actions as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas.fields import is_true
from volumed.api.schemas.volume_actions import ACTIONS
from volumed.api.tier import Tier
from volumed.api.views import attachments as views
from volumed.db import attachments, operations, volumes
from volumed.model.errors import Invalid, InvalidField, NotFound, VolumedError
from volumed.model.states import VolumeStatus

Action = Callable[[ApiRequest, falcon.Response, str, dict[str, Any]], None]


#: The microversion that brought an action.
_SINCE: Final = {"revert": microversions.REVERT}


class VolumeActions:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier
        self._actions: Mapping[str, Action] = {
            "os-extend": self._extend,
            "revert": self._revert,
            "os-reset_status": self._reset_status,
            "os-force_delete": self._force_delete,
            "os-reserve": self._mark(accepting.reserve),
            "os-unreserve": self._mark(accepting.unreserve),
            "os-begin_detaching": self._mark(accepting.begin_detaching),
            "os-roll_detaching": self._mark(accepting.roll_detaching),
            "os-attach": self._attach,
            "os-detach": self._detach,
            "os-force_detach": self._force_detach,
            "os-initialize_connection": self._initialize_connection,
            "os-terminate_connection": self._terminate_connection,
            "os-unmanage": self._unmanage,
        }

    def on_post(self, req: ApiRequest, resp: falcon.Response, resource_id: str) -> None:
        body = validation.parsed(req)
        name = str(next(iter(body))) if isinstance(body, dict) and len(body) == 1 else ""
        if name not in self._actions:
            known = ", ".join(sorted(self._actions))
            raise Invalid(reason=f"There is no such action: the body must have one key, one of {known}.")
        if name in _SINCE:
            req.since(_SINCE[name])
        asked = ACTIONS[name].check(body)[name] or {}
        with self._tier.database.reading() as tx:
            volume = volumes.get(tx, resource_id, project_of(req.caller))
        self._tier.policy.enforce(req.caller, policies.OF_ACTION[name], volume.project_id)
        self._actions[name](req, resp, resource_id, asked)

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to an os-initialize_connection that was accepted before."""
        with self._tier.database.reading() as tx:
            live = operations.live_on(tx, reference.resource_id)
        if live is not None:
            await_end(self._tier, live.id, live.kind)
        self._send_connection(req, resp, reference.resource_id)

    def _extend(self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
        tier = self._tier
        online = req.minor >= microversions.EXTEND_IN_USE
        extension = Extension(volume_id, str(uuid4()), int(asked["new_size"]), online)
        about = Reference("nothing", volume_id)
        accepted = accept(tier, req, about, accepting.extend, req.caller, tier.settings, extension)
        if accepted.host is not None:
            tier.volume.extend_volume(req.caller, accepted.host, volume_id, extension.new_size, extension.operation_id)
        answers.accepted(resp, accepted.operation_id)

    def _revert(self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
        reversion = Reversion(volume_id, asked["snapshot_id"], str(uuid4()))
        about = Reference("nothing", volume_id)
        accepted = accept(self._tier, req, about, reverts.revert, req.caller, reversion)
        if accepted.host is not None and accepted.operation_id is not None:
            self._tier.volume.wake_operation(req.caller, accepted.host, accepted.operation_id, is_long=True)
        answers.accepted(resp, accepted.operation_id)

    def _reset_status(self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
        if asked.get("attach_status") is not None:
            raise InvalidField(
                field="os-reset_status/attach_status", reason="it follows from the attachments and cannot be set"
            )
        if asked.get("status") is not None:
            to = VolumeStatus(asked["status"])
            about = Reference("nothing", volume_id)
            accepted = accept(self._tier, req, about, accepting.reset, req.caller, volume_id, to, str(uuid4()))
            await_truth(self._tier, req, accepted, "volume.reset")
            answers.accepted(resp, accepted.operation_id)
        else:
            answers.accepted(resp, None)

    def _force_delete(self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
        remove(self._tier, req, resp, Removal(volume_id, str(uuid4()), force=True))

    def _unmanage(self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
        give_away(self._tier, req, resp, volume_id)

    def _mark(self, work: Callable[[Any, Any, str], None]) -> Action:
        """An action that only changes the volume's status."""

        def act(req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
            accept(self._tier, req, Reference("nothing", volume_id), work, req.caller, volume_id)
            answers.accepted(resp, None)

        return act

    def _attach(self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
        use = Use(
            volume_id=volume_id,
            attachment_id=str(uuid4()),
            instance_uuid=asked.get("instance_uuid"),
            host_name=asked.get("host_name"),
            mountpoint=asked.get("mountpoint"),
            mode=asked.get("mode"),
        )
        if (use.instance_uuid is None) == (use.host_name is None):
            raise Invalid(reason="Invalid request to attach volume: one of instance_uuid and host_name must be given.")
        accept(self._tier, req, Reference("nothing", volume_id), connecting.attach, req.caller, use)
        answers.accepted(resp, None)

    def _detach(self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
        self._put_out(req, resp, volume_id, asked.get("attachment_id"), force=False)

    def _force_detach(self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]) -> None:
        self._put_out(req, resp, volume_id, asked.get("attachment_id"), force=True)

    def _put_out(
        self, req: ApiRequest, resp: falcon.Response, volume_id: str, attachment_id: str | None, force: bool
    ) -> None:
        about, new_id = Reference("nothing", volume_id), str(uuid4())
        accepted = accept(
            self._tier, req, about, connecting.detach, req.caller, volume_id, attachment_id, new_id, force
        )
        put_out(self._tier, req, resp, volume_id, accepted)
        answers.accepted(resp, accepted.operation_id)

    def _initialize_connection(
        self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]
    ) -> None:
        tier, connector = self._tier, asked["connector"]
        new = NewAttachment(str(uuid4()), str(uuid4()), volume_id, None, connector, mode=connector.get("mode") or "rw")
        about = Reference("connection", new.id, 200)
        found = accept(tier, req, about, connecting.initialize_connection, req.caller, new)
        try:
            let_in(tier, req, resp, volume_id, found.accepted)
        except StillRunning:
            raise
        except VolumedError:
            with suppress(NotFound):  # somebody else ended the attachment meanwhile
                tier.database.write(connecting.abandon, req.caller, found.attachment_id)
            raise
        self._send_connection(req, resp, found.attachment_id)

    def _terminate_connection(
        self, req: ApiRequest, resp: falcon.Response, volume_id: str, asked: dict[str, Any]
    ) -> None:
        about, ended = Reference("nothing", volume_id), connecting.terminate_connection
        connector, force, new_id = asked["connector"], _is_forced(asked), str(uuid4())
        accepted = accept(self._tier, req, about, ended, req.caller, volume_id, connector, new_id, force)
        put_out(self._tier, req, resp, volume_id, accepted)
        answers.accepted(resp, accepted.operation_id)

    def _send_connection(self, req: ApiRequest, resp: falcon.Response, attachment_id: str) -> None:
        with self._tier.database.reading() as tx:
            attachment = attachments.get(tx, attachment_id, project_of(req.caller))
        answers.send(resp, {"connection_info": views.with_credentials(attachment)})


def _is_forced(asked: dict[str, Any]) -> bool:
    return asked.get("force") is not None and is_true(asked["force"])
