# SPDX-License-Identifier: ISC
"""Routes by DNS, against nsd on loopback (F7)."""
import time

from harness.dns import Nsd
from harness.smtp import Sink
from harness.suite import Suite, free_port, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"


def with_zones(zones, sink_port=None, **conf):
    """A suite that asks an nsd of its own; MX hosts are reached at the sink's port."""
    s = Suite(start=False)
    nsd = Nsd(s.dir, zones)
    s.write_conf(**nsd.conf(), smtp_tcp_port=str(sink_port or free_port()), inet_protocols="ipv4",
                 retry_schedule="1s", minimal_backoff_time="1s", smtp_connect_timeout="2s", **conf)
    s.start()
    return s, nsd


def test_mx_in_order_of_preference():
    with Sink(address=("127.0.0.2", 0)) as best:
        s, nsd = with_zones({"far.test": ["@ IN MX 20 second", "@ IN MX 10 first",
                                          "first IN A 127.0.0.2", "second IN A 127.0.0.3"]},
                            best.port, inet_interfaces="127.0.0.1")
        with s, nsd:
            s.send("x@far.test", HELLO)
            wait_for("delivery to the best MX", lambda: best.messages)
            s.wait_log(r"relay=first\.far\.test\[127\.0\.0\.2\]:%d" % best.port)


def test_next_mx_when_the_first_is_down():
    with Sink(address=("127.0.0.3", 0)) as second:
        s, nsd = with_zones({"far.test": ["@ IN MX 10 first", "@ IN MX 20 second",
                                          "first IN A 127.0.0.2", "second IN A 127.0.0.3"]},
                            second.port, inet_interfaces="127.0.0.1")
        with s, nsd:
            s.send("x@far.test", HELLO)
            wait_for("delivery to the second MX", lambda: second.messages)


THREE_MX = {"far.test": ["@ IN MX 10 first", "@ IN MX 20 second", "@ IN MX 30 third",
                       "first IN A 127.0.0.2", "second IN A 127.0.0.3", "third IN A 127.0.0.4"]}


def test_next_mx_when_the_first_fails_in_the_session():
    steps = [(step, what) for step in ("greeting", "mail", "rcpt", "data", "dot")
             for what in ("450 4.7.1 later", "421 4.3.2 closing", "drop")
             if (step, what) != ("dot", "drop")]
    # A destination each: one that broke off is not the first to be asked again.
    zone = ["first IN A 127.0.0.2", "second IN A 127.0.0.3"]
    for i in range(len(steps)):
        zone += ["d%d IN MX 10 first" % i, "d%d IN MX 20 second" % i]
    with Sink(address=("127.0.0.2", 0)) as first:
        with Sink(address=("127.0.0.3", first.port)) as second:
            s, nsd = with_zones({"far.test": zone}, first.port, inet_interfaces="127.0.0.1")
            with s, nsd:
                for i, (step, what) in enumerate(steps):
                    first.script = {step: what}
                    qid = s.send("x@d%d.far.test" % i, HELLO)
                    s.wait_log(qid + r": to=<x@d%d\.far\.test>.*relay=second\.far\.test"
                                     r"\[127\.0\.0\.3\]:%d.* status=sent" % (i, first.port))
                    assert first.sessions == i + 1, (step, what)
                wait_for("all messages", lambda: len(second.messages) == len(steps))
                assert not any(m.data for m in first.messages)
                assert "status=deferred" not in s.log(), "one delivery was enough"


def test_next_mx_for_the_recipients_that_the_first_defers():
    def grey(session, line):
        return "450 4.2.0 greylisted" if "grey@" in line else \
            "550 5.1.1 no such user" if "none@" in line else None
    with Sink({"rcpt": grey}, address=("127.0.0.2", 0)) as first:
        with Sink(address=("127.0.0.3", first.port)) as second:
            s, nsd = with_zones(THREE_MX, first.port, inet_interfaces="127.0.0.1")
            with s, nsd:
                qid = s.send(["a@far.test", "grey@far.test", "none@far.test"], HELLO,
                             sender="alice@example.test")
                s.wait_log(qid + r": to=<a@far\.test>.*relay=first\.far\.test.* status=sent")
                s.wait_log(qid + r": to=<grey@far\.test>.*relay=second\.far\.test.* status=sent")
                s.wait_log(qid + r": to=<none@far\.test>.*relay=first\.far\.test.* status=bounced")
                assert [m.rcpts for m in first.messages] == [["a@far.test"]]
                assert [m.rcpts for m in second.messages] == [["grey@far.test"]]


