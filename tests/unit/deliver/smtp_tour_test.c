/* SPDX-License-Identifier: ISC */
/*
 * smtp_tour_test.c: a host fails in the session: the next one is asked in the
 * same delivery, with those recipients whose reply was not final, as often as
 * the limits allow; what may have been taken is not sent twice (F9).
 */
#include "tests/unit/deliver/rig.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "deliver/smtp.h"

#define CONF							\
	"myhostname = me.test\nlisteners = smtp:inet:1\n"	\
	"smtp_randomize_addresses = no\n"			\
	"smtp_helo_timeout = 100ms\nsmtp_mail_timeout = 100ms\n"	\
	"smtp_rcpt_timeout = 100ms\nsmtp_data_init_timeout = 100ms\n"	\
	"smtp_data_done_timeout = 100ms\n"

#define HOSTS	3

static struct rig rig;
static struct rig_server host[HOSTS];
static struct rig_job job;
static char hops[128];

/* Hosts of one next hop each cannot be had on loopback: a list of next hops. */
static void
start(const char *conf)
{
	struct buf b;
	int i;

	rig_init(&rig, &deliver_role_smtp, conf);
	buf_init(&b, sizeof(hops));
	for (i = 0; i < HOSTS; i++) {
		rig_server_init(&host[i], rig.d.loop, false);
		buf_printf(&b, "%s[127.0.0.1]:%u", i > 0 ? ", " : "",
		    host[i].port);
	}
	snprintf(hops, sizeof(hops), "%s", buf_cstr(&b));
	buf_fini(&b);
	job = (struct rig_job){
		.nexthop = hops, .sender = "s@me.test",
		.rcpts = { "a@x.test" }, .header = "Received: x\r\n",
		.content = VIEW("Subject: t\r\n\r\nhello\r\n"),
	};
}

static void
stop(void)
{
	int i;

	rig_fini(&rig);
	for (i = 0; i < HOSTS; i++)
		rig_server_fini(&host[i]);
}

static void
deliver(void)
{
	rig_send(&rig, &job);
	rig_wait(&rig, (unsigned)rig.jobs);
}

static void
special(unsigned h, const char *command, const char *reply)
{
	host[h].special[0][0] = command;
	host[h].special[0][1] = reply;
}

/* Recipient i of job n got that word, from host h (HOSTS: none). */
static void
assert_result(int n, int i, const char *word, unsigned h)
{
	char *begin = xasprintf("%d/%d %s ", n, i, word), *end, *line, *nl;

	end = h < HOSTS ? xasprintf("[127.0.0.1[127.0.0.1]:%u]", host[h].port) :
			  xasprintf("[none]");
	line = strstr(buf_cstr(&rig.log), begin);
	nl = line != NULL ? strchr(line, '\n') : NULL;
	if (nl == NULL || strlen(end) > (size_t)(nl - line) ||
	    memcmp(nl - strlen(end), end, strlen(end)) != 0)
		fail_msg("no %s...%s in\n%s", begin, end, buf_cstr(&rig.log));
	xfree(begin);
	xfree(end);
}

static void
assert_sessions(unsigned a, unsigned b, unsigned c)
{
	assert_int_equal(host[0].connections, a);
	assert_int_equal(host[1].connections, b);
	assert_int_equal(host[2].connections, c);
}

static const char *const ehlos[] = {
	"250 x\r\n",
	"250-x\r\n250 PIPELINING\r\n",
	"250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n",
};

