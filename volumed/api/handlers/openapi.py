"""The OpenAPI document of this API, made when somebody first asks for it."""

import functools

import falcon
import orjson

from volumed.api.request import ApiRequest


class OpenApi:
    """``GET /v3/openapi.json``. It asks nobody who he is: it is the same for everybody."""

    def on_get(self, req: ApiRequest, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._document

    @functools.cached_property
    def _document(self) -> bytes:
        from volumed.api.openapi.document import document

        return orjson.dumps(document())
