/* SPDX-License-Identifier: ISC */
/*
 * admin_list.c: what administrators read: lists, single records, the export.
 *
 * Runs in authd's loop. An answer is one part of bounded size; where a list
 * goes on stands in its member "next". Only the export has hashes.
 */
#include <string.h>

#include "authd/admin.h"
#include "authd/name.h"
#include "base/error.h"
#include "base/mem.h"

#define PART_BYTES	40000
/* Records of a part before its size is known. */
#define PART_ROWS	500

struct page {
	enum accounts_kind kind;
	bool		 whole;		/* export: hashes and all */
	struct accounts	*accounts;
	json_t		*rows;
	size_t		 bytes;
	struct buf	 last;
	bool		 more;
};

/* What a list and show may tell of a record. */
static void
hide_secrets(json_t *record)
{
	json_t *app;
	size_t i;

	json_array_foreach(json_object_get(record, "app_passwords"), i, app)
		json_object_del(app, "hash");
	json_object_set_new(record, "has_password",
	    json_boolean(json_object_get(record, "password") != NULL));
	json_object_set_new(record, "has_scram",
	    json_boolean(json_object_get(record, "scram_sha256") != NULL));
	json_object_del(record, "password");
	json_object_del(record, "scram_sha256");
	json_object_del(record, "scram_sha1");
}

static void
shorten_user(json_t *row, json_t *record)
{
	json_object_set_new(row, "app_passwords", json_integer((json_int_t)
	    json_array_size(json_object_get(record, "app_passwords"))));
	json_object_set_new(row, "has_password",
	    json_boolean(json_object_get(record, "password") != NULL));
	json_object_set_new(row, "disabled",
	    json_boolean(json_is_true(json_object_get(record, "disabled"))));
}

static json_t *
row_of(const struct page *p, struct view name, json_t *record)
{
	json_t *row, *v;

	if (p->whole) {
		row = json_pack("{s:s}", "kind", accounts_kind_name(p->kind));
		json_object_set_new(row, "name", json_stringn(name.p, name.len));
		json_object_update_missing(row, record);
		return row;
	}
	row = json_object();
	json_object_set_new(row, "name", json_stringn(name.p, name.len));
	if (p->kind == ACCOUNTS_USER)
		shorten_user(row, record);
	if ((v = json_object_get(record, "quota")) != NULL)
		json_object_set(row, "quota", v);
	if ((v = json_object_get(record, "to")) != NULL)
		json_object_set(row, "to", v);
	if ((v = json_object_get(record, "description")) != NULL)
		json_object_set(row, "description", v);
	return row;
}

static bool
page_add(struct view name, struct view json, void *arg)
{
	struct page *p = arg;
	json_t *record = json_loadb(json.p, json.len, 0, NULL), *row;
	size_t size;

	if (!json_is_object(record)) {
		json_decref(record);
		return true;
	}
	row = row_of(p, name, record);
	json_decref(record);
	size = json_dumpb(row, NULL, 0, JSON_COMPACT) + 2;
	if (json_array_size(p->rows) > 0 && p->bytes + size > PART_BYTES) {
		json_decref(row);
		p->more = true;
		return false;
	}
	p->bytes += size;
	json_array_append_new(p->rows, row);
	buf_reset(&p->last);
	buf_put_view(&p->last, name);
	if (json_array_size(p->rows) >= PART_ROWS)
		p->more = true;
	return !p->more;
}

/* A domain's numbers come after its page: a walk within a walk has no reader. */
static void
add_counts(struct page *p)
{
	json_t *row;
	size_t i;

	json_array_foreach(p->rows, i, row) {
		struct view name = view_str(admin_text(row, "name"));

		json_object_set_new(row, "users", json_integer((json_int_t)
		    accounts_count(p->accounts, ACCOUNTS_USER, name)));
		json_object_set_new(row, "aliases", json_integer((json_int_t)
		    accounts_count(p->accounts, ACCOUNTS_ALIAS, name)));
	}
}

static int
page_read(struct page *p, struct accounts *a, enum accounts_kind kind, const char *domain,
    const char *after)
{
	p->kind = kind;
	p->accounts = a;
	p->rows = json_array();
	buf_init(&p->last, NAME_MAX_LEN + 2);
	return accounts_each(a, kind, view_str(domain), view_str(after), SIZE_MAX, page_add, p);
}

static void
page_fini(struct page *p)
{
	json_decref(p->rows);
	buf_fini(&p->last);
}

static int
list(struct accounts *a, enum accounts_kind kind, const char *key, const json_t *args,
    json_t **result_r, struct buf *why)
{
	const char *domain = admin_text(args, "domain"), *after = admin_text(args, "after");
	struct page p = { .whole = false };
	struct buf name;
	int error = 0;

	buf_init(&name, NAME_MAX_LEN);
	if (domain != NULL && name_put_domain(&name, view_str(domain)) != 0) {
		buf_printf(why, "\"%.100s\" is no domain name", domain);
		buf_fini(&name);
		return PK_ESYNTAX;
	}
	error = page_read(&p, a, kind, buf_cstr(&name), after);
	buf_fini(&name);
	if (error == 0) {
		if (kind == ACCOUNTS_DOMAIN)
			add_counts(&p);
		*result_r = json_pack("{s:i, s:O}", "version", 1, key, p.rows);
		if (p.more)
			json_object_set_new(*result_r, "next", json_string(buf_cstr(&p.last)));
	}
	page_fini(&p);
	return error;
}

