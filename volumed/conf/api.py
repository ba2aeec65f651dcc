"""The API tier."""

from oslo_config import cfg

GROUP = "api"

OPTIONS = [
    cfg.StrOpt(
        "auth_strategy",
        default="noauth",
        choices=["noauth", "keystone"],
        help="How callers are identified; keystone wants [keystone_authtoken].",
    ),
    cfg.StrOpt("listen", default="127.0.0.1:8776", help="Address and port of volumed-api; port 0 takes a free one."),
    cfg.BoolOpt(
        "allow_remote_noauth",
        default=False,
        help="Listen beyond this machine although auth_strategy = noauth believes everybody.",
    ),
    cfg.StrOpt(
        "tls_certificate_file",
        default=None,
        help="PEM file with the certificate of the built-in server and what leads to its authority; then it speaks TLS"
        " alone. It is read again on SIGHUP.",
    ),
    cfg.StrOpt(
        "tls_key_file", default=None, help="PEM file with the certificate's private key; default: in the same file."
    ),
    cfg.StrOpt(
        "tls_client_ca_file",
        default=None,
        help="PEM file with authorities; every client must show a certificate that one of them has signed.",
    ),
    cfg.BoolOpt(
        "trust_proxy_headers",
        default=False,
        help="Believe X-Forwarded-For, -Proto and -Host; only behind a proxy that sets them whatever a client sends.",
    ),
    cfg.FloatOpt(
        "rate_limit",
        default=0,
        min=0,
        help="Requests a second that one project has in each API process; more are answered with 429. 0: no limit.",
    ),
    cfg.IntOpt("workers", default=8, min=1, help="Threads that answer requests; more than a few only fight."),
    cfg.IntOpt("max_limit", default=1000, min=1, help="Rows that one page of a list has at most."),
    cfg.IntOpt("max_request_body_size", default=114688, min=1024, help="Bytes of a request's body at most."),
    cfg.IntOpt("max_volume_size", default=65536, min=1, help="GiB of a volume at most."),
    cfg.StrOpt("default_volume_type", default="__DEFAULT__", help="Type of a volume that names none."),
    cfg.FloatOpt(
        "attach_timeout",
        default=30,
        min=0.1,
        help="Seconds that an attachment's request waits for the end of its operation; then 503 with its id.",
    ),
    cfg.IntOpt(
        "event_streams",
        default=64,
        min=0,
        help="Streams of events that one process serves at most; each costs a descriptor and no thread.",
    ),
    cfg.FloatOpt(
        "event_stream_seconds",
        default=600,
        min=0.1,
        help="Seconds after which a stream of events ends; the client connects again and goes on where it was.",
    ),
    cfg.FloatOpt(
        "event_heartbeat",
        default=15,
        min=0.1,
        help="Seconds of silence after which a stream of events carries a comment, for proxies and dead clients.",
    ),
    cfg.StrOpt("policy_file", default="policy.yaml", help="File with rules that replace the default policies."),
    cfg.StrOpt(
        "public_endpoint", default=None, help="URL under which clients see the API, for links; default as they ask."
    ),
]