/* 4xx, 421, a lost connection and silence at each step: the second has it. */
static void
test_each_step(void **state)
{
	static const char *const steps[] = { "EHLO", "MAIL", "RCPT", "DATA" };
	static const char *const replies[] = { "450 4.7.1 later\r\n",
		"421 4.3.2 closing\r\n", "", NULL };
	size_t s, r, e;

	(void)state;
	for (s = 0; s < NELEMS(steps); s++) {
		for (r = 0; r < NELEMS(replies); r++) {
			for (e = 0; e < 2; e++) {
				start(CONF);
				special(0, steps[s], replies[r]);
				/* EHLO refused is followed by HELO. */
				host[0].special[1][0] = "HELO";
				host[0].special[1][1] = replies[r];
				host[0].ehlo = ehlos[e];
				deliver();
				assert_result(1, 0, "sent", 1);
				assert_sessions(1, 1, 0);
				assert_int_equal(rig.results, 1);
				assert_int_equal(host[1].messages, 1);
				stop();
			}
		}
	}
}

static void
test_greeting(void **state)
{
	(void)state;
	start(CONF);
	host[0].greeting = "421 4.3.2 not now\r\n";
	host[1].greeting = "554 5.3.2 never\r\n";
	deliver();
	assert_result(1, 0, "sent", 2);
	stop();
}

/* The session is there and gone in one packet. */
static void
test_gone_at_once(void **state)
{
	(void)state;
	start(CONF);
	host[0].ehlo = "250 x\r\n421 bye\r\n";
	special(1, "MAIL", NULL);
	host[2].ehlo = "250 x\r\nwhat\r\n";
	deliver();
	assert_result(1, 0, "deferred", 2);
	assert_sessions(1, 1, 1);
	stop();
}

static void
test_data_replies(void **state)
{
	size_t e;

	(void)state;
	for (e = 0; e < NELEMS(ehlos); e++) {
		start(CONF);
		host[0].ehlo = ehlos[e];
		host[0].queued = "451 4.3.0 no room\r\n";
		host[1].queued = "554 5.6.0 bad\r\n";
		deliver();
		assert_result(1, 0, "bounced", 1);
		assert_sessions(1, 1, 0);
		stop();
	}
}

/* RFC 1047: it may have been taken. */
static void
test_no_answer_to_the_dot(void **state)
{
	size_t e;

	(void)state;
	for (e = 0; e < NELEMS(ehlos) * 2; e++) {
		start(CONF);
		host[0].ehlo = ehlos[e / 2];
		host[0].queued = e % 2 == 0 ? NULL : "";
		job.rcpts[1] = "b@x.test";
		deliver();
		assert_result(1, 0, "deferred", 0);
		assert_result(1, 1, "deferred", 0);
		assert_int_equal(rig.results, 2);
		assert_sessions(1, 0, 0);
		stop();
	}
	/* All of it is in the packet with MAIL. */
	start(CONF);
	host[0].ehlo = ehlos[2];
	special(0, "MAIL", NULL);
	deliver();
	assert_result(1, 0, "deferred", 0);
	assert_sessions(1, 0, 0);
	stop();
}

static void
test_recipients_part(void **state)
{
	size_t e;

	(void)state;
	for (e = 0; e < NELEMS(ehlos); e++) {
		start(CONF);
		host[0].ehlo = ehlos[e];
		special(0, "RCPT TO:<b@", "450 4.2.0 grey\r\n");
		host[0].special[1][0] = "RCPT TO:<c@";
		host[0].special[1][1] = "550 5.1.1 who\r\n";
		job.rcpts[1] = "b@x.test";
		job.rcpts[2] = "c@x.test";
		job.rcpts[3] = "d@x.test";
		deliver();
		assert_result(1, 0, "sent", 0);
		assert_result(1, 1, "sent", 1);
		assert_result(1, 2, "bounced", 0);
		assert_result(1, 3, "sent", 0);
		assert_int_equal(rig.results, 4);
		assert_int_equal(host[1].rcpts, 1);
		assert_sessions(1, 1, 0);
		stop();
	}
}

