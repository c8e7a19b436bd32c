"""What a server lets through of those who send or connect without end."""

from hypothesis import given
from hypothesis import strategies as st
from pisft.serving.fairness import BURST_S, CONNECTIONS_PER_S, PENDING, Bucket, Gate


@given(st.lists(st.tuples(st.floats(0, 0.1), st.integers(1, 50)), min_size=1, max_size=200), st.integers(1, 2000))
def test_a_bucket_lets_through_no_more_than_its_rate_and_one_burst(happenings, rate):
    bucket, now, let_through = Bucket(rate), 0.0, 0
    for pause, count in happenings:
        now += pause
        now += max(0.0, bucket.owed(now))
        bucket.add(count, now)
        let_through += count
        assert let_through - count <= rate * (now + BURST_S) + 1e-6


def test_a_bucket_holds_up_nobody_below_its_rate():
    bucket = Bucket(100)
    for step in range(1000):
        assert bucket.owed(step / 100) <= 0
        bucket.add(1, step / 100)


def test_a_gate_closes_when_too_many_come_or_wait():
    gate = Gate()
    burst = [gate.opens(0.0) for _ in range(200)]
    assert burst.index(False) == sum(burst) and sum(burst) - CONNECTIONS_PER_S * BURST_S in (0, 1)
    assert gate.opens(5.0)
    gate.pending = PENDING
    assert not gate.opens(10.0)
