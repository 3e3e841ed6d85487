/* SPDX-License-Identifier: ISC */
/*
 * source_ldap.c: users in an LDAP directory, by OpenLDAP's library.
 *
 * Runs in authd's query threads. What a client sends reaches a filter with
 * RFC 4515's escapes, byte by byte, and never a DN (A12); what an entry says
 * is checked like a stranger's words. Sockets are made non-blocking, so that
 * one deadline holds over a server that sends a byte a second. The server's
 * certificate is checked before the password is sent (A20) unless the file
 * says otherwise.
 */
#include <fcntl.h>
#include <lber.h>
#include <ldap.h>
#include <string.h>
#include <sys/time.h>

#include "authd/source_impl.h"
#include "authd/source_file.h"
#include "authd/source_pool.h"
#include "authd/source_row.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

#define CA_FILE_DEFAULT	"/etc/ssl/certs/ca-certificates.crt"
#define FILTER_MAX	4000
#define VALUE_MAX	10000
/* Entries of an answer; two are too many for a login. */
#define ENTRIES_MAX	1000
#define ATTRIBUTES_MAX	8
#define SAY_MS		10000
/* What a server may send as one message. */
#define MESSAGE_MAX	(1UL << 20)

static const char *const names[] = {
	"hosts", "start_tls", "tls", "tls_ca_file", "bind_dn", "bind_pw", "search_base", "scope",
	"user_filter", "user_attribute", "password_attribute", "mailbox_attribute",
	"quota_attribute", "disabled_attribute", "default_password_scheme",
	"mailbox_filter", "domain_filter", "domain_attribute", "alias_filter", "alias_attribute",
	"logins_filter", "logins_attribute", NULL,
};

struct source_ldap {
	struct source	 base;
	struct source_file *file;
	struct source_pool *pool;
	char		*name;
	uint64_t	 timeout_ms;
	int		 scope;
};

/* ---- filters ---- */

/* RFC 4515 3: everything but letters, digits and a few harmless signs. */
static void
put_escaped(struct buf *b, struct view v)
{
	size_t i;

	for (i = 0; i < v.len; i++) {
		if (ascii_isalnum(v.p[i]) || (v.p[i] != '\0' && strchr("@.-_+ ", v.p[i]) != NULL))
			buf_put_char(b, v.p[i]);
		else
			buf_printf(b, "\\%02x", (unsigned char)v.p[i]);
	}
}

static int
put_filter(struct buf *b, const char *text, struct view key)
{
	char *user, *domain;
	int rc = 0;

	source_key_split(key, &user, &domain);
	for (; *text != '\0' && rc == 0; text++) {
		if (*text != '%') {
			buf_put_char(b, *text);
			continue;
		}
		switch (*++text) {
		case 'u':
			put_escaped(b, key);
			break;
		case 'n':
			put_escaped(b, view_str(user));
			break;
		case 'd':
			put_escaped(b, view_str(domain));
			break;
		case '%':
			buf_put_char(b, '%');
			break;
		default:
			rc = PK_ESYNTAX;
			break;
		}
		if (*text == '\0')
			break;
	}
	xfree(user);
	xfree(domain);
	return rc != 0 ? rc : buf_error(b);
}

/* ---- connecting ---- */

static struct timeval
left_of(uint64_t deadline_ms)
{
	int ms = source_time_left(deadline_ms);

	/* 0 is "for ever" in some places: a millisecond. */
	ms = ms > 0 ? ms : 1;
	return (struct timeval){ ms / 1000, (suseconds_t)(ms % 1000 * 1000) };
}

static void
ldap_disconnect(void *conn)
{
	/* unbind_ext waits for nobody. */
	ldap_unbind_ext(conn, NULL, NULL);
}

/* One result of message id: its code; LDAP_TIMEOUT, LDAP_SERVER_DOWN. */
static int
wait_result(LDAP *ld, int id, uint64_t deadline_ms, LDAPMessage **m_r)
{
	struct timeval tv = left_of(deadline_ms);
	int rc, code = LDAP_OTHER;

	rc = ldap_result(ld, id, LDAP_MSG_ALL, &tv, m_r);
	if (rc == 0)
		return LDAP_TIMEOUT;
	if (rc < 0) {
		ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &code);
		return code != LDAP_SUCCESS ? code : LDAP_SERVER_DOWN;
	}
	rc = ldap_parse_result(ld, *m_r, &code, NULL, NULL, NULL, NULL, 0);
	return rc != LDAP_SUCCESS ? rc : code;
}

