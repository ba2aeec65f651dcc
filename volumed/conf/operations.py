"""How accepted requests are carried out."""

from oslo_config import cfg

GROUP = "operations"

OPTIONS = [
    cfg.IntOpt("short_workers", default=4, min=1, help="Threads of a backend for short work (create, attach, delete)."),
    cfg.IntOpt("long_workers", default=2, min=1, help="Threads of a backend for long work (copies), apart from short."),
    cfg.IntOpt(
        "idle_workers",
        default=1,
        min=1,
        help="Threads of a backend for long work that no request waits for (purges, flattening), apart from both.",
    ),
    cfg.FloatOpt(
        "sweep_interval",
        default=5,
        min=0.05,
        help="Seconds, with jitter, between two looks of a service at its own queue for what no message woke.",
    ),
    cfg.FloatOpt(
        "sweep_age",
        default=2,
        min=0,
        help="Seconds that a queued operation may be old before the sweep takes it for forgotten.",
    ),
    cfg.IntOpt("scheduler_max_attempts", default=3, min=1, help="Backends on which a create is tried before it fails."),
    cfg.FloatOpt(
        "placement_timeout",
        default=60,
        min=0,
        help="Seconds that a create waits for backends that have not reported yet before it is refused.",
    ),
    cfg.IntOpt(
        "forward_retries",
        default=3,
        min=0,
        max=100,
        help="How often work past its point of no return is tried again before its volume is set to an error status.",
    ),
    cfg.FloatOpt(
        "busy_timeout",
        default=120,
        min=0,
        help="Seconds that work waits, with growing pauses, for somebody who holds its volume on the backend, such as "
        "a client of an image; then it fails as any other, and says who holds it.",
    ),
    cfg.FloatOpt(
        "undo_timeout",
        default=60,
        min=0,
        help="Seconds that an undo is tried; then the rest becomes a cleanup operation and the request goes on.",
    ),
    cfg.FloatOpt(
        "lock_patience",
        default=1,
        min=0,
        help="Seconds that work waits for a resource's lock on its thread; then it waits visibly without one.",
    ),
    cfg.FloatOpt("progress_interval", default=10, min=0.1, help="Seconds between two notes of a long work's progress."),
    cfg.FloatOpt(
        "retry_pause", default=1, min=0, help="Seconds before the first retry; doubled with each further one."
    ),
    cfg.FloatOpt(
        "blocked_after",
        default=30,
        min=0.1,
        help="Seconds without a sign of life after which a backend's call counts as blocked: its operation says so, "
        "and another thread takes the work that waits behind it.",
    ),
    cfg.FloatOpt(
        "stuck_timeout",
        default=600,
        min=0,
        help="Seconds without a sign of life after which a backend's call counts as stuck: the process starts itself "
        "again and resumes what was under way. 0: never.",
    ),
    cfg.IntOpt("operation_retention", default=259200, min=0, help="Seconds that an ended operation is kept."),
    cfg.IntOpt(
        "idempotency_retention", default=86400, min=0, help="Seconds that the answer to an Idempotency-Key is kept."
    ),
]
