"""A scheduler of its own process, killed at a crash point. Arguments: DATABASE-URL POINT HOST REPORT OPERATION."""

import json
import sys
import time
from typing import Any

from volumed import conf
from volumed.db.engine import Database
from volumed.model.context import RequestContext
from volumed.model.crash_points import kill_at
from volumed.rpc.volume_client import VolumeClient
from volumed.scheduler.manager import SchedulerManager


class Nowhere:
    def cast(self, *arguments: Any, **options: Any) -> bool:
        return True


url, point, host, report, operation_id = sys.argv[1:]
kill_at(point)
manager = SchedulerManager(conf.load(), Database(url), VolumeClient(Nowhere()), "node0")  # type: ignore[arg-type]
manager.init_host()
manager.listening()
context = RequestContext("ann", "demo", False, "req-1")
manager.update_service_capabilities(context, host.partition("@")[2], host, json.loads(report))
manager.create_volume(context, "any", operation_id=operation_id)
time.sleep(20)