static void
set_nonblocking(LDAP *ld)
{
	int fd = -1, flags;

	if (ldap_get_option(ld, LDAP_OPT_DESC, &fd) == LDAP_OPT_SUCCESS && fd != -1 &&
	    (flags = fcntl(fd, F_GETFL)) != -1)
		(void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int
set_options(const struct source_ldap *s, LDAP *ld, const char *host, uint64_t deadline_ms,
    struct buf *why)
{
	const char *ca = source_file_get(s->file, "tls_ca_file");
	struct timeval tv = left_of(deadline_ms);
	int version = LDAP_VERSION3, demand, zero = 0;
	ber_len_t most = MESSAGE_MAX;
	enum source_tls tls;
	Sockbuf *sb = NULL;

	if (source_file_tls(s->file, host, &tls, why) != 0)
		return LDAP_PARAM_ERROR;
	demand = tls == SOURCE_TLS_VERIFY ? LDAP_OPT_X_TLS_DEMAND : LDAP_OPT_X_TLS_NEVER;
	ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	/* A server sends nobody elsewhere with our password. */
	ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	ldap_set_option(ld, LDAP_OPT_RESTART, LDAP_OPT_ON);
	ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &tv);
	ldap_set_option(ld, LDAP_OPT_TIMEOUT, &tv);
	if (ldap_get_option(ld, LDAP_OPT_SOCKBUF, &sb) == LDAP_OPT_SUCCESS && sb != NULL)
		ber_sockbuf_ctrl(sb, LBER_SB_OPT_SET_MAX_INCOMING, &most);
	ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
	if (tls == SOURCE_TLS_VERIFY)
		ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE,
		    ca[0] != '\0' ? ca : CA_FILE_DEFAULT);
	return ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &zero) == LDAP_OPT_SUCCESS ?
	    LDAP_SUCCESS : LDAP_LOCAL_ERROR;
}

static int
say_hello(const struct source_ldap *s, LDAP *ld, bool start_tls, uint64_t deadline_ms)
{
	const char *dn = source_file_get(s->file, "bind_dn");
	const char *pw = source_file_get(s->file, "bind_pw");
	struct berval cred = { strlen(pw), (char *)(uintptr_t)pw };
	LDAPMessage *m = NULL;
	int id, rc = LDAP_SUCCESS;

	if (start_tls) {
		rc = ldap_start_tls(ld, NULL, NULL, &id);
		if (rc == LDAP_SUCCESS)
			rc = wait_result(ld, id, deadline_ms, &m);
		ldap_msgfree(m);
		m = NULL;
		if (rc == LDAP_SUCCESS)
			rc = ldap_install_tls(ld);
	}
	if (rc == LDAP_SUCCESS)
		rc = ldap_sasl_bind(ld, dn, LDAP_SASL_SIMPLE, &cred, NULL, NULL, &id);
	if (rc == LDAP_SUCCESS) {
		set_nonblocking(ld);
		rc = wait_result(ld, id, deadline_ms, &m);
	}
	ldap_msgfree(m);
	return rc;
}

/* "ldap://host:port", "ldaps://", "ldapi://"; "host" is ldap://host. */
static LDAP *
connect_host(struct source_ldap *s, struct view item, uint64_t deadline_ms, struct buf *why)
{
	bool start_tls = view_caseeq(view_str(source_file_get(s->file, "start_tls")), VIEW("yes"));
	bool has_scheme = view_starts(item, VIEW("ldap"));
	struct view place = item;
	LDAP *ld = NULL;
	char *uri, *host, *port, *words = NULL;
	int rc;

	if (has_scheme && view_find(item, '/') > 0)
		place = view_from(item, (size_t)view_find(item, '/') + 2);
	source_host_split(place, &host, &port);
	uri = has_scheme ? view_dup(item) : xasprintf("ldap://%.*s", VIEW_ARG(item));
	rc = ldap_initialize(&ld, uri);
	if (rc == LDAP_SUCCESS)
		rc = set_options(s, ld, view_starts(item, VIEW("ldapi")) ? "/" : host, deadline_ms,
		    why);
	if (rc == LDAP_SUCCESS)
		rc = say_hello(s, ld, start_tls, deadline_ms);
	if (rc != LDAP_SUCCESS) {
		if (ld != NULL)
			ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &words);
		buf_printf(why, "%s: %s%s%.*s", uri, ldap_err2string(rc), words != NULL ? ": " : "",
		    VIEW_ARG(view_head(view_str(words != NULL ? words : ""), 200)));
		ldap_memfree(words);
		if (ld != NULL)
			ldap_disconnect(ld);
		ld = NULL;
	}
	xfree(uri);
	xfree(host);
	xfree(port);
	return ld;
}

