/* SPDX-License-Identifier: ISC */
/*
 * tls_client.c: how a transport speaks TLS to the servers it delivers to.
 *
 * Runs in deliverers. Trust anchors are read when the context is made. An
 * OpenSSL context is made for each combination of protocols and ciphers that
 * a policy asks for, and kept (few are in use); our certificate is in it when
 * certd has one, its key stays there.
 */
#include <openssl/err.h>

#include <string.h>

#include "base/mem.h"
#include "net/tls_internal.h"

#define CIPHERS_MAX	8192
/*
 * A server chooses the prime of DHE. OpenSSL takes 10,000 bits, which cost
 * seconds in which nobody else's mail goes out.
 */
#define DH_BITS_MAX	4096
/* Combinations kept; a policy table names a handful. */
#define VARIANTS_MAX	16

/* A context for one combination of words. */
struct variant {
	char		*key;
	SSL_CTX		*ctx;
	struct tls_set	*set;		/* whose certificates it has; NULL: none */
	TAILQ_ENTRY(variant) link;
};

struct tls_client {
	unsigned	refs;
	struct tls_keys	*keys;		/* NULL: no certificate */
	X509_STORE	*trust;
	int		depth;
	char		*digest;
	char		*curves;
	char		*protocols[2], *grade[2];	/* may; above */
	char		*exclude[2];
	/* Of struct conf, what ciphers are made of. */
	char		*high, *medium;
	struct tls_sessions *sessions;
	TAILQ_HEAD(variants, variant) lru;
	size_t		nvariants;
};

static bool
is_strict(enum tls_level level)
{
	return level >= TLS_LEVEL_DANE;
}

/* ---- variants ---- */

struct words {
	const char	*protocols, *grade, *exclude[2];
	bool		must;
};

static struct words
words_for(const struct tls_client *c, const struct tls_expect *e)
{
	struct words w = { .must = e->level != TLS_LEVEL_MAY };

	w.protocols =
	    e->protocols != NULL ? e->protocols : c->protocols[w.must];
	w.grade = e->ciphers != NULL ? e->ciphers : c->grade[w.must];
	w.exclude[0] = e->exclude != NULL ? e->exclude : c->exclude[0];
	w.exclude[1] = e->exclude == NULL && w.must ? c->exclude[1] : NULL;
	return w;
}

static int
make_ciphers(const struct tls_client *c, const struct words *w, bool strict,
    struct buf *list_r, struct buf *why)
{
	struct conf conf = {
		.tls_high_cipherlist = c->high,
		.tls_medium_cipherlist = c->medium,
	};
	struct tls_cipher_words words = {
		.grade_param = w->must ? "smtp_tls_mandatory_ciphers" :
					 "smtp_tls_ciphers",
		.grade = w->grade,
		.exclude_param = { "smtp_tls_exclude_ciphers",
		    "smtp_tls_mandatory_exclude_ciphers" },
		.exclude = { w->exclude[0], w->exclude[1] },
		/* Who shows no certificate cannot be who he should be. */
		.always = strict ? ":!aNULL:!PSK:!SRP" : ":!PSK:!SRP",
	};

	return tls_params_ciphers(&conf, &words, list_r, why);
}

static int	on_new_session(SSL *ssl, SSL_SESSION *session);

/* OpenSSL's own judgement, and the bound that it lacks. */
static int	(*openssl_judges)(const SSL *ssl, const SSL_CTX *ctx, int what, int bits, int nid,
	    void *other, void *ex);

static int
on_security(const SSL *ssl, const SSL_CTX *ctx, int what, int bits, int nid,
    void *other, void *ex)
{
	if (what == SSL_SECOP_TMP_DH && other != NULL &&
	    EVP_PKEY_get_bits(other) > DH_BITS_MAX)
		return 0;
	return openssl_judges(ssl, ctx, what, bits, nid, other, ex);
}

