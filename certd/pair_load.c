/* SPDX-License-Identifier: ISC */
/*
 * pair_load.c: PEM files become pairs.
 *
 * Runs in certd. Postfix wants each key in front of its certificates; ACME
 * clients write the certificates first or into a file of their own: any of
 * these is taken, since the key says which leaf it belongs to anyway. Files
 * may be half written at this moment.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>

#include "base/error.h"
#include "base/mem.h"
#include "certd/pair_private.h"
#include "conf/conf.h"
#include "sys/fd.h"

struct loading {
	struct pair_load *load;
	struct pair_draft draft;
	unsigned	 flags;
	bool		 key_first;	/* the draft began with its key */
	bool		 broken;	/* a file is missing: half pairs are its fault */
	pair_note_fn	 note;
	void		*arg;
};

static void
complain(struct loading *l, const char *where, const char *what)
{
	char *text = xasprintf("%s: %s", where, what);

	l->load->errors++;
	l->note('e', text, l->arg);
	xfree(text);
}

/* ---- drafts ---- */

static void
draft_init(struct pair_draft *d)
{
	memset(d, 0, sizeof(*d));
	buf_init(&d->files, 8192);
}

static void
draft_fini(struct pair_draft *d)
{
	unsigned i;

	EVP_PKEY_free(d->key);
	for (i = 0; i < d->ncerts; i++)
		X509_free(d->certs[i]);
	buf_fini(&d->files);
}

static void
draft_name_file(struct pair_draft *d, const char *path)
{
	struct view files = buf_view(&d->files), last;
	ptrdiff_t comma = view_rfind(files, ' ');

	last = comma < 0 ? files : view_from(files, (size_t)comma + 1);
	if (view_eq(last, view_str(path)))
		return;
	buf_printf(&d->files, "%s%s", files.len > 0 ? ", " : "", path);
}

/* One of its kind there already: the first one counts, as with Postfix's default. */
static void
keep(struct loading *l, struct pair *p)
{
	struct pair **slot = &l->load->pairs[p->kind];
	char *text;

	if (*slot == NULL) {
		*slot = p;
		return;
	}
	text = xasprintf("%s: a second %s pair: the one of %s is used", p->files,
	    p->kind == TLS_KEY_RSA ? "RSA" : p->kind == TLS_KEY_EC ? "EC" : "Ed25519",
	    (*slot)->files);
	l->note('w', text, l->arg);
	xfree(text);
	pair_unref(&p);
}

static void
draft_finish(struct loading *l)
{
	struct pair_draft *d = &l->draft;
	struct pair *p = NULL;
	struct buf why;

	buf_init(&why, 4096);
	if (l->broken && (d->ncerts == 0 || d->key == NULL))
		;
	else if (d->ncerts == 0 && d->key != NULL)
		complain(l, buf_cstr(&d->files), "a private key without its certificate");
	else if (d->ncerts > 0 && d->key == NULL)
		complain(l, buf_cstr(&d->files), "certificates without a private key: name the"
		    " key's file too, in front of this one");
	else if (d->ncerts > 0 && pair_check(d, l->flags, &p, &why, l->note, l->arg) != 0)
		complain(l, buf_cstr(&d->files), buf_cstr(&why));
	if (p != NULL)
		keep(l, p);
	buf_fini(&why);
	draft_fini(d);
	draft_init(d);
}

/* ---- blocks ---- */

static int
take_key(struct loading *l, const struct pem_block *b, const char *path, struct buf *why)
{
	const unsigned char *p = b->der;
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &p, (long)b->len);

	if (key == NULL || p != b->der + b->len) {
		EVP_PKEY_free(key);
		ERR_clear_error();
		buf_printf(why, "line %u: this is no private key that can be read", b->line);
		return PK_EFORMAT;
	}
	if (l->draft.key != NULL)
		draft_finish(l);
	l->draft.key = key;
	l->key_first = l->draft.ncerts == 0;
	draft_name_file(&l->draft, path);
	if (!l->key_first)
		draft_finish(l);
	return 0;
}

