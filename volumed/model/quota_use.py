"""What a resource uses of its project's quota: the one place that names the quota's resources.

Source: the Block Storage API's os-quota-sets (``volumes``, ``gigabytes``, ``snapshots``, and each with ``_TYPE``).
"""

from collections.abc import Mapping


def of_volume(size: int, volume_type: str) -> dict[str, int]:
    """Use of a volume of ``size`` GiB."""
    return {"volumes": 1, f"volumes_{volume_type}": 1} | of_gigabytes(size, volume_type)


def of_gigabytes(size: int, volume_type: str) -> dict[str, int]:
    """Use of ``size`` GiB more of a volume."""
    return {"gigabytes": size, f"gigabytes_{volume_type}": size}


def of_snapshot(size: int, volume_type: str, count_gigabytes: bool) -> dict[str, int]:
    """Use of a snapshot; its GiB count unless ``no_snapshot_gb_quota`` is set."""
    use = {"snapshots": 1, f"snapshots_{volume_type}": 1}
    return use | (of_gigabytes(size, volume_type) if count_gigabytes else {})


def negative(use: Mapping[str, int]) -> dict[str, int]:
    """The same given back."""
    return {resource: -amount for resource, amount in use.items()}
