# SPDX-License-Identifier: ISC
"""deliver smtp against servers that hang, drop, refuse and lie (F9, A18)."""
import re
import time

from harness.smtp import Sink
from harness.suite import Suite, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"
QUICK = {"retry_schedule": "1s", "minimal_backoff_time": "1s",
         "smtp_connect_timeout": "2s", "smtp_helo_timeout": "2s", "smtp_mail_timeout": "2s",
         "smtp_rcpt_timeout": "2s", "smtp_data_init_timeout": "2s",
         "smtp_data_xfer_timeout": "2s", "smtp_data_done_timeout": "2s",
         "smtp_quit_timeout": "2s"}


def suite_for(sink, **conf):
    return Suite({**QUICK, "relayhost": "[127.0.0.1]:%d" % sink.port, **conf})


def once(action):
    """A script step that misbehaves the first time only."""
    state = []

    def step(session, arg):
        state.append(1)
        return action if len(state) == 1 else None
    return step


def test_F9_hang_or_drop_at_each_step():
    """Whatever happens before the dot is answered, the message arrives later, once."""
    for step in ("greeting", "ehlo", "mail", "rcpt", "data"):
        for action in ("hang", "drop"):
            with Sink({step: once(action)}, ehlo=("8BITMIME",)) as sink, suite_for(sink) as s:
                s.send("x@far.test", HELLO)
                wait_for("delivery after %s at %s" % (action, step),
                         lambda: sink.messages, 25)
                s.wait_empty()
                assert len(sink.messages) == 1, (step, action)


def test_F9_drop_after_the_dot_gives_at_most_a_duplicate():
    with Sink({"dot": once("drop")}) as sink, suite_for(sink) as s:
        s.send("x@far.test", HELLO)
        s.wait_log("lost connection with .* while sending end of data")
        wait_for("delivery", lambda: sink.messages, 25)
        s.wait_empty()
        assert len(sink.messages) == 1


def test_F9_421_in_the_pipeline():
    with Sink({"rcpt": once("421 4.3.2 shutting down")}) as sink, suite_for(sink) as s:
        s.send("x@far.test", HELLO)
        wait_for("delivery", lambda: sink.messages, 25)
        s.wait_empty()


def test_F9_4xx_storm_then_peace():
    end = time.monotonic() + 3

    def storm(session, arg):
        return "451 4.3.0 storm" if time.monotonic() < end else None
    with Sink({"mail": storm}) as sink, suite_for(sink) as s:
        for i in range(20):
            s.send("x%d@far.test" % i, HELLO)
        wait_for("all after the storm", lambda: len(sink.messages) == 20, 40)
        s.wait_empty()


def test_A18_lying_replies():
    """Garbage, endless lines, codes that change inside a reply: deferred, never lost, no crash."""
    lies = ["garbage", "250", "2\x0050 x", "250-a\r\n550 b", "999 x",
            "250-" + "x" * 20000, "\r\n".join(["250-more"] * 5000) + "\r\n250 end", ""]
    for lie in lies:
        with Sink({"mail": once(lie)}) as sink, suite_for(sink) as s:
            s.send("x@far.test", HELLO)
            wait_for("delivery after %r" % lie[:20], lambda: sink.messages, 30)
            s.wait_empty()
            assert "panic" not in s.log()


def test_results_for_each_recipient():
    def rcpt(session, arg):
        if "gone" in arg:
            return "550 5.1.1 gone"
        if "later" in arg:
            return "450 4.2.1 later"
        return None
    with Sink({"rcpt": rcpt}) as sink, suite_for(sink, retry_schedule="300s",
                                                 minimal_backoff_time="300s") as s:
        qid = s.send(["ok@far.test", "gone@far.test", "later@far.test"], HELLO,
                     sender="alice@example.test")
        s.wait_log(qid + r": to=<ok@far.test>.* status=sent \(250 2.0.0 Ok: taken\)")
        s.wait_log(qid + r": to=<gone@far.test>.* dsn=5.1.1, status=bounced .*550 5.1.1 gone")
        s.wait_log(qid + r": to=<later@far.test>.* dsn=4.2.1, status=deferred .*450 4.2.1 later")
        bounce = s.wait_mail("alice")[0]
        assert b"gone@far.test" in bounce
        assert b"Final-Recipient: rfc822; gone@far.test" in bounce.replace(b";g", b"; g")
        assert b"later@far.test" not in bounce.split(b"message/delivery-status")[1].split(b"hello")[0]
        assert sink.messages[0].rcpts == ["ok@far.test"]


def test_transaction_is_shared_and_connection_reused():
    with Sink() as sink, suite_for(sink) as s:
        s.send(["a@far.test", "b@far.test", "c@far.test"], HELLO)
        wait_for("one transaction", lambda: sink.messages)
        assert sorted(sink.messages[0].rcpts) == ["a@far.test", "b@far.test", "c@far.test"]
        before = sink.sessions
        for _ in range(5):
            s.send("d@far.test", HELLO)
            wait_for("delivered", lambda: not s.queue())
        assert len(sink.messages) == 6
        assert sink.sessions - before < 5, "connections were not reused"


def test_eight_bit_is_converted_when_the_next_hop_cannot():
    text = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" \
           "Content-Transfer-Encoding: 8bit\r\n\r\nGr\u00fc\u00dfe\r\n".encode()
    with Sink(ehlo=("PIPELINING",)) as sink, suite_for(sink) as s, s.client() as c:
        c.ehlo()
        c.send("a@src.test", ["x@far.test"], text, "BODY=8BITMIME")
        wait_for("delivery", lambda: sink.messages)
        data = sink.messages[0].data
        assert all(b < 128 for b in data)
        assert b"Content-Transfer-Encoding: quoted-printable" in data
        assert b"Gr=C3=BC=C3=9Fe" in data


