/* SPDX-License-Identifier: ISC */
/*
 * Records: what is written is read back, what is damaged is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "queue/record.h"
#include "tests/unit/unit.h"

#define KEY	0x1234567890abcdefULL

static void
envelope_good(struct buf *b)
{
	buf_init(b, RECORD_ENVELOPE_MAX);
	envelope_put_text(b, ENVELOPE_SENDER, VIEW("a@src.test"));
	envelope_put_u64(b, ENVELOPE_ARRIVAL_MS, 1700000000000);
	envelope_put_u64(b, ENVELOPE_PRIORITY, 3);
	envelope_put_text(b, ENVELOPE_ENVID, VIEW("QQ+3D"));
	envelope_put_text(b, ENVELOPE_RECIPIENT, VIEW("x@far.test"));
	envelope_put_text(b, ENVELOPE_ORCPT, VIEW("rfc822;x@far.test"));
	envelope_put_u64(b, ENVELOPE_NOTIFY, RECORD_NOTIFY_FAILURE);
	envelope_put_text(b, ENVELOPE_RECIPIENT, VIEW("y@far.test"));
}

static void
test_envelope_round_trip(void **state)
{
	struct record_envelope e;
	struct record_recipient r;
	struct view rest;
	struct buf b;

	(void)state;
	envelope_good(&b);
	assert_int_equal(record_envelope_read(buf_view(&b), &e), 0);
	CHECK_VIEW("sender", e.sender, "a@src.test");
	CHECK_VIEW("envid", e.envid, "QQ+3D");
	assert_int_equal(e.priority, 3);
	assert_int_equal(e.nrecipients, 2);
	rest = e.recipients;
	assert_true(record_recipient_next(&rest, &r));
	CHECK_VIEW("first", r.address, "x@far.test");
	CHECK_VIEW("orcpt", r.orcpt, "rfc822;x@far.test");
	assert_int_equal(r.notify, RECORD_NOTIFY_FAILURE);
	assert_true(record_recipient_next(&rest, &r));
	CHECK_VIEW("second", r.address, "y@far.test");
	assert_int_equal(r.orcpt.len, 0);
	assert_false(record_recipient_next(&rest, &r));
	buf_fini(&b);
}

/* Cut anywhere but between whole fields behind the first recipient, it is refused. */
static void
test_envelope_cut_anywhere(void **state)
{
	struct record_envelope e;
	struct buf b;
	size_t n;

	(void)state;
	envelope_good(&b);
	for (n = 0; n < b.len; n++) {
		char *copy = xmemdup(buf_data(&b), n > 0 ? n : 1);
		int error = record_envelope_read(view_of(copy, n), &e);

		if (error == 0 && (e.nrecipients == 0 || e.nrecipients > 2))
			fail_msg("cut at %zu gave %u recipients", n, e.nrecipients);
		xfree(copy);
	}
	buf_fini(&b);
}

static const struct {
	const char	*name;
	unsigned	 tag;
	const char	*text;
} bad_fields[] = {
	{ "newline in the sender", ENVELOPE_SENDER, "a@b\nc" },
	{ "carriage return", ENVELOPE_SENDER, "a@b\r" },
	{ "unknown odd tag", 61, "x" },
};

static void
test_envelope_refuses(void **state)
{
	struct record_envelope e;
	struct buf b;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(bad_fields); i++) {
		buf_init(&b, 4096);
		if (bad_fields[i].tag != ENVELOPE_SENDER)
			envelope_put_text(&b, ENVELOPE_SENDER, VIEW(""));
		envelope_put_u64(&b, ENVELOPE_ARRIVAL_MS, 1);
		envelope_put_text(&b, bad_fields[i].tag, view_str(bad_fields[i].text));
		envelope_put_text(&b, ENVELOPE_RECIPIENT, VIEW("x@far.test"));
		CHECK_INT(bad_fields[i].name, record_envelope_read(buf_view(&b), &e), PK_EFORMAT);
		buf_fini(&b);
	}
	buf_init(&b, 4096);
	envelope_put_text(&b, ENVELOPE_SENDER, VIEW(""));
	envelope_put_u64(&b, ENVELOPE_ARRIVAL_MS, 1);
	CHECK_INT("no recipient", record_envelope_read(buf_view(&b), &e), PK_EFORMAT);
	envelope_put_text(&b, 62, VIEW("unknown even tags are passed over"));
	envelope_put_text(&b, ENVELOPE_RECIPIENT, VIEW("x@far.test"));
	CHECK_INT("even tag", record_envelope_read(buf_view(&b), &e), 0);
	buf_fini(&b);
}

