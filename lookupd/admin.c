/* SPDX-License-Identifier: ISC */
/*
 * admin.c: "table get", "lookup status", "lookup address" of adminctl.
 *
 * Runs in lookupd; the caller is an administrator (child.c has checked). What
 * is shown comes from tables and may be no UTF-8: JSON gets it repaired.
 */
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "ipc/admin_reply.h"
#include "lookupd/lookupd.h"
#include "table/table.h"

static json_t *
json_text(struct view v)
{
	json_t *j = json_stringn(v.p != NULL ? v.p : "", v.len);
	struct buf b;

	if (j != NULL)
		return j;
	buf_init(&b, 2 * v.len + 16);
	hex_put(&b, v);
	j = json_stringn(buf_view(&b).p, b.len);
	buf_fini(&b);
	return j;
}

static const char *
string_arg(const json_t *args, const char *name)
{
	return json_string_value(json_object_get(args, name));
}

/* Other tables than the configuration's, too, as far as confinement lets us. */
static int
get_value(struct lookupd *d, const char *spec, const char *query, struct buf *value,
    struct buf *why)
{
	struct table *t = NULL;
	int error;

	if (tables_is_outside(view_str(spec)))
		return tables_get_outside(d->tables, view_str(spec), view_str(query), value);
	if (tables_named(d->tables, view_str(spec)))
		return tables_get(d->tables, view_str(spec), view_str(query), value);
	error = table_open(view_str(spec), &t, why);
	if (error == 0)
		error = table_get(t, view_str(query), value);
	else if (error == PK_ENOENT)
		error = PK_EFORMAT;	/* the table is missing, not the key */
	table_close(&t);
	return error;
}

static int
table_get_verb(struct lookupd *d, struct ipc_channel *ch, uint32_t id, const json_t *args)
{
	const char *spec = string_arg(args, "table"), *query = string_arg(args, "query");
	struct buf value, why;
	int error;

	if (spec == NULL || query == NULL)
		return admin_reply_error(ch, id, PK_ESYNTAX, "table get: table and query");
	buf_init(&value, TABLE_VALUE_MAX);
	buf_init(&why, 900);
	error = get_value(d, spec, query, &value, &why);
	if (outside_pending(d->outside))
		error = 0;
	else if (error == 0)
		error = admin_reply_json(ch, id, false, json_pack("{s:i, s:s, s:s, s:o}",
		    "version", 1, "table", spec, "query", query, "answer",
		    json_text(buf_view(&value))), VIEW(""));
	else if (error == PK_ENOENT)
		error = admin_reply_error(ch, id, error, "%s: \"%s\" not found", spec, query);
	else
		error = admin_reply_error(ch, id, error, "%s", why.len > 0 ?
		    buf_cstr(&why) : "the table does not answer: see the log");
	buf_fini(&why);
	buf_fini(&value);
	return error;
}

static void
add_table(const char *spec, size_t entries, const char *error, uint64_t lookups, void *arg)
{
	json_t *row = json_pack("{s:s, s:I, s:I}", "table", spec, "entries",
	    (json_int_t)entries, "lookups", (json_int_t)lookups);

	if (row == NULL)
		return;
	if (error != NULL)
		json_object_set_new(row, "error", json_text(view_str(error)));
	json_array_append_new(arg, row);
}

static int
status_verb(struct lookupd *d, struct ipc_channel *ch, uint32_t id)
{
	json_t *list = json_array();

	tables_each(d->tables, add_table, list);
	return admin_reply_json(ch, id, false, json_pack("{s:i, s:I, s:o}", "version", 1,
	    "requests", (json_int_t)d->requests, "tables", list), VIEW(""));
}

