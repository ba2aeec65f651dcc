"""The database."""

from oslo_config import cfg

GROUP = "database"

OPTIONS = [
    cfg.StrOpt(
        "connection",
        default="sqlite:////var/lib/volumed/volumed.db",
        secret=True,
        help="SQLAlchemy URL of the database (docs/databases.md): sqlite:///, postgresql+psycopg:// or mariadb+pymysql://.",
    ),
    cfg.StrOpt(
        "secrets_key_file",
        help="File of the keys that seal the secrets in the database (docs/secrets.md), one Fernet key a line: the"
        " first seals, all open. `volumed up` makes secrets.key in its state folder at its first start.",
    ),
    cfg.IntOpt("max_pool_size", default=10, min=1, help="Connections that one process keeps at most."),
    cfg.IntOpt("max_retries", default=8, min=0, help="How often a transaction is tried again after a deadlock."),
]