static void
test_header_every_bit(void **state)
{
	struct record_header h, bad;
	struct buf env;
	size_t bit;

	(void)state;
	envelope_good(&env);
	record_header_shared(&h, KEY, 7, 64, buf_view(&env), VIEW("Received: x\r\n"),
	    VIEW("Subject: x\r\n\r\nbody\r\n"));
	assert_int_equal(record_header_check(&h, KEY, SEGMENT_SHARED, 64, 64 + h.total_bytes), 0);
	assert_int_equal(h.message, record_id(7, 64));
	CHECK_INT("short file", record_header_check(&h, KEY, SEGMENT_SHARED, 64,
	    64 + h.total_bytes - 1), PK_EFORMAT);
	CHECK_INT("no header", record_header_check(&h, KEY, SEGMENT_SHARED, 64, 64 + 79), PK_EEND);
	CHECK_INT("other key", record_header_check(&h, KEY + 1, SEGMENT_SHARED, 64, 4096),
	    PK_EFORMAT);
	for (bit = 0; bit < sizeof(h) * 8; bit++) {
		bad = h;
		((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (record_header_check(&bad, KEY, SEGMENT_SHARED, 64, 4096) != PK_EFORMAT)
			fail_msg("bit %zu flipped is not noticed", bit);
	}
	buf_fini(&env);
}

/* A taken-over writer knows its key: well-checked headers with mad lengths are refused too. */
static void
test_header_mad_lengths(void **state)
{
	static const uint64_t mad[] = { 79, 80, 4097, UINT32_MAX, 1ULL << 40, UINT64_MAX - 7 };
	struct record_header h;
	struct view env;
	struct buf b;
	size_t i;

	(void)state;
	envelope_good(&b);
	env = buf_view(&b);
	for (i = 0; i < NELEMS(mad); i++) {
		record_header_shared(&h, KEY, 7, 64, env, VIEW(""), VIEW("x\r\n"));
		h.content_bytes = mad[i];
		h.check = record_check(KEY, view_of((char *)&h, 72));
		CHECK_INT("content", record_header_check(&h, KEY, SEGMENT_SHARED, 64, 4096),
		    PK_EFORMAT);
		record_header_shared(&h, KEY, 7, 64, env, VIEW(""), VIEW("x\r\n"));
		h.total_bytes = mad[i];
		h.check = record_check(KEY, view_of((char *)&h, 72));
		CHECK_INT("total", record_header_check(&h, KEY, SEGMENT_SHARED, 64, 4096),
		    PK_EFORMAT);
		record_header_shared(&h, KEY, 7, 64, env, VIEW(""), VIEW("x\r\n"));
		h.content_offset = mad[i];
		h.check = record_check(KEY, view_of((char *)&h, 72));
		CHECK_INT("offset", record_header_check(&h, KEY, SEGMENT_SHARED, 64, 4096),
		    PK_EFORMAT);
	}
	buf_fini(&b);
}

static void
test_ids(void **state)
{
	char text[RECORD_ID_TEXT_MAX];
	uint64_t id;

	(void)state;
	record_id_format(record_id(1, 64), text);
	assert_string_equal(text, "0001000008");
	assert_int_equal(record_id_parse(view_str(text), &id), 0);
	assert_int_equal(id, record_id(1, 64));
	CHECK_INT("short", record_id_parse(VIEW("ABC"), &id), PK_ESYNTAX);
	CHECK_INT("long", record_id_parse(VIEW("00000000000000001"), &id), PK_ESYNTAX);
	CHECK_INT("letters", record_id_parse(VIEW("000100000X"), &id), PK_ESYNTAX);
}

UNIT_MAIN(cmocka_unit_test(test_envelope_round_trip),
    cmocka_unit_test(test_envelope_cut_anywhere),
    cmocka_unit_test(test_envelope_refuses),
    cmocka_unit_test(test_header_every_bit),
    cmocka_unit_test(test_header_mad_lengths),
    cmocka_unit_test(test_ids))
