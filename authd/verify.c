/* SPDX-License-Identifier: ISC */
/*
 * verify.c: is this the user?
 *
 * Runs in authd's loop; what blocks and what is computed goes through the
 * pools. One question passes these stages: limits, sources one after the
 * other, cache, hash. Each question is answered from a turn of its own, never
 * from inside the call that asked. Whoever asks is believed nothing but the
 * client's address.
 *
 * A user who does not exist, is disabled or has no usable hash costs the same
 * hash as one whose password is wrong: the settings are those of the user who
 * was found last, so that it is the same also where all hashes were imported.
 */
#include "authd/verify.h"

#include <bsd/string.h>
#include <string.h>

#include "authd/authd.h"
#include "authd/cache.h"
#include "authd/limits.h"
#include "authd/name.h"
#include "authd/password.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "sys/stats.h"

#define ADDRESS_TEXT_MAX	64
#define LISTENER_TEXT_MAX	64
/* The share of the hash queue that one client's network may fill. */
#define CLIENT_SHARE		8
#define CLIENT_LEAST		2

struct waiting {
	unsigned	 n;		/* hashes of one network: waiting or computed now */
};

struct verify_state {
	struct map	*clients;	/* network -> struct waiting */
	char		*template;	/* a real hash: its settings are what nobody costs */
};

struct verify {
	struct authd	*d;
	struct source_set *set;
	char		 address[ADDRESS_TEXT_MAX];
	char		 listener[LISTENER_TEXT_MAX];
	unsigned	 service;
	struct buf	 login;		/* canonical, or "" */
	struct buf	 asked;		/* as the client wrote it, for the log */
	struct buf	 password;
	struct buf	 other;		/* another form of it, or empty */
	bool		 has_password;	/* else: find only */
	verify_fn	 fn;
	verify_user_fn	 user_fn;
	void		*arg;
	bool		 cancelled;

	struct limits_question *question;
	struct loop_deferred deferred;
	unsigned	 at;		/* source */
	int		 found;		/* 0, PK_ENOENT, PK_ETEMP */
	bool		 named;		/* login is the source's name of the user */
	struct source_user user;
	struct auth_cache_key cache_key;
	struct waiting	*waiting;
	struct buf	 client;	/* its network */
	struct work_pool *pool;		/* the job is there */
	struct work_job	 job;
	/* The hash job's result. */
	ssize_t		 matched;	/* index of user.hashes, -1 */
	bool		 matched_other;	/* by the other form */
	int		 trouble;	/* of the password's own hash: PK_E* */
	char		*template;
};

static void step_sources(struct verify *v);
static void step_found(struct verify *v);
static void begin(void *arg);

/* ---- life ---- */

static void
wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buf_fini(b);
}

static void
waiting_drop(struct verify *v)
{
	struct waiting *w = v->waiting;

	v->waiting = NULL;
	if (w == NULL || --w->n > 0)
		return;
	(void)map_del(v->d->verify->clients, buf_view(&v->client));
	xfree(w);
}

static void
verify_free(struct verify *v)
{
	waiting_drop(v);
	source_user_fini(&v->user);
	source_set_unref(&v->set);
	wipe(&v->password);
	wipe(&v->other);
	buf_fini(&v->login);
	buf_fini(&v->asked);
	buf_fini(&v->client);
	xfree(v->template);
	xfree(v);
}

static void
log_failure(const struct verify *v, const char *why)
{
	log_info("login failed: user=<%.*s>, client=%s, listener=%s: %s",
	    VIEW_ARG(buf_view(&v->asked)), v->address, v->listener, why);
}

static void
finish(struct verify *v, enum verify_result result)
{
	verify_fn fn = v->fn;
	void *arg = v->arg;
	char *login = view_dup(result == VERIFY_OK ? view_str(v->user.login) : VIEW(""));

	verify_free(v);
	fn(result, login, arg);
	xfree(login);
}

