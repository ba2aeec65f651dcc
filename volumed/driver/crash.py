"""Crash points for drivers: pass one before and after every external effect."""

from volumed.model.crash_points import crash_point

__all__ = ["crash_point"]
