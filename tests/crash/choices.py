"""What the rules of the state machine choose from: it depends on what there is, so it asks the machine."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from tests.crash.trouble import Trouble

#: Restarts in one sequence at most: they cost more than everything else together.
MOST_KILLS = 3

#: Changes of the quota in one sequence at most: most requests should find room.
MOST_QUOTAS = 3


def there(letter: str) -> st.SearchStrategy[str]:
    """The small name of something that is there."""
    return st.runner().flatmap(lambda machine: st.sampled_from(list(machine.all_of(letter))))


def one_of(letter: str) -> st.SearchStrategy[str]:
    """The same, or of the last such thing that went: every request must find it gone."""
    return st.runner().flatmap(
        lambda machine: st.sampled_from([*list(machine.all_of(letter)) * 3, machine.gone[letter][0]])
    )


#: The small name of something that has failed.
failures = st.runner().flatmap(lambda machine: st.sampled_from(list(machine.failures)))

#: Most of the time nothing goes wrong.
troubles = st.runner().flatmap(lambda machine: st.sampled_from([Trouble.CALM] * 6 + machine.troubles()))


there_are_volumes = precondition(lambda self: self.expected.volumes)
