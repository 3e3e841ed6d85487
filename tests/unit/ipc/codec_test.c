/* SPDX-License-Identifier: ISC */
/*
 * codec_test.c: fields written and read; every way in which a peer can get
 * them wrong.
 */
#include "tests/unit/unit.h"

#include <string.h>

#include "ipc/channel_internal.h"

static struct ipc_msg
message(struct ipc_out *o)
{
	struct ipc_msg m = { .type = o->type, .body = buf_view(&o->body) };

	return m;
}

static void
test_round_trip(void **state)
{
	struct view text = VIEW_NONE, bytes = VIEW_NONE, empty = VIEW("x");
	uint64_t n = 0, big = 0;
	struct ipc_out o;
	struct ipc_msg m;
	struct ipc_in in;

	(void)state;
	ipc_out_init(&o, IPC_LISTENER);
	ipc_put_u64(&o, IPC_F_SIZE, 42);
	ipc_put_u64(&o, IPC_F_OFFSET, UINT64_MAX);
	ipc_put_str(&o, IPC_F_NAME, "smtp");
	ipc_put_bytes(&o, IPC_F_DATA, view_of("\0\r\n\xff", 4));
	ipc_put_str(&o, IPC_F_ADDRESS, NULL);
	assert_int_equal(ipc_out_error(&o), 0);
	m = message(&o);
	ipc_in_init(&in, &m);
	assert_true(ipc_has(&in, IPC_F_SIZE));
	assert_false(ipc_has(&in, IPC_F_NAME));
	ipc_get_u64(&in, IPC_F_SIZE, &n);
	ipc_get_range(&in, IPC_F_OFFSET, UINT64_MAX, UINT64_MAX, &big);
	ipc_get_text(&in, IPC_F_NAME, 4, &text);
	assert_int_equal(ipc_in_end(&in), PK_EPROTO);	/* not yet */
	ipc_get_bytes(&in, IPC_F_DATA, 4, &bytes);
	ipc_get_text(&in, IPC_F_ADDRESS, 0, &empty);
	assert_false(ipc_has(&in, IPC_F_NAME));
	assert_int_equal(ipc_in_end(&in), 0);
	assert_int_equal(n, 42);
	assert_true(big == UINT64_MAX);
	CHECK_VIEW("name", text, "smtp");
	assert_int_equal(bytes.len, 4);
	assert_memory_equal(bytes.p, "\0\r\n\xff", 4);
	assert_int_equal(empty.len, 0);
	ipc_out_fini(&o);
}

static void
get_number(struct ipc_in *in)
{
	uint64_t n = 77;

	ipc_get_u64(in, IPC_F_SIZE, &n);
	if (in->error != 0)
		assert_int_equal(n, 77);	/* untouched */
}

static void
get_small(struct ipc_in *in)
{
	uint64_t n = 77;

	ipc_get_range(in, IPC_F_SIZE, 5, 9, &n);
	if (in->error != 0)
		assert_int_equal(n, 77);
}

static void
get_text(struct ipc_in *in)
{
	struct view v = VIEW("untouched");

	ipc_get_text(in, IPC_F_NAME, 4, &v);
	if (in->error != 0)
		CHECK_VIEW("text", v, "untouched");
}

static void
get_bytes(struct ipc_in *in)
{
	struct view v = VIEW("untouched");

	ipc_get_bytes(in, IPC_F_DATA, 4, &v);
	if (in->error != 0)
		CHECK_VIEW("bytes", v, "untouched");
}

static void
test_hostile(void **state)
{
	static const struct {
		const char *name;
		struct view body;
		void (*get)(struct ipc_in *);
		int error;
	} rows[] = {
		{ "nothing", VIEW(""), get_number, PK_EPROTO },
		{ "half a header", VIEW("\x0d\0\x08"), get_number, PK_EPROTO },
		{ "header alone", VIEW("\x0d\0\x08\0"), get_number, PK_EPROTO },
		{ "number", VIEW("\x0d\0\x08\0\7\0\0\0\0\0\0\0"), get_number, 0 },
		{ "a byte short", VIEW("\x0d\0\x08\0\7\0\0\0\0\0\0"), get_number, PK_EPROTO },
		{ "a byte behind", VIEW("\x0d\0\x08\0\7\0\0\0\0\0\0\0x"), get_number, PK_EPROTO },
		{ "number of 7 bytes", VIEW("\x0d\0\x07\0\7\0\0\0\0\0\0"), get_number, PK_EPROTO },
		{ "number of 0 bytes", VIEW("\x0d\0\0\0"), get_number, PK_EPROTO },
		{ "number of 9 bytes", VIEW("\x0d\0\x09\0\7\0\0\0\0\0\0\0\0"), get_number, PK_EPROTO },
		{ "another tag", VIEW("\x0c\0\x08\0\7\0\0\0\0\0\0\0"), get_number, PK_EPROTO },
		{ "tag 0", VIEW("\0\0\x08\0\7\0\0\0\0\0\0\0"), get_number, PK_EPROTO },
		{ "tag 65535", VIEW("\xff\xff\x08\0\7\0\0\0\0\0\0\0"), get_number, PK_EPROTO },
		{ "length 65535", VIEW("\x0d\0\xff\xff\7\0\0\0\0\0\0\0"), get_number, PK_EPROTO },
		{ "in range", VIEW("\x0d\0\x08\0\5\0\0\0\0\0\0\0"), get_small, 0 },
		{ "below", VIEW("\x0d\0\x08\0\4\0\0\0\0\0\0\0"), get_small, PK_EPROTO },
		{ "above", VIEW("\x0d\0\x08\0\x0a\0\0\0\0\0\0\0"), get_small, PK_EPROTO },
		{ "far above", VIEW("\x0d\0\x08\0\7\0\0\0\0\0\0\x80"), get_small, PK_EPROTO },
		{ "text", VIEW("\4\0\4\0abcd"), get_text, 0 },
		{ "empty text", VIEW("\4\0\0\0"), get_text, 0 },
		{ "text too long", VIEW("\4\0\5\0abcde"), get_text, PK_EPROTO },
		{ "NUL in text", VIEW("\4\0\4\0a\0cd"), get_text, PK_EPROTO },
		{ "CR in text", VIEW("\4\0\4\0abc\r"), get_text, PK_EPROTO },
		{ "LF in text", VIEW("\4\0\4\0\nbcd"), get_text, PK_EPROTO },
		{ "bytes", VIEW("\x0f\0\4\0\0\r\n\xff"), get_bytes, 0 },
		{ "bytes too long", VIEW("\x0f\0\5\0abcde"), get_bytes, PK_EPROTO },
		{ "bytes past the end", VIEW("\x0f\0\4\0abc"), get_bytes, PK_EPROTO },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		/* An exact copy: a byte too far is seen by the sanitizer. */
		char *copy = rows[i].body.len > 0 ?
		    xmemdup(rows[i].body.p, rows[i].body.len) : xmalloc(1);
		struct ipc_msg m = { .body = view_of(copy, rows[i].body.len) };
		struct ipc_in in;

		ipc_in_init(&in, &m);
		rows[i].get(&in);
		CHECK_INT(rows[i].name, ipc_in_end(&in), rows[i].error);
		xfree(copy);
	}
}

