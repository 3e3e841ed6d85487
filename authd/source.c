/* SPDX-License-Identifier: ISC */
/*
 * source.c: the kinds of sources there are, and the list of a configuration.
 *
 * Runs in authd's loop.
 */
#include "authd/source.h"

#include <string.h>

#include "authd/source_impl.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"

static const struct source_type *const types[] = {
	&source_type_accounts,
	&source_type_passwd_file,
	&source_type_system,
#ifdef HAVE_SOURCE_SQLITE
	&source_type_sqlite,
#endif
#ifdef HAVE_SOURCE_PGSQL
	&source_type_pgsql,
#endif
#ifdef HAVE_SOURCE_MYSQL
	&source_type_mysql,
#endif
#ifdef HAVE_SOURCE_LDAP
	&source_type_ldap,
#endif
};

const struct source_type *
source_type_find(struct view name)
{
	size_t i;

	for (i = 0; i < NELEMS(types); i++)
		if (view_eq(name, view_str(types[i]->name)))
			return types[i];
	return NULL;
}

void
source_put_types(struct buf *b)
{
	size_t i;

	for (i = 0; i < NELEMS(types); i++)
		buf_printf(b, "%s%s", i > 0 ? ", " : "", types[i]->name);
}

/* ---- a user ---- */

void
source_user_init(struct source_user *u)
{
	memset(u, 0, sizeof(*u));
	u->services = SOURCE_ALL;
}

static void
free_secret(char *s)
{
	if (s != NULL)
		xfree_secret(s, strlen(s));
}

void
source_user_fini(struct source_user *u)
{
	size_t i;

	for (i = 0; i < u->nhashes; i++) {
		free_secret(u->hashes[i]);
		xfree(u->hash_names[i]);
	}
	xfree(u->hashes);
	xfree(u->hash_names);
	xfree(u->hash_services);
	xfree(u->login);
	free_secret(u->scram_sha256);
	free_secret(u->scram_sha1);
	xfree(u->mailbox);
	memset(u, 0, sizeof(*u));
}

void
source_user_add_hash(struct source_user *u, const char *hash, const char *name)
{
	size_t n = u->nhashes++;

	u->hashes = xreallocarray(u->hashes, n + 1, sizeof(*u->hashes));
	u->hash_names = xreallocarray(u->hash_names, n + 1, sizeof(*u->hash_names));
	u->hash_services = xreallocarray(u->hash_services, n + 1, sizeof(*u->hash_services));
	u->hashes[n] = xstrdup(hash);
	u->hash_names[n] = name != NULL ? xstrdup(name) : NULL;
	u->hash_services[n] = SOURCE_ALL;
}

void
source_user_limit_hash(struct source_user *u, unsigned services)
{
	if (u->nhashes > 0)
		u->hash_services[u->nhashes - 1] = services;
}

static const struct {
	const char	*name;
	unsigned	 bit;
} services[] = {
	{ "smtp", SOURCE_SMTP }, { "imap", SOURCE_IMAP }, { "api", SOURCE_API },
};

int
source_services_parse(struct view text, unsigned *services_r)
{
	struct view name;
	unsigned bits = 0;
	size_t i;

	while (view_next(&text, ", ", &name)) {
		for (i = 0; i < NELEMS(services); i++)
			if (view_caseeq(name, view_str(services[i].name)))
				break;
		if (i == NELEMS(services))
			return PK_ESYNTAX;
		bits |= services[i].bit;
	}
	*services_r = bits;
	return 0;
}

void
source_services_put(struct buf *b, unsigned bits)
{
	size_t i, n = 0;

	for (i = 0; i < NELEMS(services); i++)
		if ((bits & services[i].bit) != 0)
			buf_printf(b, "%s%s", n++ > 0 ? " " : "", services[i].name);
}

/* ---- the list of a configuration ---- */

/* "pgsql:/etc/postkeep/users.cf": type, and where its argument begins in item. */
static const struct source_type *
item_type(struct view item, struct view *arg_r, struct buf *why)
{
	ptrdiff_t colon = view_find(item, ':');
	const struct source_type *type;

	*arg_r = colon >= 0 ? view_from(item, (size_t)colon + 1) : VIEW_NONE;
	type = source_type_find(colon >= 0 ? view_head(item, (size_t)colon) : item);
	if (type == NULL) {
		buf_printf(why, "auth_sources: \"%.*s\" is none of: ",
		    VIEW_ARG(view_head(item, 100)));
		source_put_types(why);
	}
	return type;
}

static struct source *
open_item(const struct conf *conf, struct view item, struct buf *why)
{
	const struct source_type *type;
	struct source *s;
	struct view arg;
	char *text;

	type = item_type(item, &arg, why);
	if (type == NULL)
		return NULL;
	text = view_dup(arg);
	s = type->open(conf, text, why);
	xfree(text);
	if (s != NULL && s->spec == NULL)
		s->spec = view_dup(item);
	if (s != NULL)
		s->type = type;
	return s;
}

struct source_set *
source_set_open(const struct conf *conf, struct buf *why)
{
	struct source_set *set = XNEW(struct source_set);
	struct view list = view_str(conf->auth_sources), item;
	struct source *s;

	set->refs = 1;
	while (conf_list_next(&list, &item)) {
		if (set->n == SOURCES_MAX) {
			buf_printf(why, "auth_sources names more than %d sources", SOURCES_MAX);
			source_set_unref(&set);
			return NULL;
		}
		s = open_item(conf, item, why);
		if (s == NULL) {
			source_set_unref(&set);
			return NULL;
		}
		set->sources[set->n++] = s;
	}
	return set;
}

struct source_set *
source_set_ref(struct source_set *s)
{
	s->refs++;
	return s;
}

void
source_set_unref(struct source_set **sp)
{
	struct source_set *set = *sp;
	struct source *s;
	unsigned i;

	*sp = NULL;
	if (set == NULL || --set->refs > 0)
		return;
	for (i = 0; i < set->n; i++) {
		s = set->sources[i];
		xfree(s->spec);
		s->type->close(s);
	}
	xfree(set);
}

int
source_set_needs(const struct conf *conf, struct sandbox_spec *spec, struct buf *why)
{
	struct view list = view_str(conf->auth_sources), item, arg;
	const struct source_type *type;
	char *text;

	while (conf_list_next(&list, &item)) {
		type = item_type(item, &arg, why);
		if (type == NULL)
			return PK_ENOENT;
		if (type->needs == NULL)
			continue;
		text = view_dup(arg);
		type->needs(conf, text, spec);
		xfree(text);
	}
	return 0;
}

void
source_need_path(struct sandbox_spec *spec, const char *path)
{
	unsigned i;

	for (i = 0; i < spec->npaths; i++)
		if (strcmp(spec->paths[i].path, path) == 0)
			return;
	if (spec->npaths == SANDBOX_PATHS_MAX) {
		log_error("accounts are in more than %d folders: %s cannot be read",
		    SANDBOX_PATHS_MAX, path);
		return;
	}
	/* Lives as long as the process. */
	spec->paths[spec->npaths++].path = xstrdup(path);
}
