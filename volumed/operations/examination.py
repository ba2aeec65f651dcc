"""What looks for differences between what is and what should be, as a service sees it.

The doctor's room implements it; the services that ask it know no more than this.
"""

from collections.abc import Sequence
from typing import Protocol

from volumed.model.findings import Finding
from volumed.operations.procedure import Procedure


class Examiner(Protocol):
    """Looks at one part of the deployment."""

    def look(self) -> Sequence[Finding]:
        """Every difference now; what is being worked on is none. Changes nothing."""


class BackendExaminer(Examiner, Protocol):
    """Looks at one backend, and knows how findings are repaired."""

    @property
    def repairs(self) -> Procedure:
        """The kind of operation that repairs a finding."""
