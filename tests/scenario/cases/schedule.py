# SPDX-License-Identifier: ISC
"""The scheduler as one sees it from a next hop: priority, fairness, windows, retries, routes."""
import os
import threading
import time

from harness.smtp import Sink
from harness.suite import Suite, free_port, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"
ONE = {"destination_concurrency_limit": "1", "initial_destination_concurrency": "1"}


class Gate:
    """A step that waits: whatever comes meanwhile is there before the first is through."""

    def __init__(self):
        self.open = threading.Event()

    def __call__(self, session, arg):
        self.open.wait(60)


def numbered(n):
    return b"From: a@src.test\r\nSubject: %d\r\n\r\nhello\r\n" % n


def queue_up(s, gate, sink, batches):
    """
    The first message stops at the gate, then the batches [(sender, count,
    parameters)] come in; returns the senders in the order of their delivery.
    """
    s.send("first@far.test", HELLO, sender="first@src.test")
    wait_for("the first one at the gate", lambda: "DATA" in sink.commands)
    total = 1
    for sender, count, params in batches:
        with s.client() as c:
            c.ehlo()
            for i in range(count):
                c.send(sender, ["x@far.test"], numbered(i), params)
        total += count
    wait_for("all in qmgr's hands",
             lambda: s.log().count("(queue active)") == total, 30)
    gate.open.set()
    wait_for("all delivered", lambda: len(sink.messages) == total, 60)
    s.wait_empty()
    return [m.sender for m in sink.messages][1:]


def test_priority_goes_first_and_nobody_starves():
    gate = Gate()
    with Sink({"dot": gate}) as sink, Suite({
            **ONE, "relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        order = queue_up(s, gate, sink, [("low@src.test", 5, "MT-PRIORITY=-9"),
                                         ("usual@src.test", 5, ""),
                                         ("high@src.test", 60, "MT-PRIORITY=9")])
        assert order[:10].count("high@src.test") >= 7, order
        first_low = order.index("low@src.test")
        assert first_low < 45, "the lowest class starves: its first came as number %d" % first_low
        assert order.index("usual@src.test") < first_low, order


def test_a_mailing_delays_no_single_message():
    gate = Gate()
    with Sink({"dot": gate}) as sink, Suite({
            **ONE, "relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        order = queue_up(s, gate, sink, [("bulk@src.test", 1000, ""),
                                         ("single@src.test", 1, "")])
        assert order.index("single@src.test") <= 5, order.index("single@src.test")


def test_a_slow_destination_delays_no_other():
    gate = Gate()
    with Sink({"dot": gate}) as slow, Sink() as quick, Suite({
            "transport_maps": "inline:{slow.test=smtp:[127.0.0.1]:%d, "
            "quick.test=smtp:[127.0.0.1]:%d}" % (slow.port, quick.port)}) as s:
        with s.client() as c:
            c.ehlo()
            for i in range(300):
                c.send("a@src.test", ["x%d@slow.test" % i], HELLO)
            began = time.monotonic()
            c.send("a@src.test", ["x@quick.test"], HELLO)
        wait_for("the quick one", lambda: quick.messages, 10)
        assert time.monotonic() - began < 5
        gate.open.set()
        wait_for("the slow ones", lambda: len(slow.messages) == 300, 60)


def test_concurrency_grows_with_success():
    def slow(session, arg):
        time.sleep(0.2)
    with Sink({"dot": slow}) as sink, Suite({
            "relayhost": "[127.0.0.1]:%d" % sink.port, "initial_destination_concurrency": "1",
            "destination_concurrency_limit": "8"}) as s:
        with s.client() as c:
            c.ehlo()
            for i in range(60):
                c.send("a@src.test", ["x@far.test"], numbered(i))
        wait_for("all", lambda: len(sink.messages) == 60, 60)
        assert 3 <= sink.most_open <= 8, sink.most_open


def test_retry_schedule():
    tries = []

    def busy(session, arg):
        tries.append(time.monotonic())
        return "450 4.2.0 busy"
    with Sink({"rcpt": busy}) as sink, Suite({
            "relayhost": "[127.0.0.1]:%d" % sink.port, "minimal_backoff_time": "1s",
            "retry_schedule": "1s 3s 300s"}) as s:
        qid = s.send("x@far.test", HELLO)
        wait_for("three attempts", lambda: len(tries) >= 3, 25)
        gaps = [b - a for a, b in zip(tries, tries[1:])]
        assert 0.7 <= gaps[0] <= 3 and 2.0 <= gaps[1] <= 7, gaps
        time.sleep(2)
        assert len(tries) == 3, "the third wait is 300 s"
        r = s.admin("queue", "view", qid)["message"]["recipients"][0]
        assert r["attempts"] == 3 and "450 4.2.0 busy" in r["reply"]
        assert 200 < r["next_ms"] / 1000 - time.time() < 400, r


def test_rate_delay():
    times = []

    def note(session, arg):
        times.append(time.monotonic())
    with Sink({"dot": note}) as sink, Suite({
            "relayhost": "[127.0.0.1]:%d" % sink.port, "destination_rate_delay": "1s"}) as s:
        for _ in range(3):
            s.send("x@far.test", HELLO)
        wait_for("three", lambda: len(times) == 3, 20)
        assert all(b - a > 0.8 for a, b in zip(times, times[1:])), times