/* ---- the end of a password ---- */

static void
succeeded(struct verify *v, size_t matched, bool cached)
{
	struct view password = buf_view(v->matched_other ? &v->other : &v->password);
	uint64_t now = clock_mono_ms();

	if (!cached)
		auth_cache_key(v->d->cache, buf_view(&v->login), password, &v->cache_key);
	if (!cached && v->d->conf->auth_cache_ttl > 0)
		auth_cache_put(v->d->cache, &v->cache_key, view_str(v->user.hashes[matched]), now);
	stats_add(cached ? STATS_C_auth_cached : STATS_C_auth_hashed, 1);
	stats_add(STATS_C_auth_successes, 1);
	auth_limits_success(v->d->limits, v->address, buf_cstr(&v->login));
	log_debug("login: user=<%s>, client=%s%s%s%s", v->user.login, v->address,
	    cached ? ", cached" : "", v->user.hash_names[matched] != NULL ? ", app password " : "",
	    v->user.hash_names[matched] != NULL ? v->user.hash_names[matched] : "");
	if (!cached && v->user.hash_names[matched] == NULL)
		verify_upgrade(v->d, v->set, v->set->sources[v->at], &v->user, matched,
		    password);
	finish(v, VERIFY_OK);
}

static void
failed(struct verify *v, const char *why)
{
	stats_add(STATS_C_auth_failures, 1);
	auth_limits_failure(v->d->limits, v->address, buf_cstr(&v->login));
	log_failure(v, why);
	finish(v, VERIFY_WRONG);
}

/* ---- hashes ---- */

static bool
opens(const struct verify *v, size_t i)
{
	return !v->user.disabled && (v->user.services & v->user.hash_services[i] & v->service) != 0;
}

static void
hash_try(struct verify *v, struct view password)
{
	bool computed = false;
	size_t i;
	int error;

	for (i = 0; i < v->user.nhashes && v->matched < 0; i++) {
		error = password_verify(v->user.hashes[i], password);
		if (error == 0)
			v->matched = (ssize_t)i;
		else if (v->user.hash_names[i] == NULL && error != PK_EPERM)
			v->trouble = error;
		if (v->user.hash_names[i] == NULL && (error == 0 || error == PK_EPERM))
			computed = true;
	}
	if (!computed && v->matched < 0)
		password_waste(v->template, password);
}

/* In a thread: touches v->user, the passwords and the results alone. */
static void
hash_run(struct work_job *j)
{
	struct verify *v = (struct verify *)(void *)((char *)j - offsetof(struct verify, job));
	uint64_t start = clock_mono_ns();

	v->matched = -1;
	hash_try(v, buf_view(&v->password));
	if (v->matched < 0 && v->other.len > 0) {
		hash_try(v, buf_view(&v->other));
		v->matched_other = v->matched >= 0;
	}
	stats_observe(STATS_H_auth_hash_us, (clock_mono_ns() - start) / 1000);
}

static void
say_trouble(const struct verify *v)
{
	if (v->trouble == PK_ELIMIT)
		log_warn("user %s: the password hash costs more than this server computes: it was"
		    " not tried", v->user.login);
	else if (v->trouble != 0)
		log_warn("user %s: the password hash has a scheme or form that is not known",
		    v->user.login);
}

static void
hash_done(struct work_job *j, bool cancelled)
{
	struct verify *v = (struct verify *)(void *)((char *)j - offsetof(struct verify, job));
	size_t matched = (size_t)v->matched;

	v->pool = NULL;
	waiting_drop(v);
	if (v->cancelled) {
		verify_free(v);
		return;
	}
	if (cancelled) {
		finish(v, VERIFY_TEMPORARY);
		return;
	}
	say_trouble(v);
	if (v->matched >= 0 && opens(v, matched))
		succeeded(v, matched, false);
	else if (v->matched >= 0)
		failed(v, v->user.disabled ? "disabled" : "not permitted for this service");
	else
		failed(v, v->found == 0 ? "wrong password" : "unknown user");
}

