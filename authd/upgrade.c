/* SPDX-License-Identifier: ISC */
/*
 * upgrade.c: a hash is made anew when its user logs in.
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
	int		 error;
};

static void
upgrade_run(struct work_job *j)
{
	struct upgrade *u = (struct upgrade *)(void *)j;
	struct buf hash;

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

	if (!cancelled && u->error == 0)
		log_info("user %s: the password hash was made anew as %s", u->login, u->scheme);
	else if (!cancelled && u->error != PK_EUNSUPPORTED)
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
    const char *login, const char *old_hash, struct view password)
{
	struct upgrade *u;

	if (source->type->rehash == NULL)
		return;
	u = XNEW(struct upgrade);
	u->set = source_set_ref(set);
	u->source = source;
	u->login = xstrdup(login);
	u->old = xstrdup(old_hash);
	u->password = view_dup(password);
	u->password_len = password.len;
	(void)strlcpy(u->scheme, d->conf->auth_hash_scheme, sizeof(u->scheme));
	u->job.run = upgrade_run;
	u->job.done = upgrade_done;
	if (!work_submit(d->queries, &u->job))
		upgrade_done(&u->job, true);
}
