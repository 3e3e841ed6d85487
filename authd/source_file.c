/* SPDX-License-Identifier: ISC */
/*
 * source_file.c: the files that describe databases and directories.
 *
 * Runs in authd, at its start with the first privileges and at reloads. The
 * files are the administrator's; they are checked as main.cf is, so that a
 * misspelt name is said and not passed over. Passwords in them are wiped.
 */
#include "authd/source_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "authd/source.h"
#include "base/error.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "mail/domain.h"
#include "sys/fd.h"

#define FILE_MAX	(256u << 10)
#define PAIRS_MAX	100
#define CA_FILE_DEFAULT	"/etc/ssl/certs/ca-certificates.crt"

struct pair {
	char	*name, *value;
};

struct source_file {
	char		*path;
	struct pair	 pairs[PAIRS_MAX];
	size_t		 n;
};

static bool
is_known(const char *const *names, struct view name)
{
	for (; *names != NULL; names++)
		if (view_eq(view_str(*names), name))
			return true;
	return false;
}

static void
pair_append(struct pair *p, struct view more)
{
	char *joined = xasprintf("%s %.*s", p->value, VIEW_ARG(more));

	xfree_secret(p->value, strlen(p->value));
	p->value = joined;
}

static int
read_line(struct source_file *f, struct view line, unsigned number, const char *const *names,
    struct buf *why)
{
	ptrdiff_t eq;
	struct view name;

	if (view_trim(line).len == 0 || line.p[0] == '#')
		return 0;
	if (ascii_isspace(line.p[0]) && f->n > 0) {
		pair_append(&f->pairs[f->n - 1], view_trim(line));
		return 0;
	}
	eq = view_find(line, '=');
	name = view_trim(view_head(line, eq > 0 ? (size_t)eq : 0));
	if (eq <= 0 || name.len == 0 || f->n == PAIRS_MAX || view_find(line, '\0') >= 0) {
		buf_printf(why, "%s, line %u: write name = value", f->path, number);
		return PK_ESYNTAX;
	}
	if (!is_known(names, name)) {
		buf_printf(why, "%s, line %u: unknown name \"%.*s\"; there are:", f->path, number,
		    VIEW_ARG(view_head(name, 60)));
		for (; *names != NULL; names++)
			buf_printf(why, " %s", *names);
		return PK_ESYNTAX;
	}
	f->pairs[f->n].name = view_dup(name);
	f->pairs[f->n++].value = view_dup(view_trim(view_from(line, (size_t)eq + 1)));
	return 0;
}

struct source_file *
source_file_read(const char *path, const char *const *names, struct buf *why)
{
	struct source_file *f;
	struct view text, line;
	unsigned number = 0;
	struct buf b;
	ptrdiff_t end;
	int rc;

	if (path[0] != '/') {
		buf_printf(why, "auth_sources: \"%s\": the file's name must begin with /", path);
		return NULL;
	}
	buf_init(&b, FILE_MAX);
	if ((rc = fd_read_file(AT_FDCWD, path, &b)) != 0) {
		buf_printf(why, "%s: %s", path, rc == PK_ESYS ? strerror(errno) : pk_strerror(rc));
		buf_fini(&b);
		return NULL;
	}
	f = XNEW(struct source_file);
	f->path = xstrdup(path);
	for (text = buf_view(&b); rc == 0 && text.len > 0;
	    text = view_from(text, end >= 0 ? (size_t)end + 1 : text.len)) {
		end = view_find(text, '\n');
		line = view_head(text, end >= 0 ? (size_t)end : text.len);
		rc = read_line(f, line, ++number, names, why);
	}
	explicit_bzero(buf_data(&b), b.len);
	buf_fini(&b);
	if (rc != 0)
		source_file_free(&f);
	return f;
}

void
source_file_free(struct source_file **fp)
{
	struct source_file *f = *fp;
	size_t i;

	*fp = NULL;
	if (f == NULL)
		return;
	for (i = 0; i < f->n; i++) {
		xfree(f->pairs[i].name);
		xfree_secret(f->pairs[i].value, strlen(f->pairs[i].value));
	}
	xfree(f->path);
	xfree(f);
}