def test_no_more_sessions_than_the_limit():
    with Sink({"rcpt": "450 4.2.0 first"}, address=("127.0.0.2", 0)) as first:
        with Sink({"rcpt": "450 4.2.0 second"}, address=("127.0.0.3", first.port)):
            with Sink(address=("127.0.0.4", first.port)) as third:
                s, nsd = with_zones(THREE_MX, first.port, inet_interfaces="127.0.0.1")
                with s, nsd:
                    qid = s.send("x@far.test", HELLO)
                    s.wait_log(qid + r": to=<x@far\.test>.*relay=second\.far\.test"
                               r".* status=deferred .*450 4\.2\.0 second")
                    assert third.sessions == 0
                    s.write_conf(smtp_mx_session_limit="3")
                    s.adminctl("system", "reload")
                    s.send("y@far.test", HELLO)
                    wait_for("delivery to the third MX", lambda: third.messages)


def test_F9_no_answer_to_the_dot_is_not_sent_twice_at_once():
    with Sink({"dot": "drop"}, address=("127.0.0.2", 0)) as first:
        with Sink(address=("127.0.0.3", first.port)) as second:
            s, nsd = with_zones(THREE_MX, first.port, inet_interfaces="127.0.0.1")
            with s, nsd:
                qid = s.send("x@far.test", HELLO)
                s.wait_log(qid + r": to=<x@far\.test>.*relay=first\.far\.test"
                           r".* status=deferred .*message may be sent more than once")
                wait_for("the retry", lambda: second.messages or first.sessions > 1)


def test_address_without_mx():
    with Sink(address=("127.0.0.2", 0)) as sink:
        s, nsd = with_zones({"far.test": ["@ IN A 127.0.0.2"]}, sink.port,
                            inet_interfaces="127.0.0.1")
        with s, nsd:
            s.send("x@far.test", HELLO)
            wait_for("delivery", lambda: sink.messages)


def test_null_mx_bounces():
    s, nsd = with_zones({"far.test": ["@ IN MX 0 .", "@ IN A 127.0.0.2"]})
    with s, nsd:
        s.send("x@far.test", HELLO, sender="alice@example.test")
        assert b"5.1.10" in s.wait_mail("alice")[0]


def test_no_such_domain_bounces():
    s, nsd = with_zones({"far.test": ["@ IN A 127.0.0.2"]})
    with s, nsd:
        s.send("x@nothere.far.test", HELLO, sender="alice@example.test")
        bounce = s.wait_mail("alice")[0]
        assert b"nothere.far.test" in bounce


def test_F7_dns_away_defers():
    s, nsd = with_zones({"far.test": ["@ IN MX 10 mx", "mx IN A 127.0.0.2"]}, dns_timeout="2s")
    with s, nsd:
        nsd.stop()
        qid = s.send("x@far.test", HELLO, sender="alice@example.test")
        s.wait_log(qid + r": to=<x@far.test>.* dsn=4\.4\.\d, status=deferred", 30)
        time.sleep(1)
        assert s.mailbox("alice") == [], "deferral, not bounce"


def test_own_address_as_mx_is_a_loop():
    s = Suite(start=False)
    nsd = Nsd(s.dir, {"far.test": ["@ IN MX 10 mx", "mx IN A 127.0.0.1"]})
    s.write_conf(**nsd.conf(), smtp_tcp_port=str(s.port), inet_interfaces="127.0.0.1")
    s.start()
    with s, nsd:
        s.send("x@far.test", HELLO, sender="alice@example.test")
        bounce = s.wait_mail("alice")[0]
        assert b"loops back to myself" in bounce


