"""Attachments: reserve a volume, let a connector in, complete, list, show, end."""

from typing import Any
from uuid import uuid4

import falcon

from volumed.api import answers, microversions, paging
from volumed.api.accept import attachments as accepting
from volumed.api.accept.attachments import NewAttachment
from volumed.api.accept.transaction import Reference, accept
from volumed.api.accept.volumes import Accepted, project_of
from volumed.api.endings import await_end
from volumed.api.filters import attachments as filters
from volumed.api.policies import attachments as policies
from volumed.api.request import ApiRequest
from volumed.api.schemas import attachments as schemas
from volumed.api.tier import Tier
from volumed.api.views import attachments as views
from volumed.db import attachments, operations, volumes
from volumed.model.records import Attachment
from volumed.model.states import AttachStatus


class Attachments:
    """See the module."""

    def __init__(self, tier: Tier) -> None:
        self._tier = tier

    def on_post(self, req: ApiRequest, resp: falcon.Response) -> None:
        req.since(microversions.ATTACHMENTS)
        tier, caller = self._tier, req.caller
        new = _new_attachment(req, schemas.CREATE.read(req)["attachment"])
        with tier.database.reading() as tx:
            volume = volumes.get(tx, new.volume_id, project_of(caller))
        tier.policy.enforce(caller, policies.CREATE, volume.project_id)
        accepted = accept(tier, req, Reference("attachment", new.id, 200), accepting.create, caller, new)
        self._let_in(req, resp, new.id, new.volume_id, accepted, connecting=new.connector is not None)

    def on_put_one(self, req: ApiRequest, resp: falcon.Response, attachment_id: str) -> None:
        tier = self._tier
        connector = schemas.UPDATE.read(req)["attachment"]["connector"]
        known = self._known(req, attachment_id, policies.UPDATE)
        about = Reference("attachment", attachment_id, 200)
        mode = connector.get("mode")
        accepted = accept(tier, req, about, accepting.connect, req.caller, attachment_id, connector, mode, str(uuid4()))
        self._let_in(req, resp, attachment_id, known.volume_id, accepted, connecting=True)

    def on_post_action(self, req: ApiRequest, resp: falcon.Response, attachment_id: str) -> None:
        req.since(microversions.ATTACHMENT_COMPLETE)
        schemas.COMPLETE.read(req)
        self._known(req, attachment_id, policies.COMPLETE)
        about = Reference("nothing", attachment_id, 204)
        accept(self._tier, req, about, accepting.complete, req.caller, attachment_id)
        resp.status = 204

    def on_delete_one(self, req: ApiRequest, resp: falcon.Response, attachment_id: str) -> None:
        tier, caller = self._tier, req.caller
        known = self._known(req, attachment_id, policies.DELETE)
        about = Reference("nothing", attachment_id, 204)
        accepted = accept(tier, req, about, accepting.delete, caller, attachment_id, str(uuid4()))
        put_out(tier, req, resp, known.volume_id, accepted)
        with tier.database.reading() as tx:
            left = attachments.of_volume(tx, known.volume_id)
        answers.send(resp, {"attachments": [views.summary(each) for each in left]})

    def on_get_one(self, req: ApiRequest, resp: falcon.Response, attachment_id: str) -> None:
        answers.send(resp, {"attachment": views.detail(self._known(req, attachment_id, policies.GET))})

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        found, extra = self._page(req, "attachments")
        answers.send(resp, {"attachments": [views.summary(each) for each in found], **extra})

    def on_get_detail(self, req: ApiRequest, resp: falcon.Response) -> None:
        found, extra = self._page(req, "attachments/detail")
        answers.send(resp, {"attachments": [views.listed(each) for each in found], **extra})

    def rebuild(self, req: ApiRequest, resp: falcon.Response, reference: Reference) -> None:
        """The answer to a request that was accepted before: its operation is waited for again."""
        known = self._known(req, reference.resource_id, policies.GET)
        with self._tier.database.reading() as tx:
            live = operations.live_on(tx, known.id)
        accepted = Accepted(None if live is None else live.id)
        self._let_in(req, resp, known.id, known.volume_id, accepted, connecting=known.connector is not None)

    def _let_in(
        self,
        req: ApiRequest,
        resp: falcon.Response,
        attachment_id: str,
        volume_id: str,
        accepted: Accepted,
        connecting: bool,
    ) -> None:
        """Wait until the connector is let in, and answer with what it needs to log in."""
        let_in(self._tier, req, resp, volume_id, accepted)
        if connecting and req.minor < microversions.ATTACHMENT_COMPLETE:
            # These clients cannot say that they are in: for them being let in is being in.
            self._tier.database.write(_complete_if_waiting, req, attachment_id)
        found = self._known(req, attachment_id, policies.GET)
        answers.send(resp, {"attachment": views.detail(found)})

    def _known(self, req: ApiRequest, attachment_id: str, rule: str) -> Attachment:
        req.since(microversions.ATTACHMENTS)
        with self._tier.database.reading() as tx:
            found = attachments.get(tx, attachment_id, project_of(req.caller))
        self._tier.policy.enforce(req.caller, rule, found.project_id)
        return found

    def _page(self, req: ApiRequest, collection: str) -> tuple[list[Attachment], dict[str, Any]]:
        req.since(microversions.ATTACHMENTS)
        tier = self._tier
        tier.policy.enforce(req.caller, policies.GET_ALL)
        listing = filters.listing(req, tier.settings, tier.policy.allows(req.caller, policies.ALL_PROJECTS))
        with tier.database.reading() as tx:
            found = attachments.page(tx, paging.more_than(listing))
        shown = found[: listing.limit]
        if not shown:
            return [], {}
        following = paging.next_link(req, tier.settings, collection, found, listing, shown[-1].id)
        return shown, {"attachments_links": following} if following else {}