static LDAP *
connect_any(struct source_ldap *s, uint64_t deadline_ms, struct buf *why)
{
	struct view list = view_str(source_file_get(s->file, "hosts")), item;
	LDAP *ld = NULL;

	while (ld == NULL && source_time_left(deadline_ms) > 0 && conf_list_next(&list, &item)) {
		buf_reset(why);
		ld = connect_host(s, item, deadline_ms, why);
	}
	return ld;
}

/* ---- searching ---- */

struct wanted {
	const char	*attribute;
	/* Of one value; PK_ESYNTAX: it has not the form it should have. */
	int		(*take)(struct view value, void *arg);
};

struct search {
	struct source_ldap *s;
	const char	*filter;
	const struct wanted *wanted;
	size_t		 nwanted;
	void		*arg;
	unsigned	 entries;
	int		 error;
};

static void
take_entry(LDAP *ld, LDAPMessage *entry, struct search *q)
{
	struct berval **values;
	size_t i;
	int n;

	q->entries++;
	for (i = 0; i < q->nwanted && q->error == 0; i++) {
		values = ldap_get_values_len(ld, entry, q->wanted[i].attribute);
		for (n = 0; values != NULL && values[n] != NULL && q->error == 0; n++)
			if (values[n]->bv_len <= VALUE_MAX)
				q->error = q->wanted[i].take(view_of(values[n]->bv_val,
				    values[n]->bv_len), q->arg);
		if (values != NULL)
			ldap_value_free_len(values);
	}
}

static bool
is_gone(int code)
{
	/* Of the library, and "unavailable": not of this search. */
	return code < 0 || code == LDAP_UNAVAILABLE || code == LDAP_BUSY || code == LDAP_TIMEOUT;
}

static int
search_on(LDAP *ld, struct search *q, uint64_t deadline_ms, struct buf *why)
{
	char *attributes[ATTRIBUTES_MAX + 1];
	LDAPMessage *m = NULL, *entry;
	size_t i;
	int id, rc;

	for (i = 0; i < q->nwanted; i++)
		attributes[i] = (char *)(uintptr_t)q->wanted[i].attribute;
	if (q->nwanted == 0)
		attributes[i++] = (char *)(uintptr_t)LDAP_NO_ATTRS;
	attributes[i] = NULL;
	rc = ldap_search_ext(ld, source_file_get(q->s->file, "search_base"), q->s->scope, q->filter,
	    attributes, 0, NULL, NULL, NULL, ENTRIES_MAX, &id);
	if (rc == LDAP_SUCCESS)
		rc = wait_result(ld, id, deadline_ms, &m);
	if (rc == LDAP_SUCCESS)
		for (entry = ldap_first_entry(ld, m); entry != NULL && q->entries < ENTRIES_MAX;
		    entry = ldap_next_entry(ld, entry))
			take_entry(ld, entry, q);
	ldap_msgfree(m);
	if (rc == LDAP_NO_SUCH_OBJECT)
		rc = LDAP_SUCCESS;
	if (rc != LDAP_SUCCESS)
		buf_printf(why, "%s", ldap_err2string(rc));
	return rc == LDAP_SUCCESS ? 0 : is_gone(rc) ? PK_EPEER : PK_ETEMP;
}

static void
say(const char *name, const char *why)
{
	static _Atomic uint64_t said_ms;
	uint64_t now = clock_mono_ms();

	if (said_ms == 0 || now - said_ms >= SAY_MS) {
		said_ms = now;
		log_error("%s: %s", name, why);
	}
}