static int
take_cert(struct loading *l, const struct pem_block *b, const char *path, struct buf *why)
{
	const unsigned char *p = b->der;
	X509 *x;

	if (l->draft.ncerts == TLS_CHAIN_MAX) {
		buf_printf(why, "line %u: more than %d certificates in a chain", b->line,
		    TLS_CHAIN_MAX);
		return PK_ELIMIT;
	}
	x = d2i_X509(NULL, &p, (long)b->len);
	if (x == NULL || p != b->der + b->len) {
		X509_free(x);
		ERR_clear_error();
		buf_printf(why, "line %u: this is no certificate that can be read", b->line);
		return PK_EFORMAT;
	}
	l->draft.certs[l->draft.ncerts++] = x;
	draft_name_file(&l->draft, path);
	return 0;
}

static bool
has_key(struct view text)
{
	struct view line;

	while (view_next(&text, "\r\n", &line))
		if (view_starts(line, VIEW("-----BEGIN ")) &&
		    view_caseends(line, VIEW("PRIVATE KEY-----")))
			return true;
	return false;
}

static int
take_text(struct loading *l, struct view text, const char *path, struct buf *why)
{
	struct pem_reader r;
	struct pem_block b;
	unsigned blocks = 0;
	int error;

	/* Certificates alone may go on with the chain of the file before. */
	if (l->draft.key != NULL && l->draft.ncerts > 0 && has_key(text))
		draft_finish(l);
	pem_reader_init(&r, text);
	while ((error = pem_next(&r, &b, why)) == 0) {
		error = b.kind == PEM_KEY ? take_key(l, &b, path, why) :
		    take_cert(l, &b, path, why);
		pem_block_fini(&b);
		if (error != 0)
			return error;
		blocks++;
	}
	if (error == PK_EEND && blocks == 0) {
		buf_put_str(why, "no PEM key or certificate in it");
		return PK_EFORMAT;
	}
	return error == PK_EEND ? 0 : error;
}

/* ---- files ---- */

static int
put_errno(struct buf *why)
{
	buf_put_str(why, strerror(errno));
	if (errno == EACCES || errno == EPERM)
		buf_put_str(why, ": certd cannot read it now: postkeep.conf(5) says under"
		    " \"TLS certificates\" which owner and mode it needs");
	return PK_ESYS;
}

/* *text_r is to be wiped: it may have a key. */
static int
read_file(const char *path, char **text_r, size_t *len_r, struct buf *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = 0;
	struct stat st;
	char *text;

	if (fd == -1)
		return put_errno(why);
	if (fstat(fd, &st) == -1) {
		error = put_errno(why);
	} else if (!S_ISREG(st.st_mode) || st.st_size > PEM_FILE_MAX) {
		buf_put_str(why, "is no file, or longer than a chain file is");
		error = PK_ELIMIT;
	} else {
		text = xmalloc((size_t)st.st_size + 1);
		error = fd_pread_all(fd, text, (size_t)st.st_size, 0);
		if (error == 0) {
			*text_r = text;
			*len_r = (size_t)st.st_size;
		} else {
			buf_put_str(why, "cannot be read: it is being written");
			xfree_secret(text, (size_t)st.st_size);
		}
	}
	fd_close(&fd);
	return error;
}

static void
take_file(struct loading *l, const char *path)
{
	char *text = NULL;
	size_t len = 0;
	struct buf why;
	int error;

	buf_init(&why, 4096);
	if (path[0] != '/') {
		buf_put_str(&why, "write a path that begins with /");
		error = PK_ESYNTAX;
	} else {
		error = read_file(path, &text, &len, &why);
	}
	if (error == 0)
		error = take_text(l, view_of(text, len), path, &why);
	if (error != 0) {
		complain(l, path, buf_cstr(&why));
		l->broken = true;
	}
	xfree_secret(text, len);
	buf_fini(&why);
}

void
pair_load_files(struct view files, unsigned flags, struct pair_load *load_r, pair_note_fn note,
    void *arg)
{
	struct loading l = { .load = load_r, .flags = flags, .note = note, .arg = arg };
	struct view item;
	char *path;

	memset(load_r, 0, sizeof(*load_r));
	draft_init(&l.draft);
	while (conf_list_next(&files, &item)) {
		path = view_dup(item);
		take_file(&l, path);
		xfree(path);
	}
	draft_finish(&l);
	draft_fini(&l.draft);
}

void
pair_load_fini(struct pair_load *load)
{
	unsigned i;

	for (i = 0; i < TLS_KEY_KINDS; i++)
		pair_unref(&load->pairs[i]);
}
