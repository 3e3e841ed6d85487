/* SPDX-License-Identifier: ISC */
/*
 * codec.c: fuzzes what lib/base reads: hex, base64, UTF-8, numbers, and the
 * cleaning of log lines. What decodes must encode to the same text again:
 * there is one form only.
 */
#include <stdint.h>

#include "base/buf.h"
#include "base/codec.h"
#include "base/log.h"
#include "base/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_line(enum log_level level, const char *line, size_t len, void *arg)
{
	size_t i;

	(void)level;
	(void)arg;
	ASSERT(len <= LOG_LINE_MAX && utf8_valid(view_of(line, len)));
	for (i = 0; i < len; i++)
		ASSERT((unsigned char)line[i] >= ' ' && line[i] != 0x7f);
}

static void
check_base64(struct view v)
{
	struct buf bytes, text;

	buf_init(&bytes, v.len);
	buf_init(&text, 2 * v.len + 4);
	if (base64_decode(&bytes, v) == 0) {
		ASSERT(base64_put(&text, buf_view(&bytes)) == 0);
		ASSERT(view_eq(buf_view(&text), v));
	} else {
		ASSERT(bytes.len == 0);
	}
	buf_fini(&bytes);
	buf_fini(&text);
}

static void
check_hex(struct view v)
{
	struct buf bytes, text;

	buf_init(&bytes, v.len);
	buf_init(&text, 2 * v.len + 4);
	if (hex_decode(&bytes, v) == 0) {
		ASSERT(hex_put(&text, buf_view(&bytes)) == 0);
		ASSERT(view_caseeq(buf_view(&text), v));
	} else {
		ASSERT(bytes.len == 0);
	}
	buf_fini(&bytes);
	buf_fini(&text);
}

static void
check_numbers(struct view v)
{
	uint64_t n, again;
	struct buf b;

	buf_init(&b, 64);
	if (num_parse_u64(v, 10, 100000, &n) == 0) {
		ASSERT(n >= 10 && n <= 100000);
		buf_put_u64(&b, n);
		ASSERT(num_parse_u64(buf_view(&b), n, n, &again) == 0);
	}
	num_parse_hex(v, &n);
	num_parse_size(v, &n);
	if (num_parse_time_ms(v, 's', &n) == 0)
		num_put_duration(&b, n);
	ASSERT(buf_error(&b) == 0);
	buf_fini(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view v = view_of((const char *)data, size);
	struct buf b;

	check_base64(v);
	check_hex(v);
	check_numbers(v);
	buf_init(&b, 6 * size + 2);
	ASSERT(json_put_string(&b, v) == 0);
	ASSERT(utf8_valid(buf_view(&b)));
	buf_fini(&b);
	log_set_sink(check_line, NULL);
	log_warn("%.*s", VIEW_ARG(v));
	log_set_sink(NULL, NULL);
	return 0;
}
