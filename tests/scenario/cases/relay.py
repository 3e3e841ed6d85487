# SPDX-License-Identifier: ISC
"""A16: never an open relay, whatever the address looks like."""
from harness.smtp import Client
from harness.suite import Suite

STRANGER = {"mynetworks": "192.0.2.0/24", "smtpd_client_connection_count_limit": "0",
            "relay_domains": "relayed.test", "default_transport": "discard:"}

# (forward-path, is it ours?)
MATRIX = [
    ("alice@example.test", True), ("ALICE@EXAMPLE.TEST", True),
    ("bob@example.test", True), ("x@relayed.test", True), ("x@sub.relayed.test", True),
    ("x@far.test", False), ("x@example.test.far.test", False), ("x@farexample.test", False),
    ("x%far.test@far2.test", False), ("x%far.test@example.test", False),
    ("far.test!x@example.test", False), ("far.test!x", False),
    ("@example.test:x@far.test", False), ("@far.test,@example.test:x@far2.test", False),
    ('"x@far.test"@example.test', False), ('"x@far.test"', False),
    ('"x%far.test"@example.test', False), ("x@far.test@example.test", False),
    ("x@[192.0.2.9]", False), ("x@[127.0.0.1]", False), ("x@[IPv6:::1]", False),
    ("x@127.0.0.1", False), ("x@localhost.far.test", False), ("x@.example.test", False),
    ("x@example.test.", None), ("<x@far.test>", False), ("x@far.test,alice@example.test", False),
    ("x@far.test\talice@example.test", False), ("x", False), ("@far.test", False),
    ("nobody@example.test", False), ("x@far.test%example.test", False),
]


def verdict(suite, rcpt):
    with Client(suite.port) as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<a@src.test>")
        return c.cmd("RCPT TO:<%s>" % rcpt)


def test_A16_matrix_of_a_stranger():
    with Suite(STRANGER) as s:
        for rcpt, ours in MATRIX:
            code, text = verdict(s, rcpt)
            if ours is None:
                continue
            assert (code == 250) == ours, "%s: %d %s" % (rcpt, code, text)


def test_A16_null_sender_is_no_key():
    with Suite(STRANGER) as s, s.client() as c:
        c.ehlo()
        c.expect(250, "MAIL FROM:<>")
        assert c.cmd("RCPT TO:<x@far.test>")[0] >= 400


def test_A16_friends_may_relay():
    with Suite({"default_transport": "discard:"}) as s:
        assert verdict(s, "x@far.test")[0] == 250


def test_A16_restrictions_without_a_word_about_relaying():
    """Lists that forget the question do not open the relay."""
    with Suite({**STRANGER, "smtpd_relay_restrictions": "",
                "smtpd_recipient_restrictions": "reject_non_fqdn_recipient"}) as s:
        for rcpt in ("x@far.test", "alice@example.test"):
            code, _ = verdict(s, rcpt)
            assert code >= 400, rcpt
        assert "server configuration error" in s.log().lower() or "relay" in s.log().lower()


def test_A16_permit_comes_from_words_only():
    """`permit` says it in words, and the admin gets what he wrote."""
    with Suite({**STRANGER, "smtpd_relay_restrictions": "permit"}) as s:
        assert verdict(s, "x@far.test")[0] == 250


def test_relay_access_denied_line():
    with Suite({**STRANGER, "smtpd_relay_restrictions":
                "permit_mynetworks, reject_unauth_destination"}) as s:
        code, text = verdict(s, "x@far.test")
        assert code == 554 and "Relay access denied" in text
        s.wait_log(r"NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.1\]: 554 5\.7\.1 <x@far\.test>: "
                   r"Relay access denied; from=<a@src\.test> to=<x@far\.test> "
                   r"proto=ESMTP helo=<client\.test>")


def test_access_tables():
    s = Suite(start=False)
    with s:
        s.write("senders", "bad@src.test REJECT not you\nsrc2.test 450 4.7.1 later\n"
                           "good@src.test OK\n")
        s.write("clients.cidr", "127.0.0.9/32 REJECT go away\n")
        s.write_conf(smtpd_sender_restrictions="check_sender_access texthash:%s/senders" % s.etc,
                     smtpd_client_restrictions="check_client_access cidr:%s/clients.cidr" % s.etc)
        s.start()
        for sender, code in (("bad@src.test", 554), ("x@src2.test", 450), ("good@src.test", 250)):
            with s.client() as c:
                c.ehlo()
                c.expect(250, "MAIL FROM:<%s>" % sender)
                got = c.cmd("RCPT TO:<alice@example.test>")
                assert got[0] == code, (sender, got)
        with s.client(source="127.0.0.9") as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<good@src.test>")
            assert "go away" in c.expect(554, "RCPT TO:<alice@example.test>")


def test_backscatter_unknown_recipient_is_refused_at_rcpt():
    with Suite(STRANGER) as s:
        code, text = verdict(s, "nobody@example.test")
        assert code == 550 and "User unknown in virtual mailbox table" in text
