/* SPDX-License-Identifier: ISC */
/*
 * conf.c: from the text of main.cf to struct conf.
 *
 * master and the commands read the file; every other process gets the text
 * that conf_serialise() made of it, through the same parser. Two passes: the
 * names that `listeners` and `transports` declare must be known before a
 * line like submission_smtpd_timeout can be told from a mistake. All
 * complaints are given in one run; one error means no configuration, so the
 * caller keeps the one it has.
 */
#include <unistd.h>

#include <fcntl.h>
#include <errno.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/conf_private.h"
#include "sys/fd.h"

struct assignment {
	struct view	 name, value;	/* in the text that is being read */
	char		*name_copy, *value_copy;
	unsigned	 line;
};

struct assignments {
	struct assignment *a;
	size_t		 n;
};

void
conf_complain(struct conf_loader *ld, char level, unsigned line, const char *fmt, ...)
{
	struct conf_note note = { .file = ld->priv->path, .line = line, .level = level };
	struct buf b;
	va_list ap;

	if (level == 'e')
		ld->nerrors++;
	if (ld->note == NULL)
		return;
	buf_init(&b, CONF_VALUE_MAX);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	note.text = buf_cstr(&b);
	ld->note(&note, ld->arg);
	buf_fini(&b);
}

/* ---- sets ---- */

static struct conf_set *
set_new(struct conf_private *p, struct view name)
{
	struct conf_set *set = XNEW(struct conf_set);

	set->name = name.len > 0 ? view_dup(name) : NULL;
	set->conf.priv = p;
	return set;
}

static void
set_free(struct conf_set *set)
{
	size_t i;

	for (i = 0; i < CONF_ROWS; i++) {
		xfree(set->slots[i].raw);
		xfree(set->slots[i].value);
	}
	xfree(set->name);
	xfree(set);
}

struct conf_set *
conf_set_find(const struct conf_private *p, struct view scope)
{
	struct conf_set *set;

	TAILQ_FOREACH(set, &p->scopes, link)
		if (view_eq(scope, view_str(set->name)))
			return set;
	return NULL;
}

static struct conf_set *
set_get(struct conf_private *p, struct view scope)
{
	struct conf_set *set = conf_set_find(p, scope);

	if (set == NULL) {
		set = set_new(p, scope);
		TAILQ_INSERT_TAIL(&p->scopes, set, link);
	}
	return set;
}

static void
private_free(struct conf_private *p)
{
	struct conf_set *set;

	while ((set = TAILQ_FIRST(&p->scopes)) != NULL) {
		TAILQ_REMOVE(&p->scopes, set, link);
		set_free(set);
	}
	set_free(p->global);
	map_free(&p->ignored, xfree);
	xfree(p->host_default);
	xfree(p->path);
	xfree(p);
}

static struct conf_private *
private_new(const char *path)
{
	struct conf_private *p = XNEW(struct conf_private);

	TAILQ_INIT(&p->scopes);
	p->path = xstrdup(path);
	p->ignored = map_new();
	p->global = set_new(p, VIEW_NONE);
	return p;
}

/* ---- assignments ---- */

static void
collect(struct conf_loader *ld, struct view name, struct view value, unsigned line, void *arg)
{
	struct assignments *as = arg;
	struct assignment *a;

	(void)ld;
	if ((as->n & (as->n - 1)) == 0)
		as->a = xreallocarray(as->a, as->n > 0 ? as->n * 2 : 1, sizeof(*as->a));
	a = &as->a[as->n++];
	a->name_copy = view_dup(name);
	a->value_copy = view_dup(value);
	a->name = view_str(a->name_copy);
	a->value = view_str(a->value_copy);
	a->line = line;
}

static void
assign(struct conf_loader *ld, struct conf_set *set, size_t row, const struct assignment *a)
{
	struct conf_slot *s = &set->slots[row];

	if (s->raw != NULL) {
		conf_complain(ld, 'w', a->line,
		    "%s is set a second time; this value replaces that of line %u",
		    a->name_copy, s->line);
		xfree(s->raw);
	}
	s->raw = view_dup(a->value);
	s->line = a->line;
}

