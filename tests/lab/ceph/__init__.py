"""A real Ceph cluster of one monitor, one OSD and one manager on 127.0.0.1, in about two seconds."""