def test_transports_with_settings_of_their_own():
    with Sink() as slow, Sink() as usual, Suite({
            "transports": "slow:smtp", "slow_smtp_helo_name": "slow.example.test",
            "slow_destination_recipient_limit": "1",
            "transport_maps": "inline:{a.test=slow:[127.0.0.1]:%d}" % slow.port,
            "relayhost": "[127.0.0.1]:%d" % usual.port}) as s:
        s.send(["%d@a.test" % i for i in range(3)] + ["%d@b.test" % i for i in range(3)], HELLO)
        wait_for("one message a recipient", lambda: len(slow.messages) == 3)
        wait_for("one message for three", lambda: len(usual.messages) == 1)
        assert sorted(m.rcpts for m in slow.messages) == [["%d@a.test" % i] for i in range(3)]
        assert "EHLO slow.example.test" in slow.commands
        assert "EHLO mx.example.test" in usual.commands
        stats = {t["name"]: t["type"] for t in s.admin("queue", "stats")["transports"]}
        assert stats["slow"] == "smtp", stats


def test_fallback_relay():
    with Sink() as sink, Suite({"relayhost": "[127.0.0.1]:9",
                                "smtp_fallback_relay": "[127.0.0.1]:%d" % sink.port}) as s:
        s.send("x@far.test", HELLO)
        wait_for("delivery by the fallback", lambda: sink.messages)


def test_lmtp_over_a_unix_socket():
    s = Suite(start=False)
    path = os.path.join(s.dir, "lmtp.sock")
    with s, Sink(lmtp=True, unix=path) as sink:
        os.chmod(path, 0o666)
        s.write_conf(transport_maps="inline:{far.test=lmtp:unix:%s}" % path)
        s.start()
        qid = s.send("x@far.test", HELLO)
        wait_for("delivery", lambda: sink.messages)
        s.wait_log(r"postkeep/lmtp\[\d+\]: %s: to=<x@far.test>.* status=sent" % qid)


def test_discard_and_error_transports():
    with Suite({"transport_maps": "inline:{d.test=discard:, {e.test=error:5.7.1 no mail there}}",
                "relayhost": "[127.0.0.1]:9", "retry_schedule": "1h"}) as s:
        qid = s.send("x@d.test", HELLO)
        s.wait_log(r"postkeep/discard\[\d+\]: %s: to=<x@d.test>.* status=sent" % qid)
        s.wait_log(qid + ": removed")
        with s.client() as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<a@src.test>")
            assert "no mail there" in c.expect(550, "RCPT TO:<x@e.test>"), "refused at once"
        # What was taken before the route became an error is returned.
        qid = s.send("x@late.test", HELLO, sender="alice@example.test")
        s.wait_log(qid + ": to=<x@late.test>.* status=deferred")
        s.write_conf(transport_maps="inline:{{late.test=error:5.7.1 no mail there}}")
        s.adminctl("system", "reload")
        s.adminctl("queue", "requeue", qid)
        s.wait_log(r"postkeep/error\[\d+\]: %s: to=<x@late.test>.* dsn=5\.7\.1, status=bounced "
                   r"\(no mail there\)" % qid)
        assert b"no mail there" in s.wait_mail("alice")[0]


def test_queue_priority_is_obeyed():
    gate = Gate()
    with Sink({"dot": gate}) as sink, Suite({
            **ONE, "relayhost": "[127.0.0.1]:%d" % sink.port}) as s:
        s.send("first@far.test", HELLO)
        wait_for("the first one at the gate", lambda: "DATA" in sink.commands)
        ids = [s.send("x%d@far.test" % i, HELLO) for i in range(10)]
        wait_for("all active", lambda: s.log().count("(queue active)") == 11)
        s.adminctl("queue", "priority", ids[9], "4")
        gate.open.set()
        wait_for("all", lambda: len(sink.messages) == 11, 30)
        order = [m.rcpts[0] for m in sink.messages]
        assert order.index("x9@far.test") <= 2, order


def test_retry_of_an_address_in_its_own_list():
    with Sink() as copies, Suite({
            "virtual_alias_maps": "inline:{ {info@far.test = info@far.test, c@copy.test} }",
            "transport_maps": "inline:{ far.test=smtp:[127.0.0.1]:%d, "
                              "copy.test=smtp:[127.0.0.1]:%d }" % (free_port(), copies.port),
            "retry_schedule": "1s", "minimal_backoff_time": "1s",
            "maximal_backoff_time": "1s"}) as s:
        qid = s.send("info@far.test", HELLO)
        wait_for("retries", lambda: s.log().count("%s: to=<info@far.test>" % qid) >= 4, 30)
        assert len(copies.messages) == 1, len(copies.messages)


def test_a_deferred_transport_waits_for_a_flush():
    with Sink() as sink, Suite({"relayhost": "[127.0.0.1]:%d" % sink.port,
                                "defer_transports": "smtp", "retry_schedule": "1s",
                                "minimal_backoff_time": "1s"}) as s:
        qid = s.send("x@far.test", HELLO)
        s.wait_log(qid + r": to=<x@far\.test>.* status=deferred \(deferred transport\)")
        time.sleep(3)
        assert not sink.messages
        s.adminctl("queue", "flush")
        wait_for("delivery after the flush", lambda: sink.messages)
