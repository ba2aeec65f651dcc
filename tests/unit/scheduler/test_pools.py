"""Which report of a backend counts."""

from volumed.scheduler.pools import News, Report, ReportedPools


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def report(sequence, incarnation="first", backend="a@one"):
    return Report(backend=backend, incarnation=incarnation, sequence=sequence, pools=())


def test_a_report_out_of_order_or_repeated_is_dropped():
    kept = ReportedPools(60)
    newest = report(5)
    assert [kept.keep(each) for each in (newest, report(4), report(5))] == [News.FIRST, News.OLD, News.OLD]
    assert list(kept.current()) == [newest]
    assert kept.keep(report(6)) is News.UPDATE


def test_a_new_incarnation_counts_from_its_own_beginning_and_the_one_before_is_over():
    kept = ReportedPools(60)
    kept.keep(report(100))
    assert kept.keep(report(1, "second")) is News.FIRST
    assert kept.keep(report(101)) is News.OLD
    assert kept.keep(report(2, "second")) is News.UPDATE
    assert kept.keep(report(102)) is News.OLD


def test_a_report_is_forgotten_when_none_follows_it():
    clock = Clock()
    kept = ReportedPools(60, clock)
    kept.keep(report(1))
    kept.keep(report(1, backend="b@two"))
    clock.now = 50
    kept.keep(report(2))
    clock.now = 61
    assert [each.backend for each in kept.current()] == ["a@one"]
    assert kept.keep(report(1, backend="b@two")) is News.FIRST
