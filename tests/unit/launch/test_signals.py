"""Signals that end a process, wherever they interrupt it."""

import subprocess
import sys

#: Raises the signal at the n-th line that the wait passes, for every n; a last one comes while it sleeps.
EVERYWHERE = """
import os, signal, sys, threading
from volumed.launch.signals import EndingSignals

def ended_by_interrupt_at(number):
    signals = EndingSignals()
    signals.listen()
    passed = 0

    def trace(frame, event, argument):
        nonlocal passed
        passed += 1
        if passed == number:
            signal.raise_signal(signal.SIGTERM)
        return trace

    def end_the_sleep():
        nonlocal passed
        if passed < number:
            passed = -1000
            os.kill(os.getpid(), signal.SIGTERM)

    late = threading.Timer(0.2, end_the_sleep)
    late.start()
    sys.settrace(trace)
    signals.wait()
    sys.settrace(None)
    late.cancel()
    return passed >= number

number = 1
while ended_by_interrupt_at(number):
    number += 1
print(number)
"""


def test_a_signal_is_heard_wherever_it_interrupts_the_wait() -> None:
    done = subprocess.run([sys.executable, "-c", EVERYWHERE], capture_output=True, text=True, timeout=20, check=True)
    assert int(done.stdout) > 1


def test_the_second_signal_ends_at_once_and_says_so() -> None:
    twice = (
        "import signal\nfrom volumed.launch.signals import EndingSignals\nEndingSignals().listen()\n"
        "signal.raise_signal(signal.SIGINT)\nsignal.raise_signal(signal.SIGINT)\nsignal.pause()"
    )
    done = subprocess.run([sys.executable, "-c", twice], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert "the next start resumes" in done.stderr
