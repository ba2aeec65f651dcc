"""``volumed up`` on a node with several backends: its work ends as asked, also when the machine dies in the middle."""

import time

import pytest

from tests.lab import node_client
from tests.lab.guest import node_watch
from tests.lab.guest.node import PATIENCE, Node

pytestmark = [pytest.mark.part("guest"), pytest.mark.slow, pytest.mark.timeout(900)]

#: A thin group and a thick one, by the node's helpers, and files by a target of the service's own: each by its section.
ALL = ("thin", "thick", node_client.FILES)


@pytest.mark.parametrize(
    "node", [("thin",), pytest.param(ALL, marks=pytest.mark.full)], ids=["thin", "several"], indirect=True
)
def test_what_a_node_was_asked_for_ends_as_asked_also_when_the_machine_dies_in_the_middle(node: Node) -> None:
    node.start()
    node.client("lifecycle")
    node.client("begin")
    node.crash()
    service = node.start()
    node.client("settle")
    node.has_told_no_secrets(node_watch.TARGETS)
    node.client("finish")
    deadline = time.monotonic() + PATIENCE
    while left := node.volumes() - {"vg-thin-pool"}:  # deleted thick volumes are cleared in the background
        assert all(name.startswith("volumed-purge-") for name in left)
        assert time.monotonic() < deadline, left
        time.sleep(1)
    assert not node.targets()
    node.end(service)