static int
try_once(struct search *q, uint64_t deadline_ms)
{
	struct source_ldap *s = q->s;
	void *conn = NULL;
	struct buf why;
	bool idle;
	int rc;

	if (source_pool_take(s->pool, deadline_ms, &conn) != 0)
		return PK_ETEMP;
	buf_init(&why, 1000);
	idle = conn != NULL;
	if (!idle)
		conn = connect_any(s, deadline_ms, &why);
	if (conn == NULL) {
		source_pool_give(s->pool, NULL, SOURCE_POOL_BROKEN, buf_cstr(&why));
		rc = PK_ETEMP;
	} else {
		rc = search_on(conn, q, deadline_ms, &why);
		if (rc == PK_ETEMP)
			say(s->name, buf_cstr(&why));
		if (rc == PK_EPEER && idle && source_time_left(deadline_ms) > 0) {
			source_pool_give(s->pool, conn, SOURCE_POOL_DROP, NULL);
		} else {
			source_pool_give(s->pool, conn, rc == PK_EPEER ? SOURCE_POOL_BROKEN :
			    SOURCE_POOL_GOOD, buf_cstr(&why));
			rc = rc == 0 ? 0 : PK_ETEMP;
		}
	}
	buf_fini(&why);
	return rc;
}

static int
search(struct search *q, const char *filter_name, struct view key)
{
	const char *text = source_file_get(q->s->file, filter_name);
	uint64_t deadline = clock_mono_ms() + q->s->timeout_ms;
	struct buf filter;
	unsigned i;
	int rc;

	if (text[0] == '\0' || !source_key_is_fit(key))
		return PK_ENOENT;
	buf_init(&filter, FILTER_MAX);
	rc = put_filter(&filter, text, key);
	if (rc == 0) {
		q->filter = buf_cstr(&filter);
		rc = try_once(q, deadline);
		for (i = 0; rc == PK_EPEER && i < 65 && q->entries == 0; i++)
			rc = try_once(q, deadline);
	}
	buf_fini(&filter);
	if (rc == 0 && q->error != 0)
		say(q->s->name, "a value has not the form it should have");
	return rc != 0 || q->error != 0 ? PK_ETEMP : q->entries == 0 ? PK_ENOENT : 0;
}

/* ---- users ---- */

struct taking {
	struct source_user *u;
	const char	*default_scheme;
	struct buf	*value;
};

#define TAKE(name, column)						\
static int								\
take_##name(struct view v, void *arg)					\
{									\
	struct taking *t = arg;						\
									\
	return source_row_set(t->u, VIEW(column), v, t->default_scheme);	\
}
TAKE(login, "user")
TAKE(password, "password")
TAKE(mailbox, "mailbox")
TAKE(quota, "quota")
TAKE(disabled, "disabled")

static int
take_value(struct view v, void *arg)
{
	struct taking *t = arg;

	source_put_value(t->value, v);
	return buf_error(t->value);
}

static const char *
attribute(const struct source_ldap *s, const char *name, const char *otherwise)
{
	const char *a = source_file_get(s->file, name);

	return a[0] != '\0' ? a : otherwise;
}

static void
want(struct wanted *w, size_t *n, const char *name, int (*take)(struct view, void *))
{
	if (name[0] != '\0')
		w[(*n)++] = (struct wanted){ name, take };
}

static int
ldap_find(struct source *base, struct view login, struct source_user *u)
{
	struct source_ldap *s = (struct source_ldap *)base;
	struct wanted w[ATTRIBUTES_MAX];
	struct taking t = { .u = u,
	    .default_scheme = source_file_get(s->file, "default_password_scheme") };
	struct search q = { .s = s, .wanted = w, .arg = &t };
	int rc;

	want(w, &q.nwanted, attribute(s, "password_attribute", "userPassword"), take_password);
	want(w, &q.nwanted, attribute(s, "user_attribute", ""), take_login);
	want(w, &q.nwanted, attribute(s, "mailbox_attribute", ""), take_mailbox);
	want(w, &q.nwanted, attribute(s, "quota_attribute", ""), take_quota);
	want(w, &q.nwanted, attribute(s, "disabled_attribute", ""), take_disabled);
	rc = search(&q, "user_filter", login);
	if (rc == 0 && q.entries > 1) {
		say(s->name, "more than one entry for a login");
		source_user_fini(u);
		source_user_init(u);
		return PK_ENOENT;
	}
	if (rc == 0)
		source_row_end(u, login);
	return rc;
}

/* ---- maps ---- */

