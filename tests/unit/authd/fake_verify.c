/* SPDX-License-Identifier: ISC */
#include <bsd/string.h>
#include <gsasl.h>

#include "authd/password.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/unit/authd/fake_verify.h"

const struct fake_user fake_users[] = {
	{ "alice@example.test", "wonderland", NULL, false, false },
	{ "o,ne=two@example.test", "comma", NULL, false, false },
	{ "hash@example.test", "onlyhash", NULL, false, true },
	{ "gone@example.test", "disabled", NULL, true, false },
	/* Superscript two: prepared it is "2". */
	{ "typed@example.test", "2", "\xc2\xb2", false, false },
	{ NULL, NULL, NULL, false, false },
};

struct fake_seen fake_seen;
enum verify_result fake_result;

struct verify {
	bool		 open;
	char		 user[400];
	char		 password[1100], other[1100];
	verify_fn	 fn;
	verify_user_fn	 find_fn;
	void		*arg;
};
static struct verify question;

void
fake_reset(void)
{
	memset(&question, 0, sizeof(question));
	memset(&fake_seen, 0, sizeof(fake_seen));
	fake_result = VERIFY_OK;
}

static struct verify *
ask(struct view user, void *arg)
{
	ASSERT(!question.open && user.len < sizeof(question.user));
	memset(&question, 0, sizeof(question));
	question.open = true;
	memcpy(question.user, user.p, user.len);
	question.arg = arg;
	return &question;
}

int
verify_canonical(struct authd *d, struct view user, struct buf *login_r)
{
	char *lower = view_dup_lower(user);
	int rc = buf_put_str(login_r, lower);

	(void)d;
	if (rc == 0 && view_find(user, '@') < 0)
		rc = buf_put_str(login_r, "@example.test");
	xfree(lower);
	return rc;
}

static const struct fake_user *
find(const char *user)
{
	const struct fake_user *found = NULL;
	struct buf b;

	buf_init(&b, 400);
	verify_canonical(NULL, view_str(user), &b);
	for (const struct fake_user *u = fake_users; u->login != NULL; u++)
		if (view_eq(buf_view(&b), view_str(u->login)))
			found = u;
	buf_fini(&b);
	return found;
}

struct verify *
verify_password_forms(struct authd *d, const struct verify_client *c,
    struct view user, struct view password, struct view other, verify_fn fn, void *arg)
{
	(void)d;
	(void)c;
	fake_seen.passwords++;
	ask(user, arg);
	ASSERT(password.len < sizeof(question.password));
	memcpy(question.password, password.p, password.len);
	ASSERT(other.len < sizeof(question.other));
	memcpy(question.other, other.p, other.len);
	strlcpy(fake_seen.password, question.password,
	    sizeof(fake_seen.password));
	question.fn = fn;
	return &question;
}

struct verify *
verify_password(struct authd *d, const struct verify_client *c, struct view user,
    struct view password, verify_fn fn, void *arg)
{
	return verify_password_forms(d, c, user, password, VIEW(""), fn, arg);
}

struct verify *
verify_find(struct authd *d, const struct verify_client *c, struct view user,
    verify_user_fn fn, void *arg)
{
	(void)d;
	(void)c;
	fake_seen.finds++;
	ask(user, arg);
	question.find_fn = fn;
	return &question;
}

void
verify_cancel(struct verify **v)
{
	fake_seen.cancels++;
	(*v)->open = false;
	*v = NULL;
}

void
verify_report(struct authd *d, const struct verify_client *c, const char *user,
    bool success)
{
	(void)d;
	(void)c;
	if (success)
		fake_seen.successes++;
	else
		fake_seen.failures++;
	strlcpy(fake_seen.reported, user, sizeof(fake_seen.reported));
}

static char *
verifier(const char *scheme, Gsasl_hash hash, const char *password)
{
	const char salt[] = "0123456789abcdef";
	char salted[64], client[64], server[64], stored[64];
	size_t size = gsasl_hash_length(hash);
	struct buf b;

	ASSERT(gsasl_scram_secrets_from_password(hash, password, PASSWORD_SCRAM_ROUNDS, salt, 16,
	    salted, client, server, stored) == GSASL_OK);
	buf_init(&b, 1000);
	buf_printf(&b, "{%s}%d,", scheme, PASSWORD_SCRAM_ROUNDS);
	base64_put(&b, view_of(salt, 16));
	buf_put_char(&b, ',');
	base64_put(&b, view_of(stored, size));
	buf_put_char(&b, ',');
	base64_put(&b, view_of(server, size));
	return buf_steal(&b, NULL);
}

static void
answer_find(const struct verify *q)
{
	const struct fake_user *f = find(q->user);
	struct source_user u = { .services = SOURCE_ALL };
	char hash[64], *hashes[] = { hash }, *names[] = { NULL };

	if (fake_result != VERIFY_OK || f == NULL) {
		q->find_fn(f == NULL && fake_result == VERIFY_OK ? VERIFY_WRONG :
		    fake_result, NULL, q->arg);
		return;
	}
	u.login = xstrdup(f->login);
	strlcpy(hash, "{PLAIN}", sizeof(hash));
	strlcat(hash, f->password, sizeof(hash));
	u.hashes = hashes;
	u.hash_names = names;
	u.nhashes = f->no_verifier ? 0 : 1;
	if (!f->no_verifier) {
		u.scram_sha256 = verifier("SCRAM-SHA-256", GSASL_HASH_SHA256,
		    f->password);
		u.scram_sha1 = verifier("SCRAM-SHA-1", GSASL_HASH_SHA1,
		    f->password);
	}
	q->find_fn(f->disabled ? VERIFY_WRONG : VERIFY_OK, &u, q->arg);
	xfree(u.login);
	xfree(u.scram_sha256);
	xfree(u.scram_sha1);
}

static void
answer_password(const struct verify *q)
{
	const struct fake_user *f = find(q->user);
	const char *want = f == NULL ? "" : f->typed != NULL ? f->typed : f->password;
	bool right = f != NULL && !f->disabled &&
	    (strcmp(q->password, want) == 0 || strcmp(q->other, want) == 0);

	if (fake_result != VERIFY_OK)
		q->fn(fake_result, "", q->arg);
	else
		q->fn(right ? VERIFY_OK : VERIFY_WRONG, right ? f->login : "",
		    q->arg);
}

bool
fake_pump(void)
{
	struct verify q = question;

	if (!q.open)
		return false;
	question.open = false;
	if (q.fn != NULL)
		answer_password(&q);
	else
		answer_find(&q);
	return true;
}