static void
assign_scoped(struct conf_loader *ld, struct view scope, unsigned kinds, size_t row,
    const struct assignment *a)
{
	const struct conf_row *r = &conf_rows[row];

	if (r->scope == CONF_GLOBAL)
		conf_complain(ld, 'e', a->line,
		    "%s has one value for everything: it cannot be set for \"%.*s\"", r->name,
		    VIEW_ARG(scope));
	else if ((kinds & (r->scope == CONF_LISTENER ? 1U : 2U)) == 0)
		conf_complain(ld, 'e', a->line, "%s belongs to a %s, but \"%.*s\" is a %s",
		    r->name, r->scope == CONF_LISTENER ? "listener" : "transport",
		    VIEW_ARG(scope), r->scope == CONF_LISTENER ? "transport" : "listener");
	else
		assign(ld, set_get(ld->priv, scope), row, a);
}

/* SCOPE_row whose scope nobody declared: the row, or NULL. */
static const char *
undeclared_scope(struct view name, struct view *scope_r)
{
	const char *row;
	size_t i;

	for (i = 0; i < conf_nrows; i++) {
		row = conf_rows[i].name;
		if (conf_rows[i].scope == CONF_GLOBAL || name.len < strlen(row) + 2 ||
		    !view_caseends(name, view_str(row)) ||
		    name.p[name.len - strlen(row) - 1] != '_')
			continue;
		*scope_r = view_head(name, name.len - strlen(row) - 1);
		return row;
	}
	return NULL;
}

static void
assign_unknown(struct conf_loader *ld, const struct assignment *a)
{
	const char *hint = conf_postfix_hint(a->name), *row, *near;
	struct view scope;
	char *old;

	if (hint != NULL) {
		conf_complain(ld, 'w', a->line, "%s is a Postfix parameter that has no effect"
		    " here: %s", a->name_copy, hint);
		old = map_put(ld->priv->ignored, a->name, view_dup(a->value));
		xfree(old);
		return;
	}
	near = conf_nearest(a->name);
	if ((row = undeclared_scope(a->name, &scope)) != NULL && near == NULL)
		conf_complain(ld, 'e', a->line, "unknown parameter %s: neither listeners nor"
		    " transports declare \"%.*s\" (%s alone is for all)", a->name_copy,
		    VIEW_ARG(scope), row);
	else if (near != NULL)
		conf_complain(ld, 'e', a->line, "unknown parameter %s; did you mean %s?",
		    a->name_copy, near);
	else
		conf_complain(ld, 'e', a->line, "unknown parameter %s; postkeep.conf(5) has"
		    " the list", a->name_copy);
}

/* Names of rows first; then what needs the declared scopes. */
static void
assign_all(struct conf_loader *ld, const struct assignments *as)
{
	struct conf_private *p = ld->priv;
	struct view scope;
	unsigned kinds;
	ptrdiff_t row;
	size_t i;

	for (i = 0; i < as->n; i++)
		if ((row = conf_row_find(as->a[i].name)) >= 0)
			assign(ld, p->global, (size_t)row, &as->a[i]);
	conf_expand(ld, p->global, CONF_I_listeners);
	conf_expand(ld, p->global, CONF_I_transports);
	for (i = 0; i < as->n; i++) {
		if (conf_row_find(as->a[i].name) >= 0)
			continue;
		if (conf_scope_split(p->global, as->a[i].name, &scope, &kinds, &row) && row >= 0)
			assign_scoped(ld, scope, kinds, (size_t)row, &as->a[i]);
		else
			assign_unknown(ld, &as->a[i]);
	}
}

/* ---- checks ---- */