static void
set_options(const struct tls_client *c, SSL_CTX *ctx)
{
	if (openssl_judges == NULL)
		openssl_judges = SSL_CTX_get_security_callback(ctx);
	SSL_CTX_set_security_callback(ctx, on_security);
	SSL_CTX_set_options(
	    ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(ctx,
	    SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN |
		SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_session_cache_mode(
	    ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_new_session);
	/* The handshake goes on whatever the certificate: tls_trust.c judges. */
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_verify_depth(ctx, c->depth);
	SSL_CTX_set1_cert_store(ctx, c->trust);
}

static bool
set_dane(SSL_CTX *ctx)
{
	const struct tls_library *l = tls_library();

	if (SSL_CTX_dane_enable(ctx) != 1 ||
	    SSL_CTX_dane_mtype_set(ctx, l->sha256, 1, 1) != 1 ||
	    SSL_CTX_dane_mtype_set(ctx, l->sha512, 2, 2) != 1)
		return false;
	/* RFC 7672 3.1.1: neither names nor dates count with DANE-EE(3). */
	(void)SSL_CTX_dane_set_flags(ctx, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	return true;
}

static SSL_CTX *
variant_context(struct tls_client *c, const struct words *w, bool strict,
    struct buf *why)
{
	const char *param =
	    w->must ? "smtp_tls_mandatory_protocols" : "smtp_tls_protocols";
	struct tls_protocols p;
	SSL_CTX *ctx = NULL;
	struct buf list;

	buf_init(&list, CIPHERS_MAX);
	if (tls_params_protocols(param, w->protocols, &p, why) != 0 ||
	    make_ciphers(c, w, strict, &list, why) != 0)
		goto out;
	ctx = SSL_CTX_new_ex(tls_library()->ctx, NULL, TLS_client_method());
	if (ctx == NULL) {
		buf_put_str(why, "OpenSSL: no context");
		goto out;
	}
	/* Weak is better than clear, where nobody is to be known. */
	SSL_CTX_set_security_level(ctx, strict ? 1 : 0);
	set_options(c, ctx);
	SSL_CTX_set_options(ctx, p.options);
	/* The same for servers without RFC 5746: neither end renegotiates here. */
	if (!strict)
		SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
	if (!set_dane(ctx) ||
	    SSL_CTX_set_min_proto_version(ctx, p.least) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, p.greatest) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, buf_cstr(&list)) != 1 ||
	    (c->curves[0] != '\0' &&
		SSL_CTX_set1_groups_list(ctx, c->curves) != 1)) {
		buf_printf(why, "OpenSSL: %s",
		    ERR_reason_error_string(ERR_peek_last_error()));
		SSL_CTX_free(ctx);
		ctx = NULL;
	}
out:
	ERR_clear_error();
	buf_fini(&list);
	return ctx;
}

static void
variant_free(struct tls_client *c, struct variant *v)
{
	TAILQ_REMOVE(&c->lru, v, link);
	c->nvariants--;
	SSL_CTX_free(v->ctx);
	tls_set_unref(&v->set);
	xfree(v->key);
	xfree(v);
}

static struct tls_set *
set_of(const struct tls_client *c)
{
	return c->keys != NULL ? tls_keys_set(c->keys) : NULL;
}

/* The one with this key, if its certificates are still certd's. */
static struct variant *
find_variant(struct tls_client *c, const char *key)
{
	struct variant *v;

	TAILQ_FOREACH (v, &c->lru, link) {
		if (strcmp(v->key, key) != 0)
			continue;
		if (v->set != set_of(c)) {
			variant_free(c, v);
			return NULL;
		}
		TAILQ_REMOVE(&c->lru, v, link);
		TAILQ_INSERT_HEAD(&c->lru, v, link);
		return v;
	}
	return NULL;
}

SSL_CTX *
tls_client_context(struct tls_client *c, const struct tls_expect *e,
    struct buf *why)
{
	struct words w = words_for(c, e);
	bool strict = is_strict(e->level);
	struct variant *v;
	SSL_CTX *ctx;
	char *key;

	key = xasprintf("%d%d|%s|%s|%s|%s", w.must, strict, w.protocols,
	    w.grade, w.exclude[0], w.exclude[1] != NULL ? w.exclude[1] : "");
	v = find_variant(c, key);
	if (v != NULL) {
		xfree(key);
		return v->ctx;
	}
	ctx = variant_context(c, &w, strict, why);
	if (ctx == NULL) {
		xfree(key);
		return NULL;
	}
	if (c->nvariants == VARIANTS_MAX)
		variant_free(c, TAILQ_LAST(&c->lru, variants));
	v = XNEW(struct variant);
	v->key = key;
	v->ctx = ctx;
	if (set_of(c) != NULL) {
		v->set = tls_set_ref(set_of(c));
		(void)tls_set_use(v->set, &v->set->client, ctx);
	}
	TAILQ_INSERT_HEAD(&c->lru, v, link);
	c->nvariants++;
	return ctx;
}

/* Kept until the trust is known. */
static int
on_new_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls_conn *t = tls_conn_of(ssl);

	if (t->session_key == NULL || t->nfresh == TLS_FRESH_MAX)
		return 0;
	t->fresh[t->nfresh++] = session;
	return 1;
}

