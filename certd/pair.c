/* SPDX-License-Identifier: ISC */
/*
 * pair.c: a private key and its chain as an object.
 *
 * Runs in certd. OpenSSL wipes the key when its last reference goes.
 */
#include "certd/pair.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

#include "base/mem.h"

struct pair *
pair_ref(struct pair *p)
{
	p->refs++;
	return p;
}

void
pair_unref(struct pair **pp)
{
	struct pair *p = *pp;
	unsigned i;

	*pp = NULL;
	if (p == NULL || --p->refs > 0)
		return;
	for (i = 0; i < p->nchain; i++)
		xfree((void *)(uintptr_t)p->chain[i].p);
	EVP_PKEY_free(p->key);
	X509_free(p->leaf);
	xfree(p->files);
	xfree(p);
}

bool
pair_same(const struct pair *a, const struct pair *b)
{
	unsigned i;

	if (a->flags != b->flags || a->nchain != b->nchain)
		return false;
	for (i = 0; i < a->nchain; i++)
		if (!view_eq(a->chain[i], b->chain[i]))
			return false;
	/* The leaf is the same and each key fits it: the keys are the same. */
	return true;
}

const char *
pair_key_text(const struct pair *p)
{
	static char rsa[32];
	struct buf b;

	switch (p->kind) {
	case TLS_KEY_RSA:
		buf_init(&b, sizeof(rsa) - 1);
		buf_printf(&b, "RSA %d", EVP_PKEY_get_bits(p->key));
		memcpy(rsa, buf_cstr(&b), b.len + 1);
		buf_fini(&b);
		return rsa;
	case TLS_KEY_EC:
		return p->curve == NID_secp384r1 ? "EC P-384" : "EC P-256";
	default:
		return "Ed25519";
	}
}

bool
pair_covers(const struct pair *p, const char *name)
{
	/* Any name below it stands for the wildcard. */
	char *host = name[0] == '*' ? xasprintf("a%s", name + 1) : xstrdup(name);
	bool covers = X509_check_host(p->leaf, host, 0, 0, NULL) == 1;

	ERR_clear_error();
	xfree(host);
	return covers;
}

void
pair_put_date(struct buf *b, int64_t when_s)
{
	time_t t = (time_t)when_s;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		buf_put_str(b, "a day beyond the calendar");
	else
		buf_printf(b, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}
