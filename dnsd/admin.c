/* SPDX-License-Identifier: ISC */
/*
 * admin.c: the dns commands of adminctl.
 *
 * Runs in dnsd; the caller is an administrator (child.c has checked). Every
 * text from the DNS is printable by now: dns_rdata_put_text() escapes.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "dnsd/dnsd.h"
#include "ipc/admin_reply.h"

#define LIST_LIMIT	10000	/* rows of one answer; a cursor goes on */
#define PART_BYTES	40000
#define ROW_RECORDS	8	/* records shown of an answer in a list */
#define REFRESH_MAX	1000

/* An administrator who waits for an answer. */
struct asking {
	struct ipc_channel *ch;		/* NULL: gone */
	uint32_t	 id;
	char		*name;
	uint16_t	 type;
	uint64_t	 start_ns;
	struct dnsd_waiter *waiter;
	TAILQ_ENTRY(asking) link;
};
static TAILQ_HEAD(, asking) askings = TAILQ_HEAD_INITIALIZER(askings);

static const char *const security_names[DNS_SECURITIES] = { "insecure", "secure", "bogus" };

static const char *
string_arg(const json_t *args, const char *name)
{
	return json_string_value(json_object_get(args, name));
}

static json_t *
type_text(uint16_t type)
{
	struct buf b;
	json_t *j;

	if (dns_type_name(type) != NULL)
		return json_string(dns_type_name(type));
	buf_init(&b, 32);
	buf_printf(&b, "TYPE%u", type);
	j = json_string(buf_cstr(&b));
	buf_fini(&b);
	return j;
}

static json_t *
records(const struct answer *a, uint16_t type, unsigned limit)
{
	struct view rest = buf_view(&a->data), rdata;
	json_t *list = json_array();
	struct buf b;

	buf_init(&b, 8000);
	while (json_array_size(list) < limit && answer_next(&rest, &rdata)) {
		buf_reset(&b);
		if (dns_rdata_put_text(&b, type, rdata) != 0)
			buf_put_str(&b, "(too long to show)");
		json_array_append_new(list, json_stringn(buf_view(&b).p, b.len));
	}
	buf_fini(&b);
	return list;
}

static json_t *
answer_json(const char *name, uint16_t type, const struct answer *a, unsigned limit)
{
	json_t *j = json_object();

	json_object_set_new(j, "name", json_string(name));
	json_object_set_new(j, "type", type_text(type));
	json_object_set_new(j, "rcode", json_string(dns_rcode_name(a->rcode)));
	json_object_set_new(j, "security", json_string(security_names[a->security]));
	json_object_set_new(j, "ttl", json_integer(a->ttl));
	json_object_set_new(j, "canonical", json_string(a->canonical));
	json_object_set_new(j, "records", records(a, type, limit));
	return j;
}

/* Name and type of the arguments; answers and returns false when they are wrong. */
static bool
question(struct ipc_channel *ch, uint32_t id, const json_t *args, struct buf *name,
    uint16_t *type_r)
{
	const char *text = string_arg(args, "name"), *type = string_arg(args, "type");

	if (text == NULL || dnsd_put_name(name, view_str(text)) != 0) {
		(void)admin_reply_error(ch, id, PK_ESYNTAX, "\"%s\" is no domain name",
		    text != NULL ? text : "");
		return false;
	}
	*type_r = DNS_TYPE_A;
	if (type != NULL && dns_type_parse(view_str(type), type_r) != 0) {
		(void)admin_reply_error(ch, id, PK_ESYNTAX, "\"%s\" is no record type", type);
		return false;
	}
	return true;
}

/* ---- dns lookup ---- */

static void
looked_up(const struct answer *a, enum dnsd_source source, void *arg)
{
	static const char *const sources[] = { "override", "cache", "resolver" };
	struct asking *k = arg;
	json_t *j;

	if (k->ch != NULL) {
		j = answer_json(k->name, k->type, a, IPC_DNS_RECORDS_MAX);
		json_object_set_new(j, "version", json_integer(1));
		json_object_set_new(j, "source", json_string(sources[source]));
		json_object_set_new(j, "took_us", json_integer((json_int_t)
		    ((clock_mono_ns() - k->start_ns) / 1000)));
		(void)admin_reply_json(k->ch, k->id, false, j, VIEW(""));
	}
	TAILQ_REMOVE(&askings, k, link);
	xfree(k->name);
	xfree(k);
}

