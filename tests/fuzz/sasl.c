/* SPDX-License-Identifier: ISC */
/*
 * sasl.c: fuzzes SASL conversations. The first byte is the mechanism, the
 * second the circumstances; messages end at bytes ff fe. Each step has one
 * answer, and nobody gets in as somebody who is not there.
 */
#include <stdint.h>

#include "authd/sasl.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "tests/unit/authd/fake_verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1",
	"SCRAM-SHA-1-PLUS", "EXTERNAL", "CRAM-MD5",
};

static struct authd authd;
static unsigned answers;
static enum auth_state last;

static void
on_next(const struct sasl_result *r, void *arg)
{
	bool known = false;

	(void)arg;
	answers++;
	last = r->state;
	if (r->state != AUTH_SUCCESS)
		return;
	for (const struct fake_user *u = fake_users; u->login != NULL; u++)
		if (strcmp(u->login, r->login) == 0 && !u->disabled)
			known = true;
	ASSERT(known);
}

static void
on_note(const struct conf_note *n, void *arg)
{
	(void)arg;
	log_panic("%s", n->text);
}

static void
begin(void)
{
	struct buf why;

	log_set_level(LOG_LVL_ERROR);
	buf_init(&why, 500);
	authd.conf = conf_load("main.cf", VIEW("auth_mechanisms = plain login "
	    "scram-sha-256 scram-sha-256-plus scram-sha-1 scram-sha-1-plus "
	    "external cram-md5\n"), on_note, NULL);
	authd.loop = loop_new();
	ASSERT(authd.conf != NULL && sasl_init(&authd, &why) == 0);
	buf_fini(&why);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sasl_client c = {
		.who = { "192.0.2.1", "submission", SOURCE_SMTP },
		.certificate = "alice@example.test",
	};
	struct view rest = view_of((const char *)data, size);
	struct sasl *s;

	if (authd.loop == NULL)
		begin();
	if (size < 2)
		return 0;
	fake_reset();
	c.flags = data[1] & 7;
	if (data[1] & 8)
		c.binding = VIEW("0123456789abcdef0123456789abcdef");
	s = sasl_new(&authd, view_str(names[data[0] % NELEMS(names)]), &c,
	    on_next, NULL);
	if (s == NULL)
		return 0;
	rest = view_from(rest, 2);
	last = AUTH_CHALLENGE;
	for (unsigned steps = 1; last == AUTH_CHALLENGE && steps < 10; steps++) {
		const char *end = memmem(rest.p, rest.len, "\xff\xfe", 2);
		struct view m = end == NULL ? rest :
		    view_head(rest, (size_t)(end - rest.p));

		sasl_step(s, steps > 1 || !(data[1] & 16), m);
		while (fake_pump())
			;
		ASSERT(answers == steps && !sasl_waiting(s));
		rest = view_from(rest, m.len + 2);
	}
	ASSERT(last != AUTH_CHALLENGE);
	answers = 0;
	sasl_free(&s);
	return 0;
}
