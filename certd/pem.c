/* SPDX-License-Identifier: ISC */
/*
 * pem.c: PEM blocks of a file.
 *
 * Runs in certd, on files that the administrator names; an ACME client may be
 * writing them at this moment, so that anything can stand there. Not
 * OpenSSL's reader: its buffers are not wiped, and its errors name no line.
 */
#include "certd/pem.h"

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"

#define LABEL_MAX 64

void
pem_reader_init(struct pem_reader *r, struct view text)
{
	r->rest = text;
	r->line = 0;
}

void
pem_block_fini(struct pem_block *b)
{
	xfree_secret(b->der, b->len);
	b->der = NULL;
	b->len = 0;
}

/* Without its line end and blanks behind it. */
static bool
take_line(struct pem_reader *r, struct view *line_r)
{
	ptrdiff_t end;
	struct view line;

	if (r->rest.len == 0)
		return false;
	end = view_find(r->rest, '\n');
	line = end < 0 ? r->rest : view_head(r->rest, (size_t)end);
	r->rest = view_from(r->rest, line.len + (end < 0 ? 0 : 1));
	r->line++;
	while (line.len > 0 && ascii_isspace(line.p[line.len - 1]))
		line.len--;
	*line_r = line;
	return true;
}

/* "-----BEGIN LABEL-----" */
static bool
is_boundary(struct view line, struct view word, struct view *label_r)
{
	if (!view_starts(line, word) || line.len < word.len + 5 ||
	    !view_eq(view_from(line, line.len - 5), VIEW("-----")))
		return false;
	*label_r = view_of(line.p + word.len, line.len - word.len - 5);
	return label_r->len <= LABEL_MAX;
}

static enum pem_kind
kind_of(struct view label)
{
	if (view_eq(label, VIEW("CERTIFICATE")) || view_eq(label, VIEW("X509 CERTIFICATE")))
		return PEM_CERTIFICATE;
	if (view_eq(label, VIEW("PRIVATE KEY")) || view_eq(label, VIEW("RSA PRIVATE KEY")) ||
	    view_eq(label, VIEW("EC PRIVATE KEY")))
		return PEM_KEY;
	return PEM_OTHER;
}

static int
refuse_encrypted(const struct pem_block *b, struct buf *why)
{
	buf_printf(why, "line %u: the key has a pass phrase, and nobody types it here: take it"
	    " off with `openssl pkey -in FILE -out NEWFILE`", b->line);
	return PK_EUNSUPPORTED;
}

/* text: the lines between the boundaries, as they stand there. */
static int
decode(struct pem_block *b, struct view text, struct buf *why)
{
	char *packed = xmalloc(text.len + 1);
	size_t n = 0, i;
	struct buf der;
	int error;

	for (i = 0; i < text.len; i++)
		if (!ascii_isspace(text.p[i]))
			packed[n++] = text.p[i];
	buf_init(&der, PEM_DER_MAX);
	/* Room first: bytes of a key must not stay behind in a smaller buffer. */
	if (n / 4 * 3 > PEM_DER_MAX || buf_room(&der, n / 4 * 3 + 3) == NULL)
		error = PK_ELIMIT;
	else
		error = base64_decode(&der, view_of(packed, n));
	if (error == 0 && der.len > 0) {
		b->der = xmemdup(buf_data(&der), der.len);
		b->len = der.len;
	} else {
		buf_printf(why, "line %u: this block is %s", b->line,
		    error == PK_ELIMIT ? "too long" : "no base64");
		error = error == 0 ? PK_ESYNTAX : error;
	}
	if (der.data != NULL)
		explicit_bzero(der.data, der.cap);
	buf_fini(&der);
	xfree_secret(packed, text.len + 1);
	return error;
}

/* Behind the BEGIN line: up to the END of the same label. */
static int
read_body(struct pem_reader *r, struct view label, struct pem_block *b, struct buf *why)
{
	struct view line, end, body = r->rest;

	while (take_line(r, &line)) {
		/* "Proc-Type: 4,ENCRYPTED" of OpenSSL's older form (RFC 1421). */
		if (b->kind == PEM_KEY && view_find(line, ':') >= 0)
			return refuse_encrypted(b, why);
		if (!is_boundary(line, VIEW("-----END "), &end)) {
			if (!view_starts(line, VIEW("-----")))
				continue;
			break;
		}
		if (!view_eq(end, label))
			break;
		body.len = (size_t)(line.p - body.p);
		return b->kind == PEM_OTHER ? 0 : decode(b, body, why);
	}
	buf_printf(why, "line %u: \"BEGIN %.*s\" without its END: is the file whole?", b->line,
	    VIEW_ARG(label));
	return PK_ESYNTAX;
}

int
pem_next(struct pem_reader *r, struct pem_block *b_r, struct buf *why)
{
	struct pem_block b = { .kind = PEM_OTHER };
	struct view line, label;
	int error;

	while (take_line(r, &line)) {
		if (!is_boundary(line, VIEW("-----BEGIN "), &label))
			continue;
		b.line = r->line;
		b.kind = kind_of(label);
		if (view_eq(label, VIEW("ENCRYPTED PRIVATE KEY")))
			return refuse_encrypted(&b, why);
		error = read_body(r, label, &b, why);
		if (error != 0)
			return error;
		if (b.kind == PEM_OTHER)
			continue;
		*b_r = b;
		return 0;
	}
	return PK_EEND;
}