static void
check_scopes(struct conf_loader *ld)
{
	struct conf_slot *ls = &ld->priv->global->slots[CONF_I_listeners];
	struct conf_slot *ts = &ld->priv->global->slots[CONF_I_transports];
	struct view list, item, name, type;
	struct conf_listener l;

	list = view_str(ls->value);
	while (conf_list_next(&list, &item))
		if (!conf_listener_parse(item, &l))
			conf_complain(ld, 'e', ls->line, "listeners: \"%.*s\" is not"
			    " NAME:FAMILY:ADDRESS, such as smtp:inet:25, smtp6:inet6:[::1]:25"
			    " or local:unix:/run/postkeep/smtp", VIEW_ARG(view_head(item, 100)));
	list = view_str(ts->value);
	while (conf_list_next(&list, &item))
		if (!conf_transport_parse(item, &name, &type))
			conf_complain(ld, 'e', ts->line, "transports: \"%.*s\" is not NAME:TYPE"
			    " with TYPE smtp, lmtp, mailbox, discard or error",
			    VIEW_ARG(view_head(item, 100)));
}

static void
set_finish(struct conf_loader *ld, struct conf_set *set)
{
	struct conf_private *p = ld->priv;
	struct conf_slot *s;
	struct buf why;
	unsigned line;
	size_t i;

	buf_init(&why, 1000);
	for (i = 0; i < CONF_ROWS; i++) {
		s = &set->slots[i];
		if (!conf_expand(ld, set, i))
			continue;
		line = s->raw != NULL ? s->line : p->global->slots[i].line;
		buf_reset(&why);
		if (conf_value_parse(&conf_rows[i], view_str(s->value), &set->conf, &why) != 0)
			conf_complain(ld, 'e', line, "%s%s%s: bad value \"%.*s\": %s",
			    set->name != NULL ? set->name : "", set->name != NULL ? "_" : "",
			    conf_rows[i].name, VIEW_ARG(view_head(view_str(s->value), 100)),
			    buf_cstr(&why));
	}
	buf_fini(&why);
}

/*
 * The system's name; without a dot it is completed with mydomain if the file
 * has one, as Postfix does.
 */
static void
host_default(struct conf_private *p, bool domain_set)
{
	char host[256];

	if (gethostname(host, sizeof(host)) != 0 || host[0] == '\0')
		return;
	host[sizeof(host) - 1] = '\0';
	if (strchr(host, '.') != NULL)
		p->host_default = xstrdup(host);
	else
		p->host_default = xasprintf("%s.%s", host,
		    domain_set ? "$mydomain" : "localdomain");
}

static void
load_text(struct conf_loader *ld, struct view text)
{
	struct assignments as = { 0 };
	struct conf_set *set;
	bool domain_set = false;
	size_t i;

	conf_read(ld, text, collect, &as);
	for (i = 0; i < as.n; i++)
		domain_set |= view_eq(as.a[i].name, VIEW("mydomain"));
	host_default(ld->priv, domain_set);
	assign_all(ld, &as);
	set_finish(ld, ld->priv->global);
	check_scopes(ld);
	TAILQ_FOREACH(set, &ld->priv->scopes, link) {
		conf_class_defaults(ld, set);
		set_finish(ld, set);
	}
	for (i = 0; i < as.n; i++) {
		xfree(as.a[i].name_copy);
		xfree(as.a[i].value_copy);
	}
	xfree(as.a);
}

struct conf *
conf_load(const char *path, struct view text, conf_note_fn note, void *arg)
{
	struct conf_loader ld = { .note = note, .arg = arg };
	struct buf file;
	int error;

	ld.priv = private_new(path);
	buf_init(&file, CONF_FILE_MAX);
	if (text.p == NULL) {
		error = fd_read_file(AT_FDCWD, path, &file);
		if (error != 0)
			conf_complain(&ld, 'e', 0, "cannot read it: %s",
			    error == PK_ESYS ? strerror(errno) :
			    error == PK_ENOENT ? "no such file" : pk_strerror(error));
		text = buf_view(&file);
	}
	if (ld.nerrors == 0)
		load_text(&ld, text);
	buf_fini(&file);
	if (ld.nerrors > 0) {
		private_free(ld.priv);
		return NULL;
	}
	return &ld.priv->global->conf;
}

void
conf_free(struct conf **c)
{
	if (*c != NULL)
		private_free((*c)->priv);
	*c = NULL;
}

const struct conf *
conf_scope(const struct conf *c, const char *name)
{
	const struct conf_set *set = conf_set_find(c->priv, view_str(name));

	return set != NULL ? &set->conf : c;
}
