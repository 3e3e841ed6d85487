/* SPDX-License-Identifier: ISC */
/*
 * source_passwd_file.c: users of a text file, as Dovecot has it.
 *
 *	alice@example.com:{SCHEME}hash:uid:gid:gecos:home:shell:extra fields
 *
 * Runs in authd's loop. The file is read anew when it changed, whole: what is
 * asked meanwhile is answered from one state of it. Of the fields, user, hash
 * and these extra ones count: nologin, services=smtp,imap and
 * userdb_quota_rule=*:storage=1G. A name without a domain is of
 * auth_default_domain. A line that is not understood is told and skipped; its
 * user is not known.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "authd/name.h"
#include "authd/password.h"
#include "authd/passwd_line.h"
#include "authd/source_impl.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "sys/fd.h"

#define FILE_MAX	(64u << 20)
#define LINE_MAX_LEN	2000
#define CHECK_MS	1000		/* between looks at the file's time */
#define TOLD_MAX	5		/* lines told about a reading */

struct user {
	char		*hash;		/* NULL: none */
	bool		 disabled;
	unsigned	 services;
	uint64_t	 quota_bytes;
};

struct passwd_file {
	struct source	 source;
	char		*path;
	char		*domain;	/* of names without one */
	struct map	*users;		/* canonical name -> struct user */
	struct map	*domains;
	struct timespec	 mtime;
	ino_t		 inode;
	off_t		 size;
	bool		 loaded;
	uint64_t	 checked_ms;
};

static void
user_free(void *p)
{
	struct user *u = p;

	if (u->hash != NULL)
		xfree_secret(u->hash, strlen(u->hash));
	xfree(u);
}

/* ---- lines ---- */

static void
take_extra(struct passwd_line *l, struct view fields)
{
	struct view field, value;
	uint64_t bytes;

	while (view_next(&fields, " \t", &field)) {
		value = field;
		if (view_starts(field, VIEW("nologin"))) {
			l->disabled = field.len == 7 || !view_eq(field, VIEW("nologin=n"));
		} else if (view_starts(field, VIEW("services="))) {
			/* What is not understood permits nothing. */
			if (source_services_parse(view_from(field, 9), &l->services) != 0)
				l->services = 0;
		} else if (view_starts(field, VIEW("userdb_quota_rule=*:storage="))) {
			value = view_from(field, 28);
			if (num_parse_size(value, &bytes) == 0)
				l->quota_bytes = bytes;
		}
	}
}

int
passwd_line_parse(struct view line, struct passwd_line *l_r)
{
	struct passwd_line l = { .services = SOURCE_ALL };
	struct view fields[8] = { VIEW("") };
	ptrdiff_t colon;
	size_t n;

	if (line.len > LINE_MAX_LEN || memchr(line.p, '\0', line.len) != NULL)
		return PK_ELIMIT;
	/* The eighth has the rest, with its colons. */
	for (n = 0; n < 7 && (colon = view_find(line, ':')) >= 0; n++) {
		fields[n] = view_head(line, (size_t)colon);
		line = view_from(line, (size_t)colon + 1);
	}
	fields[n] = line;
	l.name = fields[0];
	l.hash = fields[1];
	if (n == 0 || l.name.len == 0)
		return PK_ESYNTAX;
	take_extra(&l, fields[7]);
	*l_r = l;
	return 0;
}

/* A hash without {SCHEME} is crypt's, as in passwd(5): never a password in clear. */
static char *
hash_text(struct view hash)
{
	if (hash.len > 0 && hash.p[0] != '{' && hash.p[0] != '$')
		return NULL;
	return hash.len > 0 ? view_dup(hash) : NULL;
}

static bool
add_line(struct passwd_file *f, struct map *users, struct map *domains, struct view line)
{
	struct view local, domain;
	struct passwd_line l;
	struct buf name;
	struct user *u;

	if (passwd_line_parse(line, &l) != 0)
		return false;
	buf_init(&name, NAME_MAX_LEN);
	if (name_put(&name, l.name, view_str(f->domain)) != 0 ||
	    map_get(users, buf_view(&name)) != NULL) {
		buf_fini(&name);
		return false;
	}
	u = XNEW(struct user);
	u->hash = hash_text(l.hash);
	u->disabled = l.disabled || u->hash == NULL;
	u->services = l.services;
	u->quota_bytes = l.quota_bytes;
	(void)map_put(users, buf_view(&name), u);
	name_split(buf_view(&name), &local, &domain);
	(void)map_put(domains, domain, f);
	buf_fini(&name);
	return true;
}

static void
take_text(struct passwd_file *f, struct view text)
{
	struct map *users = map_new(), *domains = map_new();
	unsigned number = 0, told = 0;
	struct view line;
	ptrdiff_t nl;

	while (text.len > 0) {
		nl = view_find(text, '\n');
		line = nl >= 0 ? view_head(text, (size_t)nl) : text;
		text = view_from(text, line.len + (nl >= 0));
		number++;
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		if (view_trim(line).len == 0 || line.p[0] == '#')
			continue;
		if (!add_line(f, users, domains, line) && told++ < TOLD_MAX)
			log_warn("%s:%u: no user:hash:..., or a user twice: the line is skipped",
			    f->path, number);
	}
	map_free(&f->users, user_free);
	map_free(&f->domains, NULL);
	f->users = users;
	f->domains = domains;
	f->loaded = true;
}

/* ---- the file ---- */