/* As many recipients a transaction as the server takes. */
static void
test_few_at_once(void **state)
{
	(void)state;
	start(CONF);
	host[0].ehlo = "250-x\r\n250-PIPELINING\r\n250 LIMITS RCPTMAX=1\r\n";
	special(0, "RCPT TO:<b@", "450 4.2.0 grey\r\n");
	special(1, "RCPT TO:<b@", "451 4.2.0 grey too\r\n");
	host[0].special[1][0] = "RCPT TO:<d@";
	host[0].special[1][1] = "421 4.3.0 enough\r\n";
	job.rcpts[1] = "b@x.test";
	job.rcpts[2] = "c@x.test";
	job.rcpts[3] = "d@x.test";
	deliver();
	assert_result(1, 0, "sent", 0);
	assert_result(1, 1, "sent", 2);
	assert_result(1, 2, "sent", 0);
	assert_result(1, 3, "sent", 1);
	assert_int_equal(rig.results, 4);
	stop();
}

static void
test_5xx_is_final(void **state)
{
	static const char *const steps[] = { "MAIL", "RCPT", "DATA" };
	size_t s;

	(void)state;
	for (s = 0; s < NELEMS(steps); s++) {
		start(CONF);
		special(0, steps[s], "550 5.7.1 no\r\n");
		deliver();
		assert_result(1, 0, "bounced", 0);
		assert_sessions(1, 0, 0);
		stop();
	}
}

/* The last host's reply is the result; one that is not there is passed over. */
static void
test_last_reply(void **state)
{
	char *list;

	(void)state;
	start(CONF);
	special(0, "RCPT", "450 4.1.0 first\r\n");
	special(1, "RCPT", NULL);
	special(2, "RCPT", "450 4.3.0 third\r\n");
	deliver();
	assert_result(1, 0, "deferred", 2);
	assert_non_null(strstr(buf_cstr(&rig.log), "450 4.3.0 third"));
	assert_int_equal(rig.results, 1);
	list = xasprintf("[127.0.0.1]:%u, [127.0.0.1]:2, [127.0.0.1]:%u",
	    host[0].port, host[2].port);
	job.nexthop = list;
	deliver();
	assert_result(2, 0, "deferred", 2);
	xfree(list);
	list = xasprintf("[127.0.0.1]:%u, [127.0.0.1]:2", host[0].port);
	job.nexthop = list;
	deliver();
	assert_result(3, 0, "deferred", HOSTS);
	assert_non_null(strstr(buf_cstr(&rig.log), "Connection refused"));
	xfree(list);
	stop();
}

/* One host holds back, the others wait for nothing: no connection too many. */
static void
test_one_connection(void **state)
{
	int i;

	(void)state;
	start(CONF "destination_concurrency_limit = 1\n");
	special(0, "RCPT TO:<b@", "450 4.2.0 grey\r\n");
	for (i = 0; i < 40; i++) {
		job.rcpts[0] = i % 8 == 3 ? "b@x.test" : "a@x.test";
		rig_send(&rig, &job);
	}
	rig_wait(&rig, 40);
	assert_int_equal(rig.results, 40);
	assert_int_equal(host[0].rcpts, 35);
	assert_int_equal(host[1].messages, 5);
	assert_true(host[0].connections <= 6);
	/* Who comes next is not sent to the second one. */
	job.rcpts[0] = "a@x.test";
	deliver();
	assert_result(41, 0, "sent", 0);
	stop();
}

/* Behind all that the next hop is, by the same rules. */
static void
test_fallback_relay(void **state)
{
	struct conf *old;
	char *text, *list;

	(void)state;
	start(CONF);
	/* Known only now is the port. */
	old = rig.conf;
	text = xasprintf(CONF "smtp_fallback_relay = [127.0.0.1]:%u\n",
	    host[1].port);
	rig.d.conf = rig.conf = conf_load("test", view_str(text), NULL, NULL);
	assert_non_null(rig.conf);
	list = xasprintf("[127.0.0.1]:%u", host[0].port);
	job.nexthop = list;
	job.rcpts[1] = "b@x.test";
	special(0, "RCPT TO:<b@", "450 4.2.0 grey\r\n");
	deliver();
	assert_result(1, 0, "sent", 0);
	assert_result(1, 1, "sent", 1);
	/* What comes next is not for it. */
	job.rcpts[1] = NULL;
	deliver();
	assert_result(2, 0, "sent", 0);
	assert_sessions(1, 1, 0);
	xfree(list);
	xfree(text);
	conf_free(&old);
	stop();
}