static int
ldap_map(struct source *base, enum source_map map, struct view key, struct buf *value_r)
{
	static const struct {
		const char *filter, *attribute;
	} rows[SOURCE_MAPS] = {
		[SOURCE_MAP_DOMAINS] = { "domain_filter", "domain_attribute" },
		[SOURCE_MAP_USERS] = { "mailbox_filter", "mailbox_attribute" },
		[SOURCE_MAP_ALIASES] = { "alias_filter", "alias_attribute" },
		[SOURCE_MAP_QUOTAS] = { "mailbox_filter", "quota_attribute" },
		[SOURCE_MAP_LOGINS] = { "logins_filter", "logins_attribute" },
	};
	struct source_ldap *s = (struct source_ldap *)base;
	const char *a = attribute(s, rows[map].attribute, "");
	struct wanted w = { a, take_value };
	struct buf value;
	struct taking t = { .value = &value };
	struct search q = { .s = s, .wanted = &w, .nwanted = a[0] != '\0', .arg = &t };
	int rc;

	if (map != SOURCE_MAP_DOMAINS && view_find(key, '@') < 0)
		return PK_ENOENT;
	buf_init(&value, VALUE_MAX);
	rc = search(&q, rows[map].filter, key);
	if (rc == 0 && map == SOURCE_MAP_DOMAINS)
		buf_put_str(value_r, "OK");
	else if (rc == 0 && map == SOURCE_MAP_USERS && value.len == 0)
		source_put_mailbox(value_r, key);
	else if (rc == 0 && value.len == 0)
		rc = PK_ENOENT;
	else if (rc == 0)
		rc = buf_put_view(value_r, buf_view(&value)) == 0 ? 0 : PK_ETEMP;
	buf_fini(&value);
	return rc;
}

/* ---- the source ---- */

static void
ldap_close(struct source *base)
{
	struct source_ldap *s = (struct source_ldap *)base;

	source_pool_free(&s->pool);
	source_file_free(&s->file);
	xfree(s->name);
	xfree(s);
}

static int
read_scope(struct source_ldap *s, struct buf *why)
{
	struct view word = view_str(source_file_get(s->file, "scope"));

	s->scope = LDAP_SCOPE_SUBTREE;
	if (view_eq(word, VIEW("one")))
		s->scope = LDAP_SCOPE_ONELEVEL;
	else if (view_eq(word, VIEW("base")))
		s->scope = LDAP_SCOPE_BASE;
	else if (word.len > 0 && !view_eq(word, VIEW("sub"))) {
		buf_printf(why, "%s: scope is sub, one or base", source_file_path(s->file));
		return PK_ESYNTAX;
	}
	return 0;
}

/* With any name: only the form is looked at. */
static int
check_filters(struct source_ldap *s, struct buf *why)
{
	static const char *const filters[] = { "user_filter", "mailbox_filter", "domain_filter",
	    "alias_filter", "logins_filter" };
	struct buf b;
	size_t i;
	int rc = 0;

	for (i = 0; i < NELEMS(filters) && rc == 0; i++) {
		buf_init(&b, FILTER_MAX);
		rc = put_filter(&b, source_file_get(s->file, filters[i]), VIEW("u@d"));
		if (rc != 0)
			buf_printf(why, "%s: %s: %%u, %%n and %%d stand for the name; write %%%% "
			    "for a percent sign", source_file_path(s->file), filters[i]);
		buf_fini(&b);
	}
	return rc;
}

static struct source *
ldap_open(const struct conf *conf, const char *arg, struct buf *why)
{
	struct source_file *f = source_file_read(arg, names, why);
	struct source_ldap *s;

	if (f == NULL)
		return NULL;
	s = XNEW(struct source_ldap);
	s->file = f;
	s->name = xasprintf("ldap:%s", arg);
	s->timeout_ms = (uint64_t)conf->auth_source_timeout;
	s->pool = source_pool_new(s->name, (unsigned)conf->auth_source_connections,
	    ldap_disconnect);
	if (read_scope(s, why) != 0 || check_filters(s, why) != 0) {
		ldap_close(&s->base);
		return NULL;
	}
	return &s->base;
}

static void
ldap_needs(const struct conf *conf, const char *arg, struct sandbox_spec *spec)
{
	(void)conf;
	source_file_needs(arg, names, spec);
}

const struct source_type source_type_ldap = {
	.name = "ldap",
	.blocks = true,
	.open = ldap_open,
	.close = ldap_close,
	.find = ldap_find,
	.map = ldap_map,
	.needs = ldap_needs,
};
