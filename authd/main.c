/* SPDX-License-Identifier: ISC */
/*
 * main.c of authd: accounts, passwords, SASL, tickets.
 *
 * Started by master as root, works as pk-auth: its database's directory, and
 * what the sources and token services of the configuration need. Where these
 * need no other path its root is the database's directory. It parses SASL
 * messages of strangers. What its loss costs: the password hashes.
 *
 * What it may reach is fixed by its start. A reload that names other sources
 * or mechanisms, and a system whose shadow file was replaced, need a new
 * process: this one ends in order once its conversations are over.
 */
#include <sys/stat.h>

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "authd/accounts.h"
#include "authd/authd.h"
#include "authd/cache.h"
#include "authd/limits.h"
#ifdef HAVE_SOURCE_REDIS
#include "authd/limits_redis.h"
#endif
#include "authd/sasl.h"
#include "authd/source_accounts.h"
#include "authd/ticket.h"
#include "authd/verify.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

/* The clock of tickets, stale sources and the end. */
#define TURN_MS		2000
#define TICKETS_MS	60000
/* What may wait for a database: more than it answers in auth_source_timeout is of no use. */
#define QUERIES_WAITING	10000
/* Conversations that are open when we leave get so long. */
#define LEAVE_MS	15000

struct life {
	struct authd	 d;
	struct loop_timer timer;
	uint64_t	 tickets_ms;
	bool		 leaving;
	uint64_t	 leave_ms;
	/* What the process was started for. */
	char		*fixed;
};

static struct life life;

/* ---- what needs a new process ---- */

static char *
fixed_of(const struct conf *c)
{
	return xasprintf("%s|%s|%s|%s|%s|%s|%s|%s|%s", c->auth_sources, c->auth_default_domain,
	    c->auth_redis_server, c->auth_redis_password_file, c->oauth2_jwks,
	    c->oauth2_introspection_url, c->oauth2_client_secret_file, c->oauth2_CAfile,
	    c->oauth2_issuer);
}

static uint64_t
keep_ms(const struct conf *c)
{
	uint64_t longest = (uint64_t)c->maximal_queue_lifetime;

	return longest > (uint64_t)c->bounce_queue_lifetime ? longest :
	    (uint64_t)c->bounce_queue_lifetime;
}

static void
leave_if_over(void)
{
	struct authd *d = &life.d;

	if (life.leaving && (authd_open(d) == 0 || clock_mono_ms() >= life.leave_ms))
		child_exit(d->child, 0);
}

static void
leave(uint64_t grace_ms)
{
	struct authd *d = &life.d;

	if (life.leaving)
		return;
	life.leaving = true;
	life.leave_ms = clock_mono_ms() + grace_ms;
	d->ready = false;
	authd_leave_channels(d);
	leave_if_over();
}

void
authd_leave(struct authd *d, const char *why)
{
	(void)d;
	if (life.leaving)
		return;
	log_info("%s: this process ends, and the next one begins with that", why);
	leave(LEAVE_MS);
}

static void
on_turn(void *arg)
{
	struct authd *d = arg;
	uint64_t now = clock_mono_ms();
	unsigned i;

	for (i = 0; i < d->sources->n; i++)
		if (d->sources->sources[i]->stale)
			authd_leave(d, "what a source reads was replaced");
	if (d->tickets != NULL && now - life.tickets_ms >= TICKETS_MS) {
		life.tickets_ms = now;
		tickets_turn(d->tickets, keep_ms(d->conf), clock_wall_ms());
	}
	leave_if_over();
	loop_timer_set(d->loop, &life.timer, life.leaving ? 1 : TURN_MS);
}

/* ---- life with master ---- */

static void
on_reload(struct child *c, const struct conf *old)
{
	struct authd *d = child_arg(c);
	struct source_set *fresh;
	struct buf why;
	char *fixed;

	(void)old;
	d->conf = child_conf(c);
	auth_limits_configure(d->limits, d->conf);
	if (!d->ready)
		return;
	fixed = fixed_of(d->conf);
	if (strcmp(fixed, life.fixed) != 0) {
		authd_leave(d, "other sources of accounts");
		xfree(fixed);
		return;
	}
	xfree(fixed);
	work_pool_set_max(d->hashes, (unsigned)d->conf->auth_hash_queue_limit);
	buf_init(&why, 1000);
	if (sasl_reload(d, &why) != 0)
		log_error("%s; the old mechanisms stay", buf_cstr(&why));
	buf_reset(&why);
	fresh = source_set_open(d->conf, &why);
	if (fresh != NULL) {
		source_set_unref(&d->sources);
		d->sources = fresh;
	} else {
		/* A file that only the first privileges open: the next process can. */
		authd_leave(d, buf_cstr(&why));
	}
	buf_fini(&why);
	authd_say_mechanisms(d);
}

static void
on_drain(struct child *c, uint64_t grace_ms)
{
	(void)c;
	leave(grace_ms);
}

/* master's counters of failed logins. */
static int
on_message(struct child *c, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct authd *d = child_arg(c);
	uint64_t page = 0;
	struct ipc_in in;
	int fd;

	(void)ch;
	if (m->type != IPC_AUTH_LIMITS)
		return PK_EPROTO;
	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_PAGE, &page);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	fd = ipc_take_handle(m, 0);
	if (fd == -1)
		return PK_EPROTO;
	/* It comes before START, when there are no limits yet. */
	if (d->limits == NULL)
		d->limits = auth_limits_new(child_conf(c), fd);
	else
		auth_limits_share(d->limits, fd);
	close(fd);
	return 0;
}