static int
lookup_verb(struct dnsd *d, struct ipc_channel *ch, uint32_t id, const json_t *args)
{
	struct dnsd_waiter *w;
	struct asking *k;
	struct buf name;
	uint16_t type;

	buf_init(&name, 2000);
	if (question(ch, id, args, &name, &type)) {
		k = XNEW(struct asking);
		k->ch = ch;
		k->id = id;
		k->name = xstrdup(buf_cstr(&name));
		k->type = type;
		k->start_ns = clock_mono_ns();
		TAILQ_INSERT_TAIL(&askings, k, link);
		w = dnsd_ask(d, k->name, type, looked_up, k);
		if (w != NULL)
			k->waiter = w;
	}
	buf_fini(&name);
	return 0;
}

void
dnsd_admin_closed(struct child *c, struct ipc_channel *ch)
{
	struct asking *k, *next;

	(void)c;
	for (k = TAILQ_FIRST(&askings); k != NULL; k = next) {
		next = TAILQ_NEXT(k, link);
		if (k->ch != ch)
			continue;
		TAILQ_REMOVE(&askings, k, link);
		dnsd_forget(&k->waiter);
		xfree(k->name);
		xfree(k);
	}
}

/* ---- dns cache ---- */

struct listing {
	struct ipc_channel *ch;
	uint32_t	 id;
	json_t		*rows;
	size_t		 bytes;
	struct buf	 last;		/* key of the last row */
};

static int
send_rows(struct listing *l, bool more, struct view cursor)
{
	json_t *part = json_pack("{s:i, s:o}", "version", 1, "entries", l->rows);

	l->rows = json_array();
	l->bytes = 0;
	return admin_reply_json(l->ch, l->id, more, part, cursor);
}

static void
list_row(const char *name, uint16_t type, const struct answer *a, void *arg)
{
	struct listing *l = arg;
	json_t *row = answer_json(name, type, a, ROW_RECORDS);
	size_t size = json_dumpb(row, NULL, 0, JSON_COMPACT);

	/* One row over the part's size: its records go, the row stays. */
	if (size > PART_BYTES / 4) {
		json_object_set_new(row, "records", json_array());
		size = json_dumpb(row, NULL, 0, JSON_COMPACT);
	}
	if (l->bytes + size > PART_BYTES)
		(void)send_rows(l, true, VIEW(""));
	json_array_append_new(l->rows, row);
	l->bytes += size;
	buf_reset(&l->last);
	cache_put_key(&l->last, name, type);
}

static int
cache_list_verb(struct dnsd *d, struct ipc_channel *ch, uint32_t id, const json_t *args)
{
	struct listing l = { .ch = ch, .id = id, .rows = json_array() };
	const char *prefix = string_arg(args, "prefix"), *cursor = string_arg(args, "cursor");
	json_int_t limit = json_integer_value(json_object_get(args, "limit"));
	bool more;
	int error;

	buf_init(&l.last, 2000);
	if (limit <= 0 || limit > LIST_LIMIT)
		limit = LIST_LIMIT;
	more = cache_list(d->cache, view_str(prefix), view_str(cursor), (size_t)limit,
	    clock_mono_ms(), list_row, &l);
	error = send_rows(&l, false, more ? buf_view(&l.last) : VIEW(""));
	json_decref(l.rows);
	buf_fini(&l.last);
	return error;
}

static int
cache_clear_verb(struct dnsd *d, struct ipc_channel *ch, uint32_t id, const json_t *args,
    uint32_t uid)
{
	const char *domain = string_arg(args, "domain");
	struct buf name;
	size_t n;

	buf_init(&name, 2000);
	if (domain != NULL && dnsd_put_name(&name, view_str(domain)) != 0) {
		buf_fini(&name);
		return admin_reply_error(ch, id, PK_ESYNTAX, "\"%s\" is no domain name", domain);
	}
	n = cache_clear(d->cache, domain != NULL ? buf_cstr(&name) : NULL, NULL, NULL);
	upstream_forget(d->upstream);
	child_audit(d->child, uid, "dns cache clear %s: %zu answers forgotten",
	    domain != NULL ? buf_cstr(&name) : "", n);
	buf_fini(&name);
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:I}", "version", 1,
	    "removed", (json_int_t)n), VIEW(""));
}