/* ---- limits, by a route of two next hops ---- */

static struct smtp_target targets[6];
static struct conf limits;
static struct deliver a_deliver;
static struct smtp a_smtp = { .d = &a_deliver };
static struct smtp_route route = { .refs = 1, .targets = targets,
	.ntargets = 6 };
static struct smtp_dest a_dest = { .s = &a_smtp, .route = &route,
	.conf = &limits };

/* Where a job goes that each host defers, as "0 1 4". */
static void
assert_tour(int64_t addresses, int64_t sessions, const char *want)
{
	struct job_rcpt rcpt = { .held = true };
	struct job j = { .rcpts = &rcpt, .nrcpts = 1, .undone = 1 };
	struct smtp_conn c = { .s = &a_smtp, .dest = &a_dest };
	struct buf b;

	limits.smtp_mx_address_limit = addresses;
	limits.smtp_mx_session_limit = sessions;
	smtp_order_init(&c.order, &a_dest);
	c.target = smtp_order_target(&c.order, 0);
	buf_init(&b, 256);
	buf_printf(&b, "%d", (int)(c.target - targets));
	while (smtp_tour_goes_on(&c, &j)) {
		smtp_tour_advance(&c, &j);
		c.target = smtp_tour_target(&j);
		buf_printf(&b, " %d", (int)(c.target - targets));
	}
	assert_string_equal(buf_cstr(&b), want);
	buf_fini(&b);
	if (j.tour != NULL)
		j.tour_free(j.tour);
	smtp_order_fini(&c.order);
	assert_int_equal(route.refs, 1);
}

static void
test_limits(void **state)
{
	static const unsigned ranks[] = { 10, 20, 20, 30, 1 << 16, 2 << 16 };
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(ranks); i++) {
		targets[i].rank = ranks[i];
		targets[i].host = targets[i].relay =
		    xasprintf("h%zu", i);
	}
	assert_tour(5, 2, "0 1 4 5");
	assert_tour(0, 0, "0 1 2 3 4 5");
	assert_tour(3, 0, "0 1 2 4 5");
	assert_tour(3, 1, "0 4 5");
	assert_tour(1, 3, "0 4 5");
	a_dest.avoid = targets[0].relay;
	assert_tour(5, 2, "1 2 4 5");
	assert_tour(0, 0, "1 2 3 0 4 5");
	a_deliver.draining = true;
	assert_tour(0, 0, "1");
	for (i = 0; i < NELEMS(ranks); i++)
		xfree(targets[i].relay);
}

/* A process that leaves puts back what it was to carry to a second host. */
static void
test_stop(void **state)
{
	int i;

	(void)state;
	start(CONF);
	special(0, "RCPT", "450 4.2.0 grey\r\n");
	special(1, "EHLO", "");
	rig_send(&rig, &job);
	for (i = 0; i < 100 && host[1].commands.len == 0; i++)
		loop_turn(rig.d.loop, 10);
	assert_int_equal(host[1].connections, 1);
	rig.d.role->stop(&rig.d);
	rig_wait(&rig, 1);
	assert_result(1, 0, "back", HOSTS);
	stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_step),
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_gone_at_once),
		cmocka_unit_test(test_data_replies),
		cmocka_unit_test(test_no_answer_to_the_dot),
		cmocka_unit_test(test_recipients_part),
		cmocka_unit_test(test_few_at_once),
		cmocka_unit_test(test_5xx_is_final),
		cmocka_unit_test(test_last_reply),
		cmocka_unit_test(test_one_connection),
		cmocka_unit_test(test_fallback_relay),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests_name(
	    "deliver smtp tour", tests, NULL, NULL);
}