def let_in(tier: Tier, req: ApiRequest, resp: falcon.Response, volume_id: str, accepted: Accepted) -> None:
    """Wake the manager for an ``attachment.attach`` and wait for its end."""
    if accepted.operation_id is None:
        return
    resp.set_header(answers.OPERATION_HEADER, accepted.operation_id)
    if accepted.host is not None:
        tier.volume.attach(req.caller, accepted.host, volume_id, accepted.operation_id)
    await_end(tier, accepted.operation_id, "attachment.attach")


def put_out(tier: Tier, req: ApiRequest, resp: falcon.Response, volume_id: str, accepted: Accepted) -> None:
    """Wake the manager for an ``attachment.detach`` and wait for its end."""
    if accepted.operation_id is None:
        return
    resp.set_header(answers.OPERATION_HEADER, accepted.operation_id)
    if accepted.host is not None and accepted.cancels is not None:
        tier.volume.cancel_operation(req.caller, accepted.host, accepted.cancels)
    elif accepted.host is not None:
        tier.volume.detach(req.caller, accepted.host, volume_id, accepted.operation_id)
    await_end(tier, accepted.operation_id, "attachment.detach")


def _complete_if_waiting(tx: Any, req: ApiRequest, attachment_id: str) -> None:
    if attachments.get(tx, attachment_id).attach_status == AttachStatus.ATTACHING:
        accepting.complete(tx, req.caller, attachment_id)


def _new_attachment(req: ApiRequest, asked: dict[str, Any]) -> NewAttachment:
    connector = asked.get("connector") or None
    mode = asked.get("mode") if req.minor >= microversions.ATTACHMENT_MODE else None
    return NewAttachment(
        id=str(uuid4()),
        operation_id=str(uuid4()),
        volume_id=asked["volume_uuid"],
        instance_uuid=asked.get("instance_uuid"),
        connector=connector,
        mode=mode or (connector or {}).get("mode") or "rw",
    )
