"""The group of a backend on a pool of the test's cluster. Imports nothing that needs Ceph's modules."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.ceph.cluster import Client

_GROUP = """
[{name}]
volume_driver = rbd
rbd_pool = {client.pool}
rbd_user = {client.user}
rbd_ceph_conf = {client.configuration}
rbd_secret_uuid = 5f0b5d3e-8e0c-4f0e-9d3e-1b6d3f1c2a77
"""


def group_of(client: "Client", name: str = "ceph") -> str:
    """As it stands in ``volumed.conf``; options of the backend may follow."""
    return _GROUP.format(name=name, client=client)


def only(client: "Client") -> str:
    """The same, of the only backend, which is called ``ceph``."""
    return f"\n[DEFAULT]\nenabled_backends = ceph{group_of(client)}"
