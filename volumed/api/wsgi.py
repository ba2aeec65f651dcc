"""``volumed.api.wsgi:application``: the API for gunicorn, uWSGI, mod_wsgi or any other WSGI server.

An entry point like a command, and so above the rooms. See docs/api-tier.md.
"""

from volumed.launch.hosted import HostedApi

#: The configuration is in the files that VOLUMED_CONFIG_FILES names, read at the first request.
application = HostedApi()
