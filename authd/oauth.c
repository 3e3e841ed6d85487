/* SPDX-License-Identifier: ISC */
/*
 * oauth.c of authd: configuration of token checks, and the life of one.
 *
 * Runs in the loop. Files are read before the confinement and at reloads; the
 * secret for the token service stays in memory and goes nowhere else. Each
 * check has an end of its own whatever its thread does (F8).
 */
#include "authd/oauth.h"

#include <bsd/stdlib.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "authd/oauth_private.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#define SYSTEM_CA_FILE	"/etc/ssl/certs/ca-certificates.crt"
#define CA_SIZE_MAX	(1 << 20)
#define SECRET_MAX	1024

/* ---- a check ---- */

static void
check_free(struct oauth_check *c)
{
	TAILQ_REMOVE(&c->o->checks, c, link);
	http_cancel(&c->request);
	loop_timer_clear(c->o->loop, &c->timer);
	loop_defer_cancel(c->o->loop, &c->deferred);
	if (c->token.data != NULL)
		explicit_bzero(c->token.data, c->token.cap);
	buf_fini(&c->token);
	xfree(c);
}

void
oauth_answer(struct oauth_check *c, enum oauth_result result, const char *user,
    const char *why)
{
	oauth_fn fn = c->fn;
	void *arg = c->arg;

	check_free(c);
	fn(result, user, why, arg);
}

static void
on_check_time(void *arg)
{
	struct oauth_check *c = arg;

	if (c->request != NULL)
		oauth_service_failed(
		    c->o, c->o->introspection_url, "no answer in time");
	oauth_answer(c, OAUTH_TEMPORARY, "", "no answer in time");
}

static void
on_check_begin(void *arg)
{
	struct oauth_check *c = arg;

	if (c->token.len == 0)
		oauth_answer(c, OAUTH_INVALID, "", "too large, or empty");
	else if (c->o->introspection_url != NULL)
		oauth_introspect_check(c);
	else
		oauth_keys_check(c);
}

struct oauth_check *
oauth_check_new(struct oauth *o, struct view token, oauth_fn fn, void *arg)
{
	struct oauth_check *c = XNEW(struct oauth_check);

	c->o = o;
	c->fn = fn;
	c->arg = arg;
	buf_init(&c->token, OAUTH_TOKEN_MAX);
	(void)buf_put_view(&c->token, token);
	TAILQ_INSERT_TAIL(&o->checks, c, link);
	loop_timer_init(&c->timer, on_check_time, c);
	loop_timer_set(o->loop, &c->timer, o->timeout_ms);
	c->deferred.fn = on_check_begin;
	c->deferred.arg = c;
	loop_defer(o->loop, &c->deferred);
	return c;
}

void
oauth_check_cancel(struct oauth_check **cp)
{
	struct oauth_check *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	check_free(c);
}

void
oauth_service_failed(struct oauth *o, const char *what, const char *why)
{
	bool was_open = o->breaker.failures >= HTTP_BREAKER_FAILURES;

	if (http_breaker_note(&o->breaker, false, loop_now_ms(o->loop)) &&
	    !was_open)
		log_error("%s failed %d times: %s; not asked for %d seconds",
		    what, HTTP_BREAKER_FAILURES, why,
		    HTTP_BREAKER_OPEN_MS / 1000);
	else if (!was_open)
		log_warn("%s: %s", what, why);
}

void
oauth_service_worked(struct oauth *o, const char *what)
{
	if (o->breaker.failures >= HTTP_BREAKER_FAILURES)
		log_info("%s answers again", what);
	(void)http_breaker_note(&o->breaker, true, loop_now_ms(o->loop));
}

/* ---- configuration ---- */