/* ---- life and questions ---- */

static int
read_words(struct tls_client *c, const struct conf *conf, struct buf *why)
{
	struct tls_expect e = { .level = TLS_LEVEL_MAY };
	struct buf list;
	int error;

	buf_init(&list, CIPHERS_MAX);
	error = tls_params_curves(
	    "tls_eecdh_auto_curves", conf->tls_eecdh_auto_curves, &list, why);
	c->curves = xstrdup(buf_cstr(&list));
	buf_fini(&list);
	if (error != 0)
		return error;
	if (tls_client_context(c, &e, why) == NULL)
		return PK_ESYNTAX;
	e.level = TLS_LEVEL_SECURE;
	return tls_client_context(c, &e, why) != NULL ? 0 : PK_ESYNTAX;
}

static void
copy_words(struct tls_client *c, const struct conf *conf)
{
	c->protocols[0] = xstrdup(conf->smtp_tls_protocols);
	c->protocols[1] = xstrdup(conf->smtp_tls_mandatory_protocols);
	c->grade[0] = xstrdup(conf->smtp_tls_ciphers);
	c->grade[1] = xstrdup(conf->smtp_tls_mandatory_ciphers);
	c->exclude[0] = xstrdup(conf->smtp_tls_exclude_ciphers);
	c->exclude[1] = xstrdup(conf->smtp_tls_mandatory_exclude_ciphers);
	c->high = xstrdup(conf->tls_high_cipherlist);
	c->medium = xstrdup(conf->tls_medium_cipherlist);
	c->digest = xstrdup(conf->smtp_tls_fingerprint_digest);
}

struct tls_client *
tls_client_new(struct tls_keys *k, const struct conf *conf, struct buf *why)
{
	struct tls_client *c = XNEW(struct tls_client);

	(void)tls_library();
	c->refs = 1;
	c->keys = k;
	TAILQ_INIT(&c->lru);
	c->depth = (int)conf->smtp_tls_scert_verifydepth;
	c->sessions = tls_sessions_new(conf->smtp_tls_session_cache_timeout);
	copy_words(c, conf);
	/* Fetched now, used after the confinement. */
	(void)tls_params_digest(c->digest);
	c->trust = tls_params_trust("smtp_tls_CAfile", conf->smtp_tls_CAfile,
	    "smtp_tls_CApath", conf->smtp_tls_CApath,
	    conf->tls_append_default_CA, NULL, why);
	if (c->trust == NULL || read_words(c, conf, why) != 0)
		tls_client_unref(&c);
	return c;
}

struct tls_client *
tls_client_ref(struct tls_client *c)
{
	c->refs++;
	return c;
}

void
tls_client_unref(struct tls_client **client)
{
	struct tls_client *c = *client;
	unsigned i;

	*client = NULL;
	if (c == NULL || --c->refs > 0)
		return;
	while (!TAILQ_EMPTY(&c->lru))
		variant_free(c, TAILQ_FIRST(&c->lru));
	tls_sessions_free(&c->sessions);
	X509_STORE_free(c->trust);
	for (i = 0; i < 2; i++) {
		xfree(c->protocols[i]);
		xfree(c->grade[i]);
		xfree(c->exclude[i]);
	}
	xfree(c->high);
	xfree(c->medium);
	xfree(c->digest);
	xfree(c->curves);
	xfree(c);
}

bool
tls_client_signs(const struct tls_client *c)
{
	return c->keys != NULL && tls_keys_have(c->keys, CERT_CLIENT);
}

const char *
tls_client_digest(const struct tls_client *c)
{
	return c->digest;
}

struct tls_sessions *
tls_client_sessions(const struct tls_client *c)
{
	return c->sessions;
}

struct loop *
tls_client_loop(const struct tls_client *c)
{
	return c->keys != NULL ? tls_keys_loop(c->keys) : NULL;
}
