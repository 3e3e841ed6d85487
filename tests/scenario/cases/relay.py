# SPDX-License-Identifier: ISC
"""A16: never an open relay, whatever the address looks like."""
import os

from harness.smtp import Client, Sink
from harness.suite import Suite, wait_for

HELLO = b"From: a@src.test\r\nSubject: hello\r\n\r\nhello\r\n"

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
        s.wait_log("(?i)server configuration error|relay")


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


def test_address_classes():
    """Local, virtual alias, virtual mailbox, relay and default: who is known, and where it goes."""
    with Sink() as sink, Suite({
            **STRANGER, "mydestination": "local.test",
            "local_recipient_maps": "inline:{root@local.test=x}", "local_transport": "discard:",
            "virtual_alias_domains": "alias.test",
            "virtual_alias_maps": "inline:{info@alias.test=alice@example.test, "
            "{@all.example.test=bob@example.test}}",
            "relay_domains": "relay.test",
            "relay_recipient_maps": "inline:{known@relay.test=x}",
            "transport_maps": "inline:{relay.test=smtp:[127.0.0.1]:%d}" % sink.port}) as s:
        for rcpt, code, words in (
                ("root@local.test", 250, ""),
                ("nobody@local.test", 550, "User unknown in local recipient table"),
                ("info@alias.test", 250, ""),
                ("nobody@alias.test", 550, "User unknown in virtual alias table"),
                ("alice@example.test", 250, ""),
                ("nobody@example.test", 550, "User unknown in virtual mailbox table"),
                ("known@relay.test", 250, ""),
                ("nobody@relay.test", 550, "User unknown in relay recipient table"),
                ("x@elsewhere.test", 454, "Relay access denied")):
            code_now, text = verdict(s, rcpt)
            assert code_now == code and words in text, (rcpt, code_now, text)
        s.send(["info@alias.test", "known@relay.test", "root@local.test"], HELLO)
        s.wait_mail("alice")
        wait_for("the relayed one", lambda: sink.messages)
        s.wait_empty()


def test_every_type_of_table():
    s = Suite(start=False)
    with s:
        s.write("people", "lmdb@example.test alice@example.test\n")
        s.adminctl("table", "build", s.etc + "/people")
        os.chmod(s.etc + "/people.lmdb", 0o644)
        s.write("texts", "text@example.test alice@example.test\n")
        s.write("patterns", "/^pcre-(\\w+)@example\\.test$/ $1@example.test\n")
        s.write("nets", "127.0.0.8/32 REJECT by net\n0.0.0.0/0 DUNNO\n")
        s.write_conf(virtual_alias_maps="inline:{inline@example.test=alice@example.test}, "
                     "lmdb:%s/people, texthash:%s/texts, pcre:%s/patterns" % ((s.etc,) * 3),
                     smtpd_client_restrictions="check_client_access cidr:%s/nets" % s.etc,
                     smtpd_recipient_restrictions="check_recipient_access static:OK")
        s.start()
        names = ("inline", "lmdb", "text", "pcre-alice")
        for name in names:
            s.send(name + "@example.test", HELLO)
        s.wait_mail("alice", len(names))
        with s.client(source="127.0.0.8") as c:
            c.ehlo()
            c.expect(250, "MAIL FROM:<a@src.test>")
            assert "by net" in c.expect(554, "RCPT TO:<alice@example.test>")
        for table, key, value in (("inline:{inline@example.test=alice@example.test}",
                                   "inline@example.test", "alice@example.test"),
                                  ("lmdb:%s/people" % s.etc, "lmdb@example.test", "alice@"),
                                  ("cidr:%s/nets" % s.etc, "127.0.0.8", "REJECT by net"),
                                  ("pcre:%s/patterns" % s.etc, "pcre-bob@example.test", "bob@"),
                                  ("static:OK", "whatever", "OK")):
            assert value in s.adminctl("table", "get", table, key).stdout, table
        tables = {t["table"]: t for t in s.admin("lookup", "status")["tables"]}
        assert tables["lmdb:%s/people" % s.etc]["lookups"] > 0, tables


def test_tables_that_are_passed_over_are_named():
    with Suite({"smtpd_client_event_limit_exceptions": "127.0.0.0/8, cidr:/etc/hosts"}) as s:
        s.wait_log("smtpd_client_event_limit_exceptions: cidr:/etc/hosts is passed over")
