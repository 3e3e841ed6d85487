/* SPDX-License-Identifier: ISC */
/*
 * override.c: fixed answers, from dns_overrides and from administrators.
 *
 * Runs in dnsd. What an administrator sets lives until the process ends;
 * dns_overrides is the place for what is to stay.
 */
#include "dnsd/override.h"

#include <bsd/sys/queue.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/conf.h"

struct override {
	char		*name;
	uint16_t	 type;
	char		*data;		/* as it was given */
	struct view	 wire;		/* owned; none for a failure */
	unsigned	 rcode;
	bool		 configured;
	TAILQ_ENTRY(override) link;
};

struct overrides {
	TAILQ_HEAD(, override) list;
	size_t	 count;
};

struct overrides *
overrides_new(void)
{
	struct overrides *o = XNEW(struct overrides);

	TAILQ_INIT(&o->list);
	return o;
}

static void
drop(struct overrides *o, struct override *v)
{
	TAILQ_REMOVE(&o->list, v, link);
	o->count--;
	xfree(v->name);
	xfree(v->data);
	xfree((void *)(uintptr_t)v->wire.p);
	xfree(v);
}

void
overrides_free(struct overrides **o)
{
	if (*o == NULL)
		return;
	while (!TAILQ_EMPTY(&(*o)->list))
		drop(*o, TAILQ_FIRST(&(*o)->list));
	xfree(*o);
	*o = NULL;
}

int
dnsd_put_name(struct buf *b, struct view text)
{
	struct buf wire;
	size_t used;
	int error;

	buf_init(&wire, 256);
	error = dns_name_put_wire(&wire, text);
	if (error == 0)
		error = dns_name_put_text(b, buf_view(&wire), &used);
	buf_fini(&wire);
	return error != 0 ? PK_ESYNTAX : 0;
}

static bool
failure(struct view data, unsigned *rcode_r)
{
	static const struct {
		struct view	 word;
		unsigned	 rcode;
	} words[] = {
		{ VIEW("NXDOMAIN"), DNS_RCODE_NXDOMAIN },
		{ VIEW("NODATA"), DNS_RCODE_NOERROR },
		{ VIEW("SERVFAIL"), DNS_RCODE_SERVFAIL },
	};
	size_t i;

	for (i = 0; i < NELEMS(words); i++) {
		if (view_eq(data, words[i].word)) {
			*rcode_r = words[i].rcode;
			return true;
		}
	}
	return false;
}

static int
parse(struct view name, struct view type, struct view data, struct override *v,
    struct buf *why)
{
	struct buf text, wire;
	int error;

	buf_init(&text, 2000);
	buf_init(&wire, 4096);
	error = dnsd_put_name(&text, name);
	if (error != 0)
		buf_printf(why, "\"%.*s\" is no domain name", VIEW_ARG(name));
	if (error == 0 && (error = dns_type_parse(type, &v->type)) != 0)
		buf_printf(why, "\"%.*s\" is no record type", VIEW_ARG(type));
	if (error == 0 && !failure(data, &v->rcode)) {
		error = dns_rdata_put_wire(&wire, v->type, data);
		if (error != 0)
			buf_printf(why, "\"%.*s\" is no data for %.*s", VIEW_ARG(data),
			    VIEW_ARG(type));
		else
			v->wire = view_of(xmemdup(buf_data(&wire), wire.len), wire.len);
	}
	if (error == 0) {
		v->name = xstrdup(buf_cstr(&text));
		v->data = view_dup(data);
	}
	buf_fini(&wire);
	buf_fini(&text);
	return error;
}

static int
add(struct overrides *o, struct view name, struct view type, struct view data,
    bool configured, struct buf *why)
{
	struct override *v;
	int error;

	if (o->count >= OVERRIDES_MAX) {
		buf_put_str(why, "too many overrides");
		return PK_ELIMIT;
	}
	v = XNEW(struct override);
	error = parse(name, type, view_trim(data), v, why);
	if (error != 0) {
		xfree(v);
		return error;
	}
	v->configured = configured;
	TAILQ_INSERT_TAIL(&o->list, v, link);
	o->count++;
	return 0;
}

int
overrides_set(struct overrides *o, struct view name, struct view type, struct view data,
    struct buf *why)
{
	return add(o, name, type, data, false, why);
}

static int
configure_one(struct overrides *o, struct view item, struct buf *why)
{
	ptrdiff_t eq, slash;
	struct view left;

	if (item.len > 1 && item.p[0] == '{')
		item = view_trim(view_of(item.p + 1, item.len - 2));
	eq = view_find(item, '=');
	left = view_trim(view_head(item, eq < 0 ? 0 : (size_t)eq));
	slash = view_rfind(left, '/');
	if (eq < 0 || slash <= 0) {
		buf_printf(why, "dns_overrides: \"%.*s\": write NAME/TYPE=DATA",
		    VIEW_ARG(item));
		return PK_ESYNTAX;
	}
	return add(o, view_head(left, (size_t)slash), view_from(left, (size_t)slash + 1),
	    view_from(item, (size_t)eq + 1), true, why);
}

int
overrides_configure(struct overrides *o, const char *list, struct buf *why)
{
	struct view items = view_str(list), item;
	struct override *v, *next;
	struct buf unsaid;
	int error, first = 0;

	buf_init(&unsaid, 0);

	for (v = TAILQ_FIRST(&o->list); v != NULL; v = next) {
		next = TAILQ_NEXT(v, link);
		if (v->configured)
			drop(o, v);
	}
	while (conf_list_next(&items, &item)) {
		/* A wrong one does not take the right ones away. */
		error = configure_one(o, item, first == 0 ? why : &unsaid);
		if (first == 0)
			first = error;
	}
	return first;
}

size_t
overrides_remove(struct overrides *o, struct view name, uint16_t type)
{
	struct override *v, *next;
	struct buf text;
	size_t n = 0;

	buf_init(&text, 2000);
	if (dnsd_put_name(&text, name) == 0) {
		for (v = TAILQ_FIRST(&o->list); v != NULL; v = next) {
			next = TAILQ_NEXT(v, link);
			if ((type == 0 || v->type == type) &&
			    view_eq(view_str(v->name), buf_view(&text))) {
				drop(o, v);
				n++;
			}
		}
	}
	buf_fini(&text);
	return n;
}

int
overrides_get(const struct overrides *o, const char *name, uint16_t type, struct answer *a)
{
	const struct override *v;
	bool found = false;

	TAILQ_FOREACH(v, &o->list, link) {
		if (v->type != type || strcmp(v->name, name) != 0)
			continue;
		if (!found) {
			answer_fail(a, name, v->rcode, DNS_INSECURE);
			a->ttl = OVERRIDE_TTL;
			found = true;
		}
		if (v->wire.p != NULL)
			(void)answer_add(a, v->wire);
		else
			a->rcode = v->rcode;
	}
	if (!found)
		return PK_ENOENT;
	if (a->count > 0) {
		a->code = 0;
		a->rcode = DNS_RCODE_NOERROR;
	} else {
		a->code = a->rcode == DNS_RCODE_SERVFAIL ? PK_ETEMP : PK_ENOENT;
	}
	return 0;
}

void
overrides_each(const struct overrides *o, void (*fn)(const char *name, uint16_t type,
    const char *data, bool configured, void *arg), void *arg)
{
	const struct override *v;

	TAILQ_FOREACH(v, &o->list, link)
		fn(v->name, v->type, v->data, v->configured, arg);
}