struct refresh {
	struct question {
		char		*name;
		uint16_t	 type;
	}		 questions[REFRESH_MAX];
	size_t		 count;
};

static void
remember(const char *name, uint16_t type, void *arg)
{
	struct refresh *f = arg;

	if (f->count == REFRESH_MAX)
		return;
	f->questions[f->count].name = xstrdup(name);
	f->questions[f->count++].type = type;
}

static void
refreshed(const struct answer *a, enum dnsd_source source, void *arg)
{
	(void)a, (void)source, (void)arg;
}

/* Forgets what is known of a domain and asks for the same again. */
static int
cache_refresh_verb(struct dnsd *d, struct ipc_channel *ch, uint32_t id, const json_t *args,
    uint32_t uid)
{
	const char *domain = string_arg(args, "domain");
	struct refresh *f;
	struct buf name;
	size_t n, i;

	buf_init(&name, 2000);
	if (domain == NULL || dnsd_put_name(&name, view_str(domain)) != 0) {
		buf_fini(&name);
		return admin_reply_error(ch, id, PK_ESYNTAX, "\"%s\" is no domain name",
		    domain != NULL ? domain : "");
	}
	f = XNEW(struct refresh);
	n = cache_clear(d->cache, buf_cstr(&name), remember, f);
	upstream_forget(d->upstream);
	for (i = 0; i < f->count; i++) {
		(void)dnsd_ask(d, f->questions[i].name, f->questions[i].type, refreshed, NULL);
		xfree(f->questions[i].name);
	}
	child_audit(d->child, uid, "dns cache refresh %s: %zu answers", buf_cstr(&name), n);
	n = f->count;
	xfree(f);
	buf_fini(&name);
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:s, s:I}", "version", 1,
	    "domain", domain, "asked_again", (json_int_t)n), VIEW(""));
}

/* ---- dns override ---- */

static void
override_row(const char *name, uint16_t type, const char *data, bool configured, void *arg)
{
	json_t *row = json_object();

	json_object_set_new(row, "name", json_string(name));
	json_object_set_new(row, "type", type_text(type));
	json_object_set_new(row, "data", json_string(data));
	json_object_set_new(row, "origin", json_string(configured ? "configuration" : "command"));
	json_array_append_new(arg, row);
}

static int
override_list_verb(struct dnsd *d, struct ipc_channel *ch, uint32_t id)
{
	json_t *all = json_array(), *part = json_array(), *row;
	size_t i, bytes = 0, size;

	overrides_each(d->overrides, override_row, all);
	json_array_foreach(all, i, row) {
		size = json_dumpb(row, NULL, 0, JSON_COMPACT);
		if (bytes + size > PART_BYTES) {
			(void)admin_reply_json(ch, id, true, json_pack("{s:i, s:o}",
			    "version", 1, "overrides", part), VIEW(""));
			part = json_array();
			bytes = 0;
		}
		json_array_append(part, row);
		bytes += size;
	}
	json_decref(all);
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:o}", "version", 1,
	    "overrides", part), VIEW(""));
}

static int
override_set_verb(struct dnsd *d, struct ipc_channel *ch, uint32_t id, const json_t *args,
    uint32_t uid)
{
	const char *name = string_arg(args, "name"), *type = string_arg(args, "type");
	const char *data = string_arg(args, "data");
	struct buf why;
	int error;

	if (name == NULL || type == NULL || data == NULL)
		return admin_reply_error(ch, id, PK_ESYNTAX, "dns override set: name, type, data");
	buf_init(&why, 900);
	error = overrides_set(d->overrides, view_str(name), view_str(type), view_str(data), &why);
	if (error != 0) {
		error = admin_reply_error(ch, id, error, "%s", buf_cstr(&why));
	} else {
		child_audit(d->child, uid, "dns override set %s %s %s", name, type, data);
		error = admin_reply_json(ch, id, false, json_pack("{s:i, s:s}", "version", 1,
		    "lasts", "until dnsd restarts"), VIEW(""));
	}
	buf_fini(&why);
	return error;
}