static const struct child_ops ops = {
	.channel = authd_channel,
	.reload = on_reload,
	.drain = on_drain,
	.admin = authd_admin,
	.admin_closed = authd_admin_closed,
	.message = on_message,
};

/* ---- the start ---- */

static char *
accounts_directory(const struct conf *conf)
{
	return xasprintf("%s/accounts", conf->data_directory);
}

/* master makes it; an own start (development) finds it missing. */
static void
check_directory(const char *dir)
{
	struct stat st;

	if (stat(dir, &st) == -1)
		log_fatal("%s: %s", dir, strerror(errno));
	if ((st.st_mode & 077) != 0)
		log_fatal("%s can be read by others (mode %04o): run chmod 0700 %s", dir,
		    (unsigned)st.st_mode & 07777, dir);
}

static void
confine(struct authd *d, const char *dir)
{
	struct sandbox_spec s = {
		.needs = SANDBOX_ACCEPT | SANDBOX_FILES_WRITE | SANDBOX_MMAP_FILE |
		    SANDBOX_THREADS,
	};
	struct buf why;

	/* A list that says nothing of paths has no file at all: the database is written. */
	s.paths[s.npaths].path = dir;
	s.paths[s.npaths++].write = true;
	buf_init(&why, 1000);
	if (source_set_needs(d->conf, &s, &why) != 0)
		log_fatal("%s", buf_cstr(&why));
	buf_fini(&why);
	sasl_needs(d->conf, &s);
	if (d->conf->auth_redis_server[0] != '\0')
		s.needs |= view_starts(view_str(d->conf->auth_redis_server), VIEW("unix:")) ?
		    SANDBOX_CONNECT_UNIX : SANDBOX_CONNECT_INET;
	if (s.npaths == 1 && (s.needs & (SANDBOX_CONNECT_INET | SANDBOX_CONNECT_UNIX)) == 0)
		s.chroot_dir = dir;
	child_confine(d->child, &s);
	/* The new root begins at the database. */
	life.fixed = fixed_of(d->conf);
}

static void
open_database(struct authd *d, const char *dir)
{
	unsigned char secret[32];
	struct buf why;

	buf_init(&why, 1000);
	/* In a chroot the database is the root; elsewhere it has its path. */
	d->accounts = accounts_open(access(dir, F_OK) == 0 ? dir : "/", &why);
	if (d->accounts == NULL)
		log_fatal("%s", buf_cstr(&why));
	d->tickets = tickets_new(d->accounts, keep_ms(d->conf), clock_wall_ms(), &why);
	if (d->tickets == NULL)
		log_fatal("%s", buf_cstr(&why));
	buf_fini(&why);
	source_accounts_use(d->accounts);
	if (accounts_secret(d->accounts, secret, sizeof(secret)) == 0)
		sasl_set_secret(d, secret);
	explicit_bzero(secret, sizeof(secret));
}

static unsigned
threads_of(const struct conf *c)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (c->auth_hash_threads > 0)
		return (unsigned)c->auth_hash_threads;
	return cores < 1 ? 1 : cores > 64 ? 64 : (unsigned)cores;
}

static void
share_limits(struct authd *d, struct buf *why)
{
	if (d->conf->auth_redis_server[0] == '\0')
		return;
#ifdef HAVE_SOURCE_REDIS
	void *remote = limits_redis_new(d->loop, d->conf, why);

	/* A comfort: without it this machine counts for itself. */
	if (remote != NULL)
		auth_limits_set_remote(d->limits, &limits_redis_ops, remote);
	else
		log_error("%s", buf_cstr(why));
#else
	(void)why;
	log_error("auth_redis_server: this authd was built without hiredis");
#endif
}

/* What needs the first privileges, or reads what is out of sight later. */
static void
prepare(struct authd *d)
{
	struct buf why;

	buf_init(&why, 1000);
	if (sasl_init(d, &why) != 0)
		log_fatal("%s", buf_cstr(&why));
	d->sources = source_set_open(d->conf, &why);
	if (d->sources == NULL)
		log_fatal("%s", buf_cstr(&why));
	if (d->limits == NULL)
		d->limits = auth_limits_new(d->conf, -1);
	buf_reset(&why);
	share_limits(d, &why);
	buf_fini(&why);
}

int
main(int argc, char **argv)
{
	struct authd *d = &life.d;
	struct child_spec spec = { .role = IPC_ROLE_authd, .ops = &ops, .arg = d };
	unsigned threads;
	char *dir;
	int status;

	d->child = child_begin(argc, argv, &spec);
	d->loop = child_loop(d->child);
	d->conf = child_conf(d->child);
	json_set_alloc_funcs(xmalloc, xfree);
	threads = threads_of(d->conf);
	dir = accounts_directory(d->conf);
	check_directory(dir);
	authd_ipc_init(d);
	prepare(d);
	confine(d, dir);
	open_database(d, dir);
	verify_init(d);
	d->cache = auth_cache_new();
	d->hashes = work_pool_new(d->loop, "password hashes", threads,
	    (unsigned)d->conf->auth_hash_queue_limit);
	d->queries = work_pool_new(d->loop, "databases",
	    (unsigned)d->conf->auth_source_connections, QUERIES_WAITING);
	loop_timer_init(&life.timer, on_turn, d);
	loop_timer_set(d->loop, &life.timer, TURN_MS);
	authd_begin(d);
	status = child_run(d->child);
	accounts_close(&d->accounts);
	xfree(dir);
	return status;
}