static int
read_file(const char *path, size_t max, struct buf *b, struct buf *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *to = fd >= 0 ? buf_room(b, max) : NULL;
	ssize_t n = -1;

	while (to != NULL && (n = read(fd, to, max - b->len)) > 0) {
		buf_added(b, (size_t)n);
		to += n;
	}
	if (n != 0) {
		buf_printf(why, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return PK_ESYS;
	}
	close(fd);
	if (b->len < max)
		return 0;
	buf_printf(why, "%s: too large", path);
	return PK_ELIMIT;
}

static int
refuse(struct buf *why, const char *text)
{
	buf_put_str(why, text);
	return PK_ESYNTAX;
}

static int
set_algorithms(struct oauth *o, const struct conf *conf, struct buf *why)
{
	struct view list = view_str(conf->oauth2_algorithms), name;
	enum jwks_algorithm a;

	while (conf_list_next(&list, &name)) {
		if (!jwks_algorithm_find(name, &a)) {
			buf_printf(why,
			    "oauth2_algorithms: \"%.*s\" is none of",
			    VIEW_ARG(name));
			for (a = 0; a < JWKS_ALGORITHMS; a++)
				buf_printf(why, " %s", jwks_algorithm_name(a));
			return PK_ESYNTAX;
		}
		o->algorithms |= 1U << a;
	}
	return o->algorithms != 0 ? 0 :
				    refuse(why, "oauth2_algorithms is empty");
}

static int
open_http(struct oauth *o, const struct conf *conf, struct buf *why)
{
	const char *path =
	    *conf->oauth2_CAfile != '\0' ? conf->oauth2_CAfile : SYSTEM_CA_FILE;
	struct buf ca;
	int rc;

	buf_init(&ca, CA_SIZE_MAX);
	rc = read_file(path, CA_SIZE_MAX, &ca, why);
	if (rc == 0)
		o->http = http_client_new(o->loop, buf_view(&ca),
		    (unsigned)conf->auth_source_connections);
	buf_fini(&ca);
	return rc;
}

/* RFC 6749 2.3.1: both are form-encoded before they are Basic's. */
static void
put_credential(struct buf *b, struct view v)
{
	for (size_t i = 0; i < v.len; i++)
		if (ascii_isalnum(v.p[i]) || strchr("-._~", v.p[i]) != NULL)
			buf_put_char(b, v.p[i]);
		else
			buf_printf(b, "%%%02X", (unsigned char)v.p[i]);
}

static int
set_credentials(struct oauth *o, const struct conf *conf, struct buf *why)
{
	struct buf secret, both;
	struct view line;
	int rc;

	if (*conf->oauth2_client_id == '\0')
		return 0;
	if (*conf->oauth2_client_secret_file == '\0')
		return refuse(why,
		    "oauth2_client_id is set, oauth2_client_secret_file is "
		    "not");
	buf_init(&secret, SECRET_MAX);
	rc = read_file(
	    conf->oauth2_client_secret_file, SECRET_MAX, &secret, why);
	line = buf_view(&secret);
	while (line.len > 0 && ascii_isspace(line.p[line.len - 1]))
		line.len--;
	if (rc == 0 && line.len == 0)
		rc = refuse(why, "oauth2_client_secret_file is empty");
	if (rc == 0) {
		buf_init(&both, 8 * SECRET_MAX);
		(void)buf_room(&both, 8 * SECRET_MAX - 1);
		put_credential(&both, view_str(conf->oauth2_client_id));
		buf_put_char(&both, ':');
		put_credential(&both, line);
		o->credentials = xstrdup(buf_cstr(&both));
		explicit_bzero(both.data, both.cap);
		buf_fini(&both);
	}
	if (secret.data != NULL)
		explicit_bzero(secret.data, secret.cap);
	buf_fini(&secret);
	return rc;
}

static int
set_introspection(struct oauth *o, const struct conf *conf, struct buf *why)
{
	int rc;

	if (!http_url_ok(conf->oauth2_introspection_url))
		return refuse(why,
		    "oauth2_introspection_url is no https: URL without a user");
	rc = set_credentials(o, conf, why);
	if (rc == 0)
		rc = open_http(o, conf, why);
	if (rc != 0)
		return rc;
	o->introspection_url = xstrdup(conf->oauth2_introspection_url);
	o->remembered = map_new();
	arc4random_buf(o->remember_key, sizeof(o->remember_key));
	return 0;
}

static int
read_keys(struct oauth *o, const char *path, struct buf *why)
{
	struct buf text, reason;
	int rc;

	buf_init(&text, JWKS_SIZE_MAX);
	buf_init(&reason, 300);
	rc = read_file(path, JWKS_SIZE_MAX, &text, why);
	if (rc == 0) {
		rc = jwks_parse(buf_view(&text), &o->keys, &reason);
		if (rc != 0)
			buf_printf(why, "%s: %s", path, buf_cstr(&reason));
	}
	buf_fini(&reason);
	buf_fini(&text);
	return rc;
}

static int
set_keys(struct oauth *o, const struct conf *conf, struct buf *why)
{
	const char *keys = conf->oauth2_jwks;
	int rc;

	o->policy.strict = true;
	rc = set_algorithms(o, conf, why);
	if (rc != 0)
		return rc;
	/* A token of another issuer, or for somebody else, is signed as well. */
	if (*o->issuer == '\0' || *o->audience == '\0')
		return refuse(
		    why, "oauth2_jwks needs oauth2_issuer and oauth2_audience");
	if (*keys == '/')
		return read_keys(o, keys, why);
	if (!http_url_ok(keys))
		return refuse(why,
		    "oauth2_jwks is neither a path nor an https: URL without a "
		    "user");
	o->keys_url = xstrdup(keys);
	return open_http(o, conf, why);
}

int
oauth_new(struct loop *l, const struct conf *conf, struct oauth **o_r,
    struct buf *why)
{
	struct oauth *o = XNEW(struct oauth);
	int rc;

	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
	o->loop = l;
	TAILQ_INIT(&o->checks);
	o->issuer = xstrdup(conf->oauth2_issuer);
	o->audience = xstrdup(conf->oauth2_audience);
	o->scopes = xstrdup(conf->oauth2_scope);
	o->claim = xstrdup(conf->oauth2_username_claim);
	o->policy = (struct oauth_policy){ o->issuer, o->audience, o->scopes,
		o->claim, false };
	o->timeout_ms = (unsigned)conf->auth_source_timeout;
	if (*conf->oauth2_introspection_url != '\0' &&
	    *conf->oauth2_jwks != '\0')
		rc = refuse(why,
		    "both oauth2_jwks and oauth2_introspection_url "
		    "are set: one of them says who a token is");
	else if (*conf->oauth2_introspection_url != '\0')
		rc = set_introspection(o, conf, why);
	else if (*conf->oauth2_jwks != '\0')
		rc = set_keys(o, conf, why);
	else
		rc = refuse(why,
		    "oauthbearer and xoauth2 need oauth2_jwks or "
		    "oauth2_introspection_url");
	if (rc != 0) {
		oauth_free(&o);
		return rc;
	}
	*o_r = o;
	return 0;
}

void
oauth_free(struct oauth **op)
{
	struct oauth *o = *op;
	struct oauth_check *c;

	if (o == NULL)
		return;
	*op = NULL;
	while ((c = TAILQ_FIRST(&o->checks)) != NULL)
		oauth_answer(
		    c, OAUTH_TEMPORARY, "", "the configuration changes");
	http_cancel(&o->keys_request);
	http_client_free(&o->http);
	jwks_free(&o->keys);
	if (o->remembered != NULL)
		oauth_introspect_forget(o);
	explicit_bzero(o->remember_key, sizeof(o->remember_key));
	if (o->credentials != NULL)
		xfree_secret(o->credentials, strlen(o->credentials));
	xfree(o->introspection_url);
	xfree(o->keys_url);
	xfree(o->issuer);
	xfree(o->audience);
	xfree(o->scopes);
	xfree(o->claim);
	xfree(o);
}

/* ---- confinement ---- */

static void
need_path(struct sandbox_spec *spec, const char *path)
{
	for (unsigned i = 0; i < spec->npaths; i++)
		if (strcmp(spec->paths[i].path, path) == 0)
			return;
	if (*path != '/' || spec->npaths == SANDBOX_PATHS_MAX)
		return;
	spec->paths[spec->npaths++] = (struct sandbox_path){ .path = path };
}

void
oauth_needs(const struct conf *conf, struct sandbox_spec *spec)
{
	/* What name look-ups of the C library read. */
	static const char *const names[] = {
		"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
		"/etc/gai.conf", "/etc/host.conf",
	};

	spec->needs |= SANDBOX_FILES_READ | SANDBOX_THREADS;
	need_path(spec, conf->oauth2_jwks);
	if (*conf->oauth2_introspection_url == '\0' && *conf->oauth2_jwks == '/')
		return;
	spec->needs |= SANDBOX_CONNECT_INET;
	for (size_t i = 0; i < NELEMS(names); i++)
		if (access(names[i], R_OK) == 0)
			need_path(spec, names[i]);
	need_path(spec, conf->oauth2_client_secret_file);
	need_path(spec, *conf->oauth2_CAfile != '\0' ? conf->oauth2_CAfile :
	    SYSTEM_CA_FILE);
}
