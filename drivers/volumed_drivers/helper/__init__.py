"""What the privileged helpers of a node have in common, both ends: a socket, who may ask, and the caller's lock.

Each is one small program (``targets/lio``, ``lvm``) that does a short list of typed requests, and remembers nothing.
"""