def test_eight_bit_passes_when_it_can():
    with Sink(ehlo=("8BITMIME",)) as sink, suite_for(sink) as s, s.client() as c:
        c.ehlo()
        c.send("a@src.test", ["x@far.test"], b"Subject: x\r\n\r\n\xc3\xbc\r\n", "BODY=8BITMIME")
        wait_for("delivery", lambda: sink.messages)
        assert b"\xc3\xbc" in sink.messages[0].data
        assert "BODY=8BITMIME" in sink.messages[0].lines[0]


def test_binarymime_goes_by_bdat():
    body = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\na\x00b\r\n"
    with Sink(ehlo=("8BITMIME", "CHUNKING", "BINARYMIME")) as sink, \
            suite_for(sink, smtpd_binarymime="yes") as s, s.client() as c:
        assert "BINARYMIME" in c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test> BODY=BINARYMIME")
        c.expect(250, "RCPT TO:<x@far.test>")
        c.raw(b"BDAT %d LAST\r\n" % len(body) + body)
        assert c.reply()[0] == 250
        wait_for("delivery", lambda: sink.messages)
        assert b"a\x00b" in sink.messages[0].data


def test_size_is_told_and_obeyed():
    with Sink(ehlo=("SIZE 100",)) as sink, suite_for(sink) as s:
        s.send("x@far.test", HELLO + b"x" * 500 + b"\r\n", sender="alice@example.test")
        assert b"5.3.4" in s.wait_mail("alice")[0]
        assert not sink.messages


def test_dsn_parameters_are_passed_on():
    with Sink(ehlo=("DSN", "PIPELINING")) as sink, suite_for(sink) as s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test> RET=HDRS ENVID=QQ+3D1")
        c.expect(250, "RCPT TO:<x@far.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;orig@far.test")
        assert c.data(HELLO)[0] == 250
        wait_for("delivery", lambda: sink.messages)
        lines = "\n".join(sink.commands)
        assert re.search(r"MAIL FROM:<a@src.test>.* RET=HDRS.* ENVID=QQ\+3D1", lines)
        assert re.search(r"RCPT TO:<x@far.test>.*NOTIFY=SUCCESS,FAILURE", lines)
        assert "ORCPT=rfc822;orig@far.test" in lines


def test_smtputf8_needs_a_next_hop_that_has_it():
    address = "gr\u00fc\u00dfe@far.test"
    with Sink(ehlo=("8BITMIME",)) as sink, suite_for(sink) as s, s.client() as c:
        c.ehlo()
        c.send("alice@example.test", [address], HELLO, "SMTPUTF8")
        assert b"5.6.7" in s.wait_mail("alice")[0]
        assert not sink.messages
    with Sink(ehlo=("8BITMIME", "SMTPUTF8")) as sink, suite_for(sink) as s, s.client() as c:
        c.ehlo()
        c.send("alice@example.test", [address], HELLO, "SMTPUTF8")
        wait_for("delivery", lambda: sink.messages)
        assert sink.messages[0].rcpts == [address]
        assert "SMTPUTF8" in sink.messages[0].lines[0]


def test_dead_next_hop_backs_off_and_recovers():
    with Sink() as sink:
        port = sink.port
    s = Suite({**QUICK, "relayhost": "[127.0.0.1]:%d" % port})
    with s:
        for i in range(5):
            s.send("x%d@far.test" % i, HELLO)
        s.wait_log("status=deferred .*[Cc]onnection refused")
        why = s.adminctl("queue", "why", "far.test").stdout
        assert "efused" in why, why
        with Sink(address=("127.0.0.1", port)) as again:
            s.adminctl("queue", "flush")
            wait_for("everything after the flush", lambda: len(again.messages) == 5, 20)


def test_concurrency_limit_holds():
    def slow(session, arg):
        time.sleep(0.3)
    with Sink({"dot": slow}) as sink, suite_for(
            sink, destination_concurrency_limit="3", initial_destination_concurrency="3") as s:
        for i in range(12):
            s.send("x%d@far.test" % i, HELLO)
        wait_for("all", lambda: len(sink.messages) == 12, 30)
        assert sink.most_open <= 3, sink.most_open


def test_lmtp_results_are_per_recipient():
    def dot(session, rcpt):
        return "550 5.2.2 %s is full" % rcpt if rcpt.startswith("full") else None
    with Sink({"dot": dot}, lmtp=True) as sink, Suite(
            {**QUICK, "default_transport": "lmtp:inet:127.0.0.1:%d" % sink.port}) as s:
        qid = s.send(["ok@far.test", "full@far.test"], HELLO, sender="alice@example.test")
        s.wait_log(qid + r": to=<ok@far.test>.* status=sent")
        s.wait_log(qid + r": to=<full@far.test>.* status=bounced .*full@far.test is full")
        s.wait_mail("alice")
        assert any(c.startswith("LHLO") for c in sink.commands)


def test_ipv6_next_hop():
    import socket
    from harness.suite import Skip
    try:
        sink = Sink(address=("::1", 0), family=socket.AF_INET6)
    except OSError as e:
        raise Skip("no IPv6 loopback: %s" % e)
    with sink, Suite({**QUICK, "relayhost": "[::1]:%d" % sink.port}) as s:
        s.send("x@far.test", HELLO)
        wait_for("delivery", lambda: sink.messages)
