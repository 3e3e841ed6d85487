/* SPDX-License-Identifier: ISC */
/*
 * smtp_parse.c: nanoseconds for one SMTP command, and MB/s of the content
 * scanner. The budget: under 50 ns for a typical command.
 *
 * A tool for the developer, trusts its argument (how many million commands).
 * Each line is timed alone; the best of five rounds counts, since whatever
 * else the machine does only adds.
 */
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "mail/data_scanner.h"
#include "mail/smtp_command.h"

#define ROUNDS 5

static const unsigned enabled = SMTP_EXT_SIZE | SMTP_EXT_8BITMIME |
    SMTP_EXT_SMTPUTF8 | SMTP_EXT_DSN | SMTP_EXT_MT_PRIORITY;

static const char *const lines[] = {
	"EHLO mail.example.test",
	"MAIL FROM:<alice@example.test>",
	"MAIL FROM:<alice@example.test> SIZE=4096",
	"MAIL FROM:<alice@example.test> SIZE=4096 BODY=8BITMIME",
	"RCPT TO:<bob@example.test>",
	("RCPT TO:<bob@example.test> NOTIFY=FAILURE,DELAY "
	    "ORCPT=rfc822;bob@example.test"),
	"DATA",
	"RSET",
	"QUIT",
	"NOOP",
};

static double
time_line(struct view line, uint64_t n)
{
	struct smtp_command c;
	uint64_t best = UINT64_MAX, start, ns;

	for (int round = 0; round < ROUNDS; round++) {
		start = clock_mono_ns();
		for (uint64_t i = 0; i < n; i++) {
			if (smtp_command_parse(line, enabled, &c) !=
			    SMTP_COMMAND_OK)
				return -1;
			/* The result is used, as far as the compiler knows. */
			__asm__ volatile("" : : "r"(&c) : "memory");
		}
		ns = clock_mono_ns() - start;
		best = ns < best ? ns : best;
	}
	return (double)best / (double)n;
}

static int
sink(void *arg, struct view slice)
{
	*(size_t *)arg += slice.len;
	return 0;
}

static void
make_message(struct buf *b)
{
	buf_put_str(b, "Received: from a (b [192.0.2.1])\r\n\tby c\r\n"
	    "From: alice@example.test\r\nTo: bob@example.test\r\n"
	    "Message-ID: <1@example.test>\r\nSubject: test\r\n\r\n");
	while (b->len < 4096)
		buf_put_str(b, "0123456789012345678901234567890123456789"
		    "012345678901234567890123456789\r\n");
	buf_put_str(b, ".\r\n");
}

static void
time_scanner(uint64_t n)
{
	struct data_scanner s;
	struct buf b;
	uint64_t best = UINT64_MAX, start, ns;
	size_t used, total = 0;

	buf_init(&b, 8192);
	make_message(&b);
	for (int round = 0; round < ROUNDS; round++) {
		start = clock_mono_ns();
		for (uint64_t i = 0; i < n; i++) {
			data_scanner_init(&s, DATA_BARE_REJECT, 0, 0, sink,
			    &total);
			(void)data_scanner_feed(&s, buf_view(&b), &used);
		}
		ns = clock_mono_ns() - start;
		best = ns < best ? ns : best;
	}
	printf("%8.1f ns  %.0f MB/s  4 KiB message scanned\n",
	    (double)best / (double)n,
	    (double)b.len * (double)n * 1000 / (double)best);
	buf_fini(&b);
}

int
main(int argc, char **argv)
{
	uint64_t millions = 1;

	if (argc > 2 || (argc == 2 &&
	    num_parse_u64(view_str(argv[1]), 1, 1000, &millions) != 0)) {
		fprintf(stderr, "usage: smtp_parse [millions]\n");
		return 2;
	}
	for (size_t i = 0; i < NELEMS(lines); i++)
		printf("%8.1f ns  %s\n",
		    time_line(view_str(lines[i]), millions * 1000000),
		    lines[i]);
	time_scanner(millions * 20000);
	return 0;
}