def test_F7_cname_loop_and_many_records():
    many = ["many IN A 127.1.%d.%d" % (i // 250, i % 250 + 1) for i in range(2000)]
    s, nsd = with_zones({"far.test": ["a IN CNAME b", "b IN CNAME a", *many]}, dns_timeout="3s",
                        smtp_mx_address_limit="2")
    with s, nsd:
        s.send("x@a.far.test", HELLO, sender="alice@example.test")
        s.send("x@many.far.test", HELLO, sender="alice@example.test")
        s.wait_log(r"to=<x@a\.far\.test>.* status=(deferred|bounced)", 30)
        s.wait_log(r"to=<x@many\.far\.test>.* status=deferred", 30)
        assert s.pid_of("dnsd"), "dnsd lives"
        assert "panic" not in s.log()


def test_reject_unknown_domains():
    s, nsd = with_zones({"far.test": ["@ IN A 127.0.0.2"]},
                        smtpd_sender_restrictions="reject_unknown_sender_domain",
                        default_transport="discard:")
    with s, nsd:
        for sender, code in (("a@far.test", 250), ("a@no.far.test", 450)):
            with s.client() as c:
                c.ehlo()
                c.expect(250, "MAIL FROM:<%s>" % sender)
                got = c.cmd("RCPT TO:<alice@example.test>")
                assert got[0] == code, (sender, got)


def test_adminctl_dns():
    s, nsd = with_zones({"far.test": ["@ IN MX 10 mx", "mx IN A 127.0.0.2"]})
    with s, nsd:
        out = s.admin("dns", "lookup", "far.test", "MX")
        assert "mx.far.test" in str(out)
        assert "far.test" in s.adminctl("dns", "cache", "list").stdout
        s.adminctl("dns", "override", "set", "pinned.test", "A", "127.0.0.77")
        assert "127.0.0.77" in s.adminctl("dns", "lookup", "pinned.test", "A").stdout
        assert "pinned.test" in s.adminctl("dns", "override", "list").stdout
        s.adminctl("dns", "override", "remove", "pinned.test")
        s.adminctl("dns", "cache", "refresh", "far.test")
        wait_for("the fresh answer",
                 lambda: "far.test" in s.adminctl("dns", "cache", "list", check=False).stdout)
        s.adminctl("dns", "cache", "clear", "--yes")
        assert "far.test" not in s.adminctl("dns", "cache", "list", check=False).stdout


def test_addresses_of_both_families_are_raced():
    """The IPv6 address leads nowhere: the IPv4 one is not kept waiting for its time-out."""
    with Sink(address=("127.0.0.2", 0)) as sink:
        s, nsd = with_zones({"far.test": ["@ IN MX 10 mx", "mx IN AAAA 2001:db8::1",
                                          "mx IN A 127.0.0.2"]},
                            sink.port, inet_interfaces="127.0.0.1")
        with s, nsd:
            s.write_conf(inet_protocols="all", smtp_connect_timeout="20s")
            s.adminctl("system", "reload")
            s.send("x@far.test", HELLO)
            wait_for("delivery by IPv4", lambda: sink.messages, 8)


def test_hosts_of_equal_preference_share_the_load():
    with Sink(address=("127.0.0.2", 0)) as one:
        with Sink(address=("127.0.0.3", one.port)) as two:
            s, nsd = with_zones({"far.test": ["@ IN MX 10 a", "@ IN MX 10 b",
                                              "a IN A 127.0.0.2", "b IN A 127.0.0.3"]},
                                one.port, inet_interfaces="127.0.0.1",
                                smtp_connection_cache_time_limit="0")
            with s, nsd:
                for i in range(20):
                    s.send("x%d@far.test" % i, HELLO)
                wait_for("all", lambda: len(one.messages) + len(two.messages) == 20, 30)
                assert one.messages and two.messages, (len(one.messages), len(two.messages))