const char *
source_file_get(const struct source_file *f, const char *name)
{
	size_t i = f->n;

	/* The last one counts, as in main.cf. */
	while (i-- > 0)
		if (strcmp(f->pairs[i].name, name) == 0)
			return f->pairs[i].value;
	return "";
}

const char *
source_file_path(const struct source_file *f)
{
	return f->path;
}

/* ---- servers ---- */

void
source_host_split(struct view item, char **host_r, char **port_r)
{
	ptrdiff_t colon;

	*port_r = xstrdup("");
	if (view_starts(item, VIEW("unix:")))
		item = view_from(item, 5);
	if (view_starts(item, VIEW("inet:")))
		item = view_from(item, 5);
	if (item.len > 0 && item.p[0] == '/') {
		*host_r = view_dup(item);
		return;
	}
	if (item.len > 0 && item.p[0] == '[' && (colon = view_find(item, ']')) > 0) {
		*host_r = view_dup(view_of(item.p + 1, (size_t)colon - 1));
		item = view_from(item, (size_t)colon + 1);
		colon = 0;
	} else {
		colon = view_find(item, ':');
		*host_r = view_dup(view_head(item, colon >= 0 ? (size_t)colon : item.len));
	}
	if (colon >= 0 && item.len > (size_t)colon && item.p[colon] == ':') {
		xfree(*port_r);
		*port_r = view_dup(view_from(item, (size_t)colon + 1));
	}
}

bool
source_host_is_local(struct view host)
{
	return host.len == 0 || host.p[0] == '/' || view_starts(host, VIEW("127.")) ||
	    view_eq(host, VIEW("::1")) || view_caseeq(host, VIEW("localhost"));
}

int
source_file_tls(const struct source_file *f, const char *host, enum source_tls *tls_r,
    struct buf *why)
{
	struct view word = view_str(source_file_get(f, "tls"));

	if (word.len == 0)
		*tls_r = source_host_is_local(view_str(host)) ? SOURCE_TLS_NONE : SOURCE_TLS_VERIFY;
	else if (view_eq(word, VIEW("disable")))
		*tls_r = SOURCE_TLS_NONE;
	else if (view_eq(word, VIEW("require")))
		*tls_r = SOURCE_TLS_REQUIRE;
	else if (view_eq(word, VIEW("verify")))
		*tls_r = SOURCE_TLS_VERIFY;
	else {
		buf_printf(why, "%s: tls is disable, require or verify", f->path);
		return PK_ESYNTAX;
	}
	return 0;
}

/* ---- confinement ---- */

static bool
is_address(struct view host)
{
	struct domain_literal ip;

	return domain_parse_ip(host, &ip) == 0;
}

static void
need_host(struct view item, struct sandbox_spec *spec)
{
	static const char *const resolver[] = { "/etc/hosts", "/etc/resolv.conf",
	    "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services" };
	char *host, *port;
	size_t i;

	if (view_find(item, '/') > 0 && view_starts(item, VIEW("ldap")))
		item = view_from(item, (size_t)view_find(item, '/') + 2);
	if (item.len > 0 && item.p[item.len - 1] == '/')
		item.len--;
	source_host_split(item, &host, &port);
	if (host[0] == '/') {
		spec->needs |= SANDBOX_CONNECT_UNIX;
	} else {
		spec->needs |= SANDBOX_CONNECT_INET;
		/* A name is looked up by the C library; an address needs none of this. */
		for (i = 0; i < NELEMS(resolver) && !is_address(view_str(host)); i++)
			source_need_path(spec, resolver[i]);
	}
	xfree(host);
	xfree(port);
}

void
source_file_needs(const char *path, const char *const *names, struct sandbox_spec *spec)
{
	struct source_file *f;
	struct view list, item;
	struct buf why;

	spec->needs |= SANDBOX_FILES_READ;
	source_need_path(spec, path);
	buf_init(&why, 2000);
	f = source_file_read(path, names, &why);
	/* A bad file is said by who opens it. */
	if (f != NULL) {
		list = view_str(source_file_get(f, "hosts"));
		while (conf_list_next(&list, &item))
			need_host(item, spec);
		source_need_path(spec, source_file_get(f, "tls_ca_file")[0] != '\0' ?
		    source_file_get(f, "tls_ca_file") : CA_FILE_DEFAULT);
		source_file_free(&f);
	}
	buf_fini(&why);
}