static int
get(struct accounts *a, enum accounts_kind kind, const char *text, struct buf *name,
    json_t **record_r, struct buf *why)
{
	int error;

	buf_init(name, NAME_MAX_LEN + 2);
	if (text == NULL || accounts_put_name(name, kind, view_str(text)) != 0) {
		buf_printf(why, "\"%.100s\" is no name of a %s", text != NULL ? text : "",
		    accounts_kind_name(kind));
		return PK_ESYNTAX;
	}
	error = accounts_get(a, kind, buf_view(name), record_r);
	if (error == PK_ENOENT)
		buf_printf(why, "%s %s does not exist", accounts_kind_name(kind), buf_cstr(name));
	return error;
}

static int
show(struct accounts *a, enum accounts_kind kind, const char *text, json_t **result_r,
    struct buf *why)
{
	json_t *record;
	struct buf name;
	int error = get(a, kind, text, &name, &record, why);

	if (error == 0) {
		if (kind == ACCOUNTS_USER)
			hide_secrets(record);
		if (kind == ACCOUNTS_DOMAIN) {
			json_object_set_new(record, "users", json_integer((json_int_t)
			    accounts_count(a, ACCOUNTS_USER, buf_view(&name))));
			json_object_set_new(record, "aliases", json_integer((json_int_t)
			    accounts_count(a, ACCOUNTS_ALIAS, buf_view(&name))));
		}
		*result_r = json_object();
		json_object_set_new(*result_r, "version", json_integer(1));
		json_object_set_new(*result_r, "name", json_string(buf_cstr(&name)));
		json_object_update(*result_r, record);
		json_decref(record);
	}
	buf_fini(&name);
	return error;
}

static int
app_list(struct accounts *a, const json_t *args, json_t **result_r, struct buf *why)
{
	json_t *record, *rows;
	struct buf name;
	int error = get(a, ACCOUNTS_USER, admin_text(args, "user"), &name, &record, why);

	buf_fini(&name);
	if (error != 0)
		return error;
	hide_secrets(record);
	rows = json_object_get(record, "app_passwords");
	*result_r = json_pack("{s:i, s:o}", "version", 1, "app_passwords",
	    rows != NULL ? json_incref(rows) : json_array());
	json_decref(record);
	return 0;
}

/* "after" is "kind name" of the record that was last. */
static int
export(struct accounts *a, const json_t *args, json_t **result_r)
{
	const char *after = admin_text(args, "after"), *name = "";
	struct page p = { .whole = true };
	int kind = ACCOUNTS_DOMAIN, error;

	if (after != NULL) {
		for (kind = 0; kind < ACCOUNTS_KINDS; kind++) {
			const char *k = accounts_kind_name((enum accounts_kind)kind);

			if (strncmp(after, k, strlen(k)) == 0 && after[strlen(k)] == ' ') {
				name = after + strlen(k) + 1;
				break;
			}
		}
		if (kind == ACCOUNTS_KINDS)
			return PK_ESYNTAX;
	}
	error = page_read(&p, a, (enum accounts_kind)kind, "", name);
	if (error == 0) {
		*result_r = json_pack("{s:i, s:O}", "version", 1, "records", p.rows);
		if (p.more)
			json_object_set_new(*result_r, "next", json_sprintf("%s %s",
			    accounts_kind_name((enum accounts_kind)kind), buf_cstr(&p.last)));
		else if (kind + 1 < ACCOUNTS_KINDS)
			json_object_set_new(*result_r, "next", json_sprintf("%s ",
			    accounts_kind_name((enum accounts_kind)(kind + 1))));
	}
	page_fini(&p);
	return error;
}

int
admin_read(struct accounts *a, struct view verb, const json_t *args, json_t **result_r,
    struct buf *why)
{
	static const struct {
		const char	*verb, *list;
		enum accounts_kind kind;
		const char	*key;		/* of list's rows, or show's argument */
	} rows[] = {
		{ "domain show", NULL, ACCOUNTS_DOMAIN, "domain" },
		{ "user show", NULL, ACCOUNTS_USER, "user" },
		{ "alias show", NULL, ACCOUNTS_ALIAS, "address" },
		{ "domain list", "", ACCOUNTS_DOMAIN, "domains" },
		{ "user list", "", ACCOUNTS_USER, "users" },
		{ "alias list", "", ACCOUNTS_ALIAS, "aliases" },
	};
	size_t i;

	for (i = 0; i < NELEMS(rows); i++) {
		if (!view_eq(verb, view_str(rows[i].verb)))
			continue;
		return rows[i].list != NULL ?
		    list(a, rows[i].kind, rows[i].key, args, result_r, why) :
		    show(a, rows[i].kind, admin_text(args, rows[i].key), result_r, why);
	}
	if (view_eq(verb, VIEW("app-password list")))
		return app_list(a, args, result_r, why);
	if (view_eq(verb, VIEW("account export")))
		return export(a, args, result_r);
	return PK_EUNSUPPORTED;
}
