/* SPDX-License-Identifier: ISC */
/*
 * source_system.c: the users of this machine, from passwd(5) and shadow(5).
 *
 * Runs in authd. No NSS and no PAM: these run code and configuration that the
 * confinement cannot know of; users of a directory have the source ldap. Both
 * files are opened with the first privileges and read by these handles ever
 * after. Whoever changes a password puts a new file in the old one's place: a
 * handle whose file has no name any more is stale, and authd begins anew.
 *
 * Only users with a uid of 1000 and more: no password of root's is tried over
 * the network.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "authd/name.h"
#include "authd/source_impl.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "sys/fd.h"

#define UID_LEAST	1000
#define UID_MOST	60000		/* nobody, and containers' ranges, are above */
#define FILE_MAX	(16u << 20)
#define CHECK_MS	1000
#define FIELDS		9

struct handle {
	int		 fd;
	struct timespec	 mtime;
	off_t		 size;
};

struct system {
	struct source	 source;
	char		*domain;	/* auth_default_domain */
	struct handle	 passwd, shadow;
	struct map	*hashes;	/* name -> hash as it stands in shadow */
	bool		 loaded;
	uint64_t	 checked_ms;
};

static void
hash_free(void *p)
{
	xfree_secret(p, strlen(p));
}

/* Colon separated; those that are missing are empty. */
static void
split(struct view line, struct view fields[FIELDS])
{
	ptrdiff_t colon;
	int i;

	for (i = 0; i < FIELDS; i++) {
		colon = view_find(line, ':');
		fields[i] = colon >= 0 ? view_head(line, (size_t)colon) : line;
		line = view_from(line, fields[i].len + (colon >= 0));
	}
}

static bool
next_line(struct view *text, struct view fields[FIELDS])
{
	ptrdiff_t nl;
	struct view line;

	if (text->len == 0)
		return false;
	nl = view_find(*text, '\n');
	line = nl >= 0 ? view_head(*text, (size_t)nl) : *text;
	*text = view_from(*text, line.len + (nl >= 0));
	split(line, fields);
	return true;
}

static int
read_handle(struct handle *h, struct buf *b)
{
	struct stat st;
	char *p;

	if (fstat(h->fd, &st) == -1 || st.st_size < 0 || st.st_size > (off_t)FILE_MAX)
		return PK_EIO;
	p = buf_room(b, (size_t)st.st_size);
	if (p == NULL || fd_pread_all(h->fd, p, (size_t)st.st_size, 0) != 0)
		return PK_EIO;
	buf_added(b, (size_t)st.st_size);
	h->mtime = st.st_mtim;
	h->size = st.st_size;
	return 0;
}

static bool
is_expired(struct view day)
{
	uint64_t n;

	return num_parse_u64(day, 0, UINT32_MAX, &n) == 0 &&
	    clock_wall_ms() / 86400000 >= n;
}

static void
take(struct system *s, struct view passwd, struct view shadow)
{
	struct map *people = map_new(), *hashes = map_new();
	struct view f[FIELDS];
	uint64_t uid;

	while (next_line(&passwd, f))
		if (f[0].len > 0 && num_parse_u64(f[2], UID_LEAST, UID_MOST, &uid) == 0)
			(void)map_put(people, f[0], s);
	/* "!", "*" and the like begin no hash: the user is known and gets in nowhere. */
	while (next_line(&shadow, f))
		if (map_get(people, f[0]) != NULL && map_get(hashes, f[0]) == NULL)
			(void)map_put(hashes, f[0], view_dup(is_expired(f[7]) ? VIEW("!") : f[1]));
	map_free(&people, NULL);
	map_free(&s->hashes, hash_free);
	s->hashes = hashes;
	s->loaded = true;
}

static int
load(struct system *s)
{
	struct buf passwd, shadow;
	int error;

	buf_init(&passwd, FILE_MAX);
	buf_init(&shadow, FILE_MAX);
	error = read_handle(&s->passwd, &passwd);
	if (error == 0)
		error = read_handle(&s->shadow, &shadow);
	if (error == 0)
		take(s, buf_view(&passwd), buf_view(&shadow));
	if (shadow.data != NULL)
		explicit_bzero(shadow.data, shadow.cap);
	buf_fini(&passwd);
	buf_fini(&shadow);
	return error;
}

/* Changed in place; or replaced, and then only the next process can read it. */
static bool
has_changed(struct system *s, const struct handle *h)
{
	struct stat st;

	if (fstat(h->fd, &st) == -1)
		return false;
	if (st.st_nlink == 0)
		s->source.stale = true;
	return st.st_size != h->size || memcmp(&st.st_mtim, &h->mtime, sizeof(h->mtime)) != 0;
}

static bool
handle_open(struct handle *h, const char *path, struct buf *why)
{
	h->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (h->fd == -1)
		buf_printf(why, "auth_sources: system: %s: %s", path, strerror(errno));
	return h->fd != -1;
}

static void
system_close(struct source *source)
{
	struct system *s = (struct system *)(void *)source;

	fd_close(&s->passwd.fd);
	fd_close(&s->shadow.fd);
	map_free(&s->hashes, hash_free);
	xfree(s->domain);
	xfree(s);
}

static struct source *
system_open(const struct conf *conf, const char *arg, struct buf *why)
{
	struct system *s;

	if (arg[0] != '\0') {
		buf_put_str(why, "auth_sources: system has no argument");
		return NULL;
	}
	s = XNEW(struct system);
	s->passwd.fd = s->shadow.fd = -1;
	s->domain = xstrdup(conf->auth_default_domain);
	s->hashes = map_new();
	if (!handle_open(&s->passwd, "/etc/passwd", why) ||
	    !handle_open(&s->shadow, "/etc/shadow", why) || load(s) != 0) {
		if (why->len == 0)
			buf_put_str(why, "auth_sources: system: /etc/passwd or /etc/shadow cannot"
			    " be read");
		system_close(&s->source);
		return NULL;
	}
	return &s->source;
}

static int
system_find(struct source *source, struct view login, struct source_user *u)
{
	struct system *s = (struct system *)(void *)source;
	uint64_t now = clock_mono_ms();
	struct view local, domain;
	const char *hash;
	bool changed;

	if (now - s->checked_ms >= CHECK_MS) {
		s->checked_ms = now;
		/* Both are looked at: each remembers what it saw. */
		changed = has_changed(s, &s->passwd);
		changed = has_changed(s, &s->shadow) || changed;
		if (changed && load(s) != 0)
			return PK_ETEMP;
	}
	name_split(login, &local, &domain);
	if (!view_caseeq(domain, view_str(s->domain)))
		return PK_ENOENT;
	hash = map_get(s->hashes, local);
	if (hash == NULL)
		return PK_ENOENT;
	u->login = view_dup(login);
	if (hash[0] == '$')
		source_user_add_hash(u, hash, NULL);
	else
		u->disabled = true;
	return 0;
}

const struct source_type source_type_system = {
	.name = "system",
	.open = system_open,
	.close = system_close,
	.find = system_find,
};