/* False: this network has its share of the queue. */
static bool
waiting_take(struct verify *v)
{
	struct map *clients = v->d->verify->clients;
	struct waiting *w = map_get(clients, buf_view(&v->client));
	uint64_t most = (uint64_t)v->d->conf->auth_hash_queue_limit / CLIENT_SHARE;

	if (w != NULL && w->n >= (most > CLIENT_LEAST ? most : CLIENT_LEAST))
		return false;
	if (w == NULL) {
		w = XNEW(struct waiting);
		(void)map_put(clients, buf_view(&v->client), w);
	}
	w->n++;
	v->waiting = w;
	return true;
}

static void
temporary(struct verify *v, const char *why)
{
	stats_add(STATS_C_auth_temporary, 1);
	log_failure(v, why);
	finish(v, VERIFY_TEMPORARY);
}

static void
step_hash(struct verify *v)
{
	struct verify_state *state = v->d->verify;
	bool submitted;

	v->template = xstrdup(state->template != NULL ? state->template :
	    v->d->conf->auth_hash_scheme);
	if (!waiting_take(v)) {
		temporary(v, "too many logins of this client at once");
		return;
	}
	v->job.run = hash_run;
	v->job.done = hash_done;
	v->pool = v->d->hashes;
	submitted = work_submit(v->d->hashes, &v->job);
	if (submitted)
		return;
	v->pool = NULL;
	temporary(v, "too many logins at once");
}

static ssize_t
find_cached(struct verify *v, struct view password)
{
	uint64_t now = clock_mono_ms();
	size_t i;

	auth_cache_key(v->d->cache, buf_view(&v->login), password, &v->cache_key);
	for (i = 0; i < v->user.nhashes; i++)
		if (opens(v, i) && auth_cache_has(v->d->cache, &v->cache_key,
		    view_str(v->user.hashes[i]), (uint64_t)v->d->conf->auth_cache_ttl, now))
			return (ssize_t)i;
	return -1;
}

/* The settings that a user who is not there costs from now on. */
static void
remember_template(struct verify *v)
{
	struct verify_state *state = v->d->verify;
	size_t i;

	for (i = 0; i < v->user.nhashes; i++)
		if (v->user.hash_names[i] == NULL && password_is_known(v->user.hashes[i]))
			break;
	if (i == v->user.nhashes)
		return;
	if (state->template != NULL)
		xfree_secret(state->template, strlen(state->template));
	state->template = xstrdup(v->user.hashes[i]);
}

static void
step_password(struct verify *v)
{
	ssize_t cached = -1;

	if (v->found == 0)
		cached = find_cached(v, buf_view(&v->password));
	if (v->found == 0 && cached < 0 && v->other.len > 0)
		cached = find_cached(v, buf_view(&v->other));
	if (cached >= 0) {
		succeeded(v, (size_t)cached, true);
		return;
	}
	if (v->found == 0)
		remember_template(v);
	step_hash(v);
}

/* ---- users alone ---- */

static void
step_user(struct verify *v)
{
	struct source_user *u = &v->user;
	enum verify_result result = v->found == 0 && !u->disabled &&
	    (u->services & v->service) != 0 ? VERIFY_OK : VERIFY_WRONG;
	struct view name = buf_view(v->login.len > 0 ? &v->login : &v->asked);

	if (result == VERIFY_WRONG) {
		source_user_fini(u);
		source_user_init(u);
	}
	if (u->login == NULL)
		u->login = view_dup(name);
	v->user_fn(result, u, v->arg);
	verify_free(v);
}

/*
 * The name that the source gives is the user's, in the one form that names
 * have here (A14): databases compare loosely, and every spelling that they
 * take for the same would be a login of its own, with a count of its own.
 */
