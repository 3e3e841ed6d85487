/* SPDX-License-Identifier: ISC */
/*
 * upgrade.c: a hash is made anew when its user logs in, and the SCRAM
 * verifiers that an imported user lacks are made then.
 *
 * Runs in authd: computed and written in the threads for queries, when nobody
 * waits for it any more. Whatever fails leaves the old hash; the next login
 * tries again.
 */
#include <bsd/string.h>
#include <string.h>

#include "authd/authd.h"
#include "authd/password.h"
#include "authd/verify.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

struct upgrade {
	struct work_job	 job;
	struct source_set *set;		/* keeps source */
	struct source	*source;
	char		*login, *old;
	char		*password;
	size_t		 password_len;
	char		 scheme[32];
	bool		 weak, no_sha256, no_sha1;
	bool		 verifiers;	/* were made */
	int		 error;
};

static void
make_verifier(struct upgrade *u, const char *scheme)
{
	struct buf b;

	buf_init(&b, 512);
	u->error = password_scram(scheme, view_of(u->password, u->password_len), &b);
	if (u->error == 0)
		u->error = u->source->type->rehash(u->source, u->login, u->old, buf_cstr(&b));
	if (u->error == 0)
		u->verifiers = true;
	if (b.data != NULL)
		explicit_bzero(b.data, b.cap);
	buf_fini(&b);
}

static void
upgrade_run(struct work_job *j)
{
	struct upgrade *u = (struct upgrade *)(void *)j;
	struct buf hash;

	/* While the hash is still the one that the source is asked to replace. */
	if (u->no_sha256)
		make_verifier(u, "SCRAM-SHA-256");
	if (u->no_sha1 && u->error == 0)
		make_verifier(u, "SCRAM-SHA-1");
	if (!u->weak || u->error != 0)
		return;
	buf_init(&hash, 512);
	u->error = password_hash(u->scheme, view_of(u->password, u->password_len), &hash);
	if (u->error == 0)
		u->error = u->source->type->rehash(u->source, u->login, u->old, buf_cstr(&hash));
	buf_fini(&hash);
}

static void
upgrade_done(struct work_job *j, bool cancelled)
{
	struct upgrade *u = (struct upgrade *)(void *)j;

	if (!cancelled && u->verifiers)
		log_info("user %s: SCRAM verifiers were made", u->login);
	if (!cancelled && u->error == 0 && u->weak)
		log_info("user %s: the password hash was made anew as %s", u->login, u->scheme);
	else if (!cancelled && u->error != 0 && u->error != PK_EUNSUPPORTED)
		log_warn("user %s: the password hash was not made anew: %s", u->login,
		    pk_strerror(u->error));
	source_set_unref(&u->set);
	xfree(u->login);
	xfree_secret(u->old, strlen(u->old));
	xfree_secret(u->password, u->password_len);
	xfree(u);
}

void
verify_upgrade(struct authd *d, struct source_set *set, struct source *source,
    const struct source_user *user, size_t matched, struct view password)
{
	const char *hash = user->hashes[matched];
	bool weak = password_is_weak(hash, d->conf->auth_hash_scheme);
	struct upgrade *u;

	if (source->type->rehash == NULL ||
	    (!weak && user->scram_sha256 != NULL && user->scram_sha1 != NULL))
		return;
	u = XNEW(struct upgrade);
	u->set = source_set_ref(set);
	u->source = source;
	u->weak = weak;
	u->no_sha256 = user->scram_sha256 == NULL;
	u->no_sha1 = user->scram_sha1 == NULL;
	u->login = xstrdup(user->login);
	u->old = xstrdup(hash);
	u->password = view_dup(password);
	u->password_len = password.len;
	(void)strlcpy(u->scheme, d->conf->auth_hash_scheme, sizeof(u->scheme));
	u->job.run = upgrade_run;
	u->job.done = upgrade_done;
	if (!work_submit(d->queries, &u->job))
		upgrade_done(&u->job, true);
}