static int
load(struct passwd_file *f)
{
	struct buf b;
	int error;

	buf_init(&b, FILE_MAX);
	error = fd_read_file(AT_FDCWD, f->path, &b);
	if (error == 0)
		take_text(f, buf_view(&b));
	if (b.data != NULL)
		explicit_bzero(b.data, b.cap);
	buf_fini(&b);
	return error;
}

/* Reads it again if it changed; what was read stays while it cannot be. */
static int
refresh(struct passwd_file *f)
{
	uint64_t now = clock_mono_ms();
	struct stat st;

	if (f->loaded && now - f->checked_ms < CHECK_MS)
		return 0;
	f->checked_ms = now;
	if (stat(f->path, &st) == -1) {
		log_error("%s: %s", f->path, strerror(errno));
		return PK_ETEMP;
	}
	if (f->loaded && st.st_ino == f->inode && st.st_size == f->size &&
	    memcmp(&st.st_mtim, &f->mtime, sizeof(f->mtime)) == 0)
		return 0;
	if (load(f) != 0) {
		log_error("%s cannot be read: %s%s", f->path, strerror(errno),
		    errno == EACCES ? " (it has to be readable for the group of authd's user: "
		    "chgrp pk-auth, chmod 640)" : "");
		return PK_ETEMP;
	}
	f->inode = st.st_ino;
	f->size = st.st_size;
	f->mtime = st.st_mtim;
	return 0;
}

static struct source *
passwd_file_open(const struct conf *conf, const char *arg, struct buf *why)
{
	struct passwd_file *f;

	if (arg[0] != '/') {
		buf_printf(why, "auth_sources: passwd-file:%s: write a path that begins with /",
		    arg);
		return NULL;
	}
	f = XNEW(struct passwd_file);
	f->path = xstrdup(arg);
	f->domain = xstrdup(conf->auth_default_domain);
	f->users = map_new();
	f->domains = map_new();
	return &f->source;
}

static void
passwd_file_close(struct source *s)
{
	struct passwd_file *f = (struct passwd_file *)(void *)s;

	map_free(&f->users, user_free);
	map_free(&f->domains, NULL);
	xfree(f->path);
	xfree(f->domain);
	xfree(f);
}

static int
passwd_file_find(struct source *s, struct view login, struct source_user *u)
{
	struct passwd_file *f = (struct passwd_file *)(void *)s;
	const struct user *found;

	if (refresh(f) != 0 && !f->loaded)
		return PK_ETEMP;
	found = map_get(f->users, login);
	if (found == NULL)
		return PK_ENOENT;
	u->login = view_dup(login);
	if (found->hash != NULL)
		source_user_add_hash(u, found->hash, NULL);
	if (found->hash != NULL && view_casestarts(view_str(found->hash), VIEW("{SCRAM-SHA-256}")))
		u->scram_sha256 = xstrdup(found->hash);
	if (found->hash != NULL && view_casestarts(view_str(found->hash), VIEW("{SCRAM-SHA-1}")))
		u->scram_sha1 = xstrdup(found->hash);
	u->disabled = found->disabled;
	u->services = found->services;
	u->quota_bytes = found->quota_bytes;
	return 0;
}

static int
map_user(const struct passwd_file *f, enum source_map map, struct view name, struct buf *value_r)
{
	const struct user *u = map_get(f->users, name);
	struct view local, domain;

	if (u == NULL)
		return PK_ENOENT;
	name_split(name, &local, &domain);
	switch (map) {
	case SOURCE_MAP_USERS:
		/* One that would be a path of its own is nobody's mailbox. */
		if (memchr(local.p, '/', local.len) != NULL || local.p[0] == '.')
			return PK_ENOENT;
		return buf_printf(value_r, "%.*s/%.*s/", VIEW_ARG(domain), VIEW_ARG(local));
	case SOURCE_MAP_QUOTAS:
		return u->quota_bytes > 0 ? buf_put_u64(value_r, u->quota_bytes) : PK_ENOENT;
	case SOURCE_MAP_LOGINS:
		return buf_put_view(value_r, name);
	default:
		return PK_ENOENT;
	}
}

static int
passwd_file_map(struct source *s, enum source_map map, struct view key, struct buf *value_r)
{
	struct passwd_file *f = (struct passwd_file *)(void *)s;
	struct buf name;
	int error;

	if (refresh(f) != 0 && !f->loaded)
		return PK_ETEMP;
	buf_init(&name, NAME_MAX_LEN);
	if (map == SOURCE_MAP_DOMAINS) {
		error = name_put_domain(&name, key) == 0 &&
		    map_get(f->domains, buf_view(&name)) != NULL ? buf_put_str(value_r, "OK") :
		    PK_ENOENT;
	} else {
		error = name_put(&name, key, VIEW("")) == 0 ?
		    map_user(f, map, buf_view(&name), value_r) : PK_ENOENT;
	}
	buf_fini(&name);
	return error;
}

/* The folder: whoever changes the file puts a new one there. */
static void
passwd_file_needs(const struct conf *conf, const char *arg, struct sandbox_spec *spec)
{
	const char *slash = strrchr(arg, '/');
	char *folder;

	(void)conf;
	if (slash == NULL)
		return;
	folder = slash == arg ? xstrdup("/") : xstrndup(arg, (size_t)(slash - arg));
	source_need_path(spec, folder);
	spec->needs |= SANDBOX_FILES_READ;
	xfree(folder);
}

const struct source_type source_type_passwd_file = {
	.name = "passwd-file",
	.open = passwd_file_open,
	.close = passwd_file_close,
	.find = passwd_file_find,
	.map = passwd_file_map,
	.needs = passwd_file_needs,
};