static void
take_name(struct verify *v)
{
	struct view domain = view_str(v->d->conf->auth_default_domain);
	ptrdiff_t at = view_rfind(buf_view(&v->login), '@');
	struct buf name;

	v->named = true;
	if (at >= 0)
		domain = view_from(buf_view(&v->login), (size_t)at + 1);
	buf_init(&name, NAME_MAX_LEN);
	if (v->user.login == NULL)
		v->user.login = view_dup(buf_view(&v->login));
	if (name_put(&name, view_str(v->user.login), domain) != 0) {
		log_warn("the source %s gives a name that is no login's for %.*s",
		    v->set->sources[v->at]->type->name, VIEW_ARG(buf_view(&v->login)));
		v->found = PK_ETEMP;
	} else if (!view_eq(buf_view(&name), buf_view(&v->login))) {
		buf_reset(&v->login);
		buf_put_view(&v->login, buf_view(&name));
		v->named = false;
	}
	if (v->found == 0) {
		xfree(v->user.login);
		v->user.login = view_dup(buf_view(&name));
	}
	buf_fini(&name);
}

static void
step_found(struct verify *v)
{
	static const struct source_user nobody;

	if (v->found == 0 && !v->cancelled && !v->named) {
		take_name(v);
		if (!v->named) {
			/* Another name than was asked for: has that one failed too often? */
			v->named = true;
			begin(v);
			return;
		}
	}
	if (v->cancelled) {
		verify_free(v);
	} else if (v->found == PK_ETEMP) {
		stats_add(STATS_C_auth_temporary, 1);
		log_failure(v, "a source cannot tell now");
		if (v->has_password) {
			finish(v, VERIFY_TEMPORARY);
			return;
		}
		v->user_fn(VERIFY_TEMPORARY, &nobody, v->arg);
		verify_free(v);
	} else if (v->has_password)
		step_password(v);
	else
		step_user(v);
}

/* ---- sources ---- */

static void
find_run(struct work_job *j)
{
	struct verify *v = (struct verify *)(void *)((char *)j - offsetof(struct verify, job));
	struct source *s = v->set->sources[v->at];

	v->found = s->type->find(s, buf_view(&v->login), &v->user);
}

static void
find_done(struct work_job *j, bool cancelled)
{
	struct verify *v = (struct verify *)(void *)((char *)j - offsetof(struct verify, job));

	v->pool = NULL;
	if (cancelled && !v->cancelled)
		v->found = PK_ETEMP;
	if (v->found == PK_ENOENT && !v->cancelled) {
		v->at++;
		step_sources(v);
		return;
	}
	step_found(v);
}

static void
step_sources(struct verify *v)
{
	struct source *s;

	v->found = PK_ENOENT;
	/* Without a canonical form nobody has this name. */
	while (v->login.len > 0 && v->at < v->set->n) {
		s = v->set->sources[v->at];
		if (s->type->blocks) {
			v->job.run = find_run;
			v->job.done = find_done;
			v->pool = v->d->queries;
			if (work_submit(v->d->queries, &v->job))
				return;
			v->pool = NULL;
			v->found = PK_ETEMP;
			break;
		}
		v->found = s->type->find(s, buf_view(&v->login), &v->user);
		if (v->found != PK_ENOENT)
			break;
		v->at++;
	}
	if (v->found != 0 && v->found != PK_ENOENT)
		v->found = PK_ETEMP;
	if (v->found == 0 && v->user.login == NULL)
		v->user.login = view_dup(buf_view(&v->login));
	step_found(v);
}

/* ---- the beginning ---- */

static void
limits_answered(bool limited, void *arg)
{
	static const struct source_user nobody;
	struct verify *v = arg;

	v->question = NULL;
	if (!limited && v->named) {
		step_found(v);
		return;
	}
	if (!limited) {
		step_sources(v);
		return;
	}
	stats_add(STATS_C_auth_limited, 1);
	log_failure(v, "too many failed logins");
	if (v->has_password) {
		finish(v, VERIFY_LIMITED);
		return;
	}
	v->user_fn(VERIFY_LIMITED, &nobody, v->arg);
	verify_free(v);
}

