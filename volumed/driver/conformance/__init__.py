"""The suite that every driver passes on its real backend, drivers outside this repository too.

A driver's tests subclass ``DriverConformance`` and give it a ``lab`` fixture (see ``Lab``); pytest does the rest.
Needs pytest; nothing of the product imports it.
"""

from volumed.driver.conformance.lab import DataPath, HeldSession, Lab
from volumed.driver.conformance.suite import DriverConformance

__all__ = ["DataPath", "DriverConformance", "HeldSession", "Lab"]
