/* SPDX-License-Identifier: ISC */
/*
 * auth.c: which mechanisms a session may use, and what is known of its login.
 *
 * Runs in smtpd: no password, no hash, no key. Which mechanisms there are is
 * authd's word, narrowed by the configuration and by how the client came:
 * without TLS nothing that smtpd_tls_auth_only forbids, channel binding where
 * there is a channel to bind to (RFC 9266: TLS 1.3), EXTERNAL only with a
 * certificate that was verified. A socket of this machine is as good as TLS.
 */
#include "smtpd/auth.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/tls.h"
#include "smtpd/worker.h"

/* ---- what authd has ---- */

static bool
is_mechanism_name(struct view v)
{
	size_t i;

	for (i = 0; i < v.len; i++)
		if (!(v.p[i] >= 'A' && v.p[i] <= 'Z') && !ascii_isdigit(v.p[i]) &&
		    v.p[i] != '-' && v.p[i] != '_')
			return false;
	return v.len > 0 && v.len <= AUTH_MECHANISM_MAX;
}

int
auth_mechanisms_add(struct auth_mechanisms *m, struct view name, unsigned flags)
{
	struct auth_mechanism *one;

	if (!is_mechanism_name(name))
		return PK_ESYNTAX;
	if (m->count == AUTH_MECHANISMS_MAX)
		return PK_ELIMIT;
	one = &m->list[m->count++];
	memcpy(one->name, name.p, name.len);
	one->name[name.len] = '\0';
	one->flags = flags;
	return 0;
}

/* Names, !names and tables in order, the first that fits decides. */
bool
auth_filter_allows(const char *filter, struct view name)
{
	struct view rest = view_str(filter), item;
	bool negative;

	while (conf_list_next(&rest, &item)) {
		negative = view_starts(item, VIEW("!"));
		if (negative)
			item = view_from(item, 1);
		if (view_casestarts(item, VIEW("static:")) || view_caseeq(item, name))
			return !negative;
	}
	return false;
}

/* ---- what this session may use ---- */

static bool
is_secure(const struct session *s)
{
	return s->local || s->tls != NULL;
}

/* AUTH may come to be offered here, whatever the state of TLS. */
static bool
is_enabled(const struct session *s)
{
	bool excepted = false;

	if (!s->policy->conf->smtpd_sasl_auth_enable ||
	    (s->policy->keywords & KEYWORD_AUTH) == 0)
		return false;
	if (match_list_client(s->policy->auth_exceptions, view_str(s->name), &s->ip,
	    &excepted) != 0)
		excepted = false;
	return !excepted;
}

bool
auth_needs_tls(const struct session *s)
{
	return is_enabled(s) && s->policy->conf->smtpd_tls_auth_only && !is_secure(s);
}

bool
auth_offered(const struct session *s)
{
	return is_enabled(s) && !(s->policy->conf->smtpd_tls_auth_only && !is_secure(s));
}

/* What a client is not offered it does not know of: its "y" is no downgrade then. */
static bool
binding_is_offered(const struct session *s)
{
	const struct auth_mechanisms *all = &s->w->mechanisms;
	unsigned i;

	for (i = 0; i < all->count; i++)
		if ((all->list[i].flags & AUTH_MECHANISM_BINDING) != 0 &&
		    auth_filter_allows(s->policy->conf->smtpd_sasl_mechanism_filter,
		    view_str(all->list[i].name)))
			return true;
	return false;
}

static bool
is_usable(const struct session *s, const struct auth_mechanism *m, const struct auth_question *q)
{
	if ((m->flags & AUTH_MECHANISM_BINDING) != 0 && q->binding.len == 0)
		return false;
	if ((m->flags & AUTH_MECHANISM_EXTERNAL) != 0 && q->certificate.len == 0)
		return false;
	return auth_filter_allows(s->policy->conf->smtpd_sasl_mechanism_filter,
	    view_str(m->name));
}

const struct auth_mechanism *
auth_mechanism_find(const struct session *s, struct view name)
{
	const struct auth_mechanisms *all = &s->w->mechanisms;
	struct auth_question q = { 0 };
	uint8_t binding[32];
	unsigned i;

	auth_describe(s, &q, binding);
	for (i = 0; i < all->count; i++)
		if (view_caseeq(name, view_str(all->list[i].name)))
			return is_usable(s, &all->list[i], &q) ? &all->list[i] : NULL;
	return NULL;
}

void
auth_put_mechanisms(const struct session *s, struct buf *b)
{
	const struct auth_mechanisms *all = &s->w->mechanisms;
	struct auth_question q = { 0 };
	uint8_t binding[32];
	size_t begin = b->len;
	unsigned i;

	auth_describe(s, &q, binding);
	for (i = 0; i < all->count; i++) {
		if (!is_usable(s, &all->list[i], &q))
			continue;
		if (b->len > begin)
			buf_put_char(b, ' ');
		buf_put_str(b, all->list[i].name);
	}
}

void
auth_describe(const struct session *s, struct auth_question *q, uint8_t binding[32])
{
	q->flags = s->local ? AUTH_SESSION_LOCAL : 0;
	q->binding = VIEW_NONE;
	q->certificate = VIEW_NONE;
	if (s->tls == NULL)
		return;
	q->flags |= AUTH_SESSION_TLS;
	if (binding_is_offered(s) && strcmp(tls_conn_protocol(s->tls), "TLSv1.3") == 0 &&
	    tls_conn_exporter(s->tls, binding) == 0) {
		q->flags |= AUTH_SESSION_TLS13;
		q->binding = view_of((const char *)binding, 32);
	}
	if (tls_conn_trust(s->tls) >= TLS_TRUST_TRUSTED)
		q->certificate = view_str(tls_conn_peer_name(s->tls));
}

/* ---- the login ---- */

const char *
auth_login(const struct session *s)
{
	return s->auth != NULL ? s->auth->login : NULL;
}

void
auth_cancel(struct session *s)
{
	if (s->auth != NULL && s->auth->talk != NULL)
		s->w->backend->auth_cancel(s->w, &s->auth->talk);
}

void
auth_forget(struct session *s)
{
	if (s->auth == NULL)
		return;
	auth_cancel(s);
	xfree(s->auth->login);
	explicit_bzero(s->auth, sizeof(*s->auth));
	xfree(s->auth);
	s->auth = NULL;
}

/*
 * A row of the clients' table: 8 bytes are no address, so a login never is
 * counted as a client's.
 */
bool
auth_over_limit(struct session *s, enum client_event event, int64_t limit, uint32_t *count_r)
{
	const char *login = auth_login(s);
	uint64_t key;

	if (login == NULL || limit == 0)
		return false;
	key = XXH3_64bits(login, strlen(login));
	*count_r = client_limits_count(s->w->limits, (const uint8_t *)&key, sizeof(key), event,
	    s->policy->conf->anvil_rate_time_unit, loop_now_ms(s->w->loop));
	return *count_r > limit;
}