static void
begin(void *arg)
{
	struct verify *v = arg;
	bool limited = false;

	v->question = auth_limits_ask(v->d->limits, v->address, buf_cstr(&v->login), &limited,
	    limits_answered, v);
	if (v->question == NULL)
		limits_answered(limited, v);
}

static struct verify *
verify_new(struct authd *d, const struct verify_client *c, struct view user)
{
	struct verify *v = XNEW(struct verify);

	v->d = d;
	v->set = source_set_ref(d->sources);
	(void)strlcpy(v->address, c->address, sizeof(v->address));
	(void)strlcpy(v->listener, c->listener, sizeof(v->listener));
	v->service = c->service;
	buf_init(&v->login, NAME_MAX_LEN);
	buf_init(&v->asked, NAME_MAX_LEN);
	buf_init(&v->password, PASSWORD_MAX + 1);
	buf_init(&v->other, PASSWORD_MAX + 1);
	buf_init(&v->client, 64);
	auth_limits_client(d->limits, v->address, &v->client);
	source_user_init(&v->user);
	buf_put_view(&v->asked, view_head(user, NAME_MAX_LEN));
	(void)verify_canonical(d, user, &v->login);
	v->deferred.fn = begin;
	v->deferred.arg = v;
	loop_defer(d->loop, &v->deferred);
	return v;
}

struct verify *
verify_password_forms(struct authd *d, const struct verify_client *c, struct view user,
    struct view password, struct view other, verify_fn fn, void *arg)
{
	struct verify *v = verify_new(d, c, user);

	v->has_password = true;
	v->fn = fn;
	v->arg = arg;
	/* One byte over the greatest is wrong, and stays so. */
	(void)buf_put_view(&v->password, view_head(password, PASSWORD_MAX + 1));
	(void)buf_put_view(&v->other, view_head(other, PASSWORD_MAX + 1));
	return v;
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
	struct verify *v = verify_new(d, c, user);

	v->user_fn = fn;
	v->arg = arg;
	return v;
}

void
verify_cancel(struct verify **vp)
{
	struct verify *v = *vp;

	if (v == NULL)
		return;
	*vp = NULL;
	v->cancelled = true;
	loop_defer_cancel(v->d->loop, &v->deferred);
	auth_limits_forget(&v->question);
	if (v->pool != NULL)
		work_cancel(v->pool, &v->job);
	else
		verify_free(v);
}

void
verify_report(struct authd *d, const struct verify_client *c, const char *user, bool success)
{
	struct buf login;

	buf_init(&login, NAME_MAX_LEN);
	(void)verify_canonical(d, view_str(user), &login);
	if (success) {
		stats_add(STATS_C_auth_successes, 1);
		auth_limits_success(d->limits, c->address, buf_cstr(&login));
		log_debug("login: user=<%s>, client=%s", user, c->address);
	} else {
		stats_add(STATS_C_auth_failures, 1);
		auth_limits_failure(d->limits, c->address, buf_cstr(&login));
		log_info("login failed: user=<%s>, client=%s, listener=%s", user, c->address,
		    c->listener);
	}
	buf_fini(&login);
}

int
verify_canonical(struct authd *d, struct view user, struct buf *login_r)
{
	return name_put(login_r, user, view_str(d->conf->auth_default_domain));
}

void
verify_init(struct authd *d)
{
	d->verify = XNEW(struct verify_state);
	d->verify->clients = map_new();
}

void
verify_fini(struct authd *d)
{
	if (d->verify == NULL)
		return;
	map_free(&d->verify->clients, xfree);
	if (d->verify->template != NULL)
		xfree_secret(d->verify->template, strlen(d->verify->template));
	xfree(d->verify);
	d->verify = NULL;
}