static json_t *
route_row(const struct resolver_route *r)
{
	json_t *row = json_object();

	json_object_set_new(row, "address", json_text(view_str(r->address)));
	json_object_set_new(row, "transport", json_text(view_str(r->transport)));
	json_object_set_new(row, "nexthop", json_text(view_str(r->nexthop)));
	if (r->path != NULL) {
		json_object_set_new(row, "path", json_text(view_str(r->path)));
		json_object_set_new(row, "quota", json_integer((json_int_t)r->quota));
	}
	if (r->dsn != NULL) {
		json_object_set_new(row, "dsn", json_text(view_str(r->dsn)));
		json_object_set_new(row, "reason", json_text(view_str(r->text)));
	}
	return row;
}

/* What would become of an address: class, verdict at RCPT, where it goes. */
static int
address_verb(struct lookupd *d, struct ipc_channel *ch, uint32_t id, const json_t *args)
{
	static const char *const verdicts[ROUTE_VERDICTS] = { "known", "unknown", "full",
	    "tempfail", "rejected" };
	static const char *const classes[ROUTE_CLASSES] = { "local", "virtual alias",
	    "virtual mailbox", "relay", "default" };
	const char *address = string_arg(args, "address");
	struct resolver_expansion e;
	struct resolver_check c;
	json_t *routes, *j;
	size_t i;

	if (address == NULL)
		return admin_reply_error(ch, id, PK_ESYNTAX, "lookup address: address");
	resolver_check_init(&c);
	resolver_check(d->resolver, view_str(address), ROUTE_FLAG_VALIDATE, &c);
	j = json_pack("{s:i, s:s, s:s, s:s, s:s}", "version", 1, "address", address,
	    "class", classes[c.class], "verdict", verdicts[c.verdict], "dsn", c.dsn);
	if (c.text.len > 0)
		json_object_set_new(j, "reason", json_text(buf_view(&c.text)));
	resolver_check_fini(&c);
	routes = json_array();
	resolver_expand(d->resolver, view_str(address), &e);
	/* Enough for a person; the queue shows all. */
	for (i = 0; i < e.count && i < 50; i++)
		json_array_append_new(routes, route_row(&e.routes[i]));
	if (e.code != 0)
		json_object_set_new(j, "error", json_text(view_str(e.text)));
	json_object_set_new(j, "count", json_integer((json_int_t)e.count));
	json_object_set_new(j, "routes", routes);
	resolver_expansion_fini(&e);
	if (outside_pending(d->outside)) {
		json_decref(j);
		return 0;
	}
	return admin_reply_json(ch, id, false, j, VIEW(""));
}

/* May run again (outside.h): verb and arguments are taken from the message each time. */
static int
answer(void *arg, struct ipc_channel *ch, struct ipc_msg *m)
{
	struct view verb = VIEW_NONE, args = VIEW_NONE;
	struct lookupd *d = arg;
	struct ipc_in in;
	json_t *j;
	int error;

	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_NAME, IPC_BODY_MAX, &verb);
	ipc_get_bytes(&in, IPC_F_JSON, IPC_BODY_MAX, &args);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	j = args.len > 0 ? json_loadb(args.p, args.len, 0, NULL) : json_object();
	if (!json_is_object(j))
		error = admin_reply_error(ch, m->id, PK_ESYNTAX,
		    "the arguments are no JSON object");
	else if (view_eq(verb, VIEW("table get")))
		error = table_get_verb(d, ch, m->id, j);
	else if (view_eq(verb, VIEW("lookup status")))
		error = status_verb(d, ch, m->id);
	else if (view_eq(verb, VIEW("lookup address")))
		error = address_verb(d, ch, m->id, j);
	else
		error = admin_reply_error(ch, m->id, PK_EUNSUPPORTED,
		    "lookupd knows: table get, lookup status, lookup address");
	json_decref(j);
	return error;
}

int
lookupd_admin(struct child *c, struct ipc_channel *ch, struct ipc_msg *m,
    struct view verb, struct view args, uint32_t uid)
{
	struct lookupd *d = child_arg(c);

	(void)verb, (void)args, (void)uid;
	if (!d->ready)
		return admin_reply_error(ch, m->id, PK_EAGAIN, "lookupd is starting");
	return outside_run(d->outside, ch, m, answer, d);
}