static int
override_remove_verb(struct dnsd *d, struct ipc_channel *ch, uint32_t id, const json_t *args,
    uint32_t uid)
{
	const char *type_arg = string_arg(args, "type");
	struct buf name;
	uint16_t type;
	size_t n;

	buf_init(&name, 2000);
	if (!question(ch, id, args, &name, &type)) {
		buf_fini(&name);
		return 0;
	}
	n = overrides_remove(d->overrides, buf_view(&name), type_arg != NULL ? type : 0);
	if (n > 0)
		child_audit(d->child, uid, "dns override remove %s %s", buf_cstr(&name),
		    type_arg != NULL ? type_arg : "");
	buf_fini(&name);
	if (n == 0)
		return admin_reply_error(ch, id, PK_ENOENT, "there is no such override");
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:I}", "version", 1,
	    "removed", (json_int_t)n), VIEW(""));
}

/* ---- dns stats ---- */

static int
stats_verb(struct dnsd *d, struct ipc_channel *ch, uint32_t id)
{
	const struct dnsd_stats *s = &d->stats;
	struct cache_stats c;
	json_t *j = json_object(), *cache = json_object();
	const struct {
		const char	*name;
		uint64_t	 n;
	} rows[] = {
		{ "questions", s->questions }, { "overridden", s->overridden },
		{ "cached", s->cached }, { "joined", s->joined }, { "asked", s->asked },
		{ "answered", s->answered }, { "negative", s->negative },
		{ "failed", s->failed }, { "bogus", s->bogus },
		{ "timeouts", s->timeouts }, { "refused", s->refused },
		{ "under_way", map_count(d->queries) },
	};
	size_t i;

	cache_stats(d->cache, &c);
	json_object_set_new(j, "version", json_integer(1));
	for (i = 0; i < NELEMS(rows); i++)
		json_object_set_new(j, rows[i].name, json_integer((json_int_t)rows[i].n));
	json_object_set_new(j, "validates", json_boolean(upstream_validates(d->upstream)));
	json_object_set_new(cache, "entries", json_integer((json_int_t)c.entries));
	json_object_set_new(cache, "size_bytes", json_integer((json_int_t)c.bytes));
	json_object_set_new(cache, "limit_bytes",
	    json_integer((json_int_t)d->conf->dns_cache_size));
	json_object_set_new(cache, "hits", json_integer((json_int_t)c.hits));
	json_object_set_new(cache, "misses", json_integer((json_int_t)c.misses));
	json_object_set_new(cache, "inserted", json_integer((json_int_t)c.inserted));
	json_object_set_new(cache, "expired", json_integer((json_int_t)c.expired));
	json_object_set_new(cache, "evicted", json_integer((json_int_t)c.evicted));
	json_object_set_new(j, "cache", cache);
	return admin_reply_json(ch, id, false, j, VIEW(""));
}

static int
dispatch(struct dnsd *d, struct ipc_channel *ch, uint32_t id, struct view verb,
    const json_t *args, uint32_t uid)
{
	if (view_eq(verb, VIEW("dns lookup")))
		return lookup_verb(d, ch, id, args);
	if (view_eq(verb, VIEW("dns cache list")))
		return cache_list_verb(d, ch, id, args);
	if (view_eq(verb, VIEW("dns cache clear")))
		return cache_clear_verb(d, ch, id, args, uid);
	if (view_eq(verb, VIEW("dns cache refresh")))
		return cache_refresh_verb(d, ch, id, args, uid);
	if (view_eq(verb, VIEW("dns override list")))
		return override_list_verb(d, ch, id);
	if (view_eq(verb, VIEW("dns override set")))
		return override_set_verb(d, ch, id, args, uid);
	if (view_eq(verb, VIEW("dns override remove")))
		return override_remove_verb(d, ch, id, args, uid);
	if (view_eq(verb, VIEW("dns stats")))
		return stats_verb(d, ch, id);
	return admin_reply_error(ch, id, PK_EUNSUPPORTED, "dnsd knows: dns lookup, dns cache"
	    " list|clear|refresh, dns override list|set|remove, dns stats");
}

int
dnsd_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m, struct view verb,
    struct view args, uint32_t uid)
{
	struct dnsd *d = child_arg(c);
	json_t *j = args.len > 0 ? json_loadb(args.p, args.len, 0, NULL) : json_object();
	int error;

	if (!d->ready)
		error = admin_reply_error(ch, m->id, PK_EAGAIN, "dnsd is starting");
	else if (!json_is_object(j))
		error = admin_reply_error(ch, m->id, PK_ESYNTAX,
		    "the arguments are no JSON object");
	else
		error = dispatch(d, ch, m->id, verb, j, uid);
	json_decref(j);
	return error;
}