static void
test_error_sticks(void **state)
{
	uint64_t n = 1;
	struct ipc_out o;
	struct ipc_msg m;
	struct ipc_in in;

	(void)state;
	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, 5);
	m = message(&o);
	ipc_in_init(&in, &m);
	ipc_get_u64(&in, IPC_F_SIZE, &n);
	/* The right one afterwards does not mend it. */
	ipc_get_u64(&in, IPC_F_CODE, &n);
	assert_int_equal(n, 1);
	assert_false(ipc_has(&in, IPC_F_CODE));
	assert_int_equal(ipc_in_end(&in), PK_EPROTO);
	ipc_out_fini(&o);
}

static void
test_limits(void **state)
{
	static char big[IPC_BODY_MAX];
	struct ipc_out o;

	(void)state;
	ipc_out_init(&o, IPC_JOB);
	assert_int_equal(ipc_out_left(&o), IPC_BODY_MAX);
	ipc_put_bytes(&o, IPC_F_DATA, view_of(big, sizeof(big) - 4));
	assert_int_equal(ipc_out_error(&o), 0);
	assert_int_equal(ipc_out_left(&o), 0);
	ipc_put_u64(&o, IPC_F_SIZE, 1);
	assert_int_equal(ipc_out_error(&o), PK_ELIMIT);
	ipc_out_fini(&o);

	ipc_out_init(&o, IPC_JOB);
	ipc_put_bytes(&o, IPC_F_DATA, view_of(big, sizeof(big) - 3));
	assert_int_equal(ipc_out_error(&o), PK_ELIMIT);
	assert_int_equal(o.body.len, 0);
	ipc_out_fini(&o);

	ipc_out_init(&o, IPC_JOB);
	ipc_put_bytes(&o, IPC_F_NAME, view_of("a\0b", 3));
	assert_int_equal(ipc_out_error(&o), PK_ESYNTAX);
	ipc_out_fini(&o);
	/* A buffer of the stock comes back clean. */
	ipc_out_init(&o, IPC_JOB);
	assert_int_equal(ipc_out_error(&o), 0);
	assert_int_equal(ipc_out_left(&o), IPC_BODY_MAX);
	ipc_out_fini(&o);
}

static void
test_tables(void **state)
{
	const struct ipc_row *row = ipc_row(IPC_JOB_RESULT);

	(void)state;
	assert_string_equal(ipc_type_name(IPC_JOB_RESULT), "JOB_RESULT");
	assert_string_equal(ipc_type_name(0), "?");
	assert_string_equal(ipc_type_name(65535), "?");
	assert_null(ipc_row(0));
	assert_true(ipc_row_allows(row, IPC_ROLE_bounce, IPC_ROLE_qmgr));
	assert_true(ipc_row_allows(row, IPC_ROLE_mailbox, IPC_ROLE_qmgr));
	assert_false(ipc_row_allows(row, IPC_ROLE_smtpd, IPC_ROLE_qmgr));
	assert_false(ipc_row_allows(row, IPC_ROLE_qmgr, IPC_ROLE_smtp));
	row = ipc_row(IPC_CONFIG);
	assert_true(ipc_row_allows(row, IPC_ROLE_master, IPC_ROLE_dnsd));
	assert_false(ipc_row_allows(row, IPC_ROLE_dnsd, IPC_ROLE_smtpd));
	assert_string_equal(ipc_role_name(IPC_ROLE_dnsd), "dnsd");
	assert_string_equal(ipc_role_program(IPC_ROLE_bounce), "deliver");
	assert_null(ipc_role_user(IPC_ROLE_adminctl));
	assert_int_equal(ipc_role_parse(VIEW("mailbox")), IPC_ROLE_mailbox);
	assert_int_equal(ipc_role_parse(VIEW("none")), IPC_ROLE_none);
	assert_int_equal(ipc_role_parse(VIEW("")), IPC_ROLE_none);
	assert_string_equal(ipc_field_name(IPC_F_CANONICAL), "CANONICAL");
	assert_string_equal(ipc_field_name(9999), "?");
}

UNIT_MAIN(cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_hostile),
    cmocka_unit_test(test_error_sticks),
    cmocka_unit_test(test_limits),
    cmocka_unit_test(test_tables))
