/* SPDX-License-Identifier: ISC */
/*
 * tls_provider.c: the OpenSSL library as we use it, and the provider whose
 * private keys are numbers that certd knows.
 *
 * Runs in whoever shakes hands. libssl asks EVP for a signature as with any
 * key; ours has the public part (answered by the default provider's key) and
 * a number, and signing is a KEY_SIGN within the fibre of the handshake
 * (tls_conn_sign). The signature algorithms have names of our own, so that
 * EVP finds them at once and never tries the default provider with a key
 * that has no private part; nothing but public parts can be exported.
 *
 * Everything is in a library context of ours: the system's openssl.cnf does
 * not apply, and what is fetched late is fetched before the confinement.
 */
#include <openssl/async.h>
#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/tls_internal.h"

#define PROPERTY	"provider=postkeep"
/* Handshakes that wait for certd at once: 32 KiB of stack each, kept for reuse. */
#define FIBRES_MAX	256
#define REFERENCE	"postkeep-key"	/* fromdata: a struct key_reference * */

/* What EVP holds of a key: keydata. */
struct key {
	const char	*type;
	EVP_PKEY	*pub;		/* the default provider's; NULL: empty */
	struct tls_signer *signer;	/* NULL: public only */
	uint64_t	number;
};

struct key_reference {
	struct tls_signer *signer;
	uint64_t	number;
	EVP_PKEY	*pub;
};

/* One signature: algctx. */
struct signing {
	const struct key *key;		/* the EVP_PKEY_CTX holds it */
	unsigned	digest;		/* bits of SHA-2, 1: SHA-1, 0: none */
	bool		pss;
};

static struct tls_library library;

/* ---- signers ---- */

struct tls_signer *
tls_signer_ref(struct tls_signer *s)
{
	s->refs++;
	return s;
}

void
tls_signer_unref(struct tls_signer **s)
{
	if (*s != NULL && --(*s)->refs == 0)
		xfree(*s);
	*s = NULL;
}

/* ---- key management ---- */

static void *
key_new(const char *type)
{
	struct key *k = XNEW(struct key);

	k->type = type;
	return k;
}

static void *
key_new_rsa(void *provider)
{
	(void)provider;
	return key_new("RSA");
}

static void *
key_new_ec(void *provider)
{
	(void)provider;
	return key_new("EC");
}

static void *
key_new_ed25519(void *provider)
{
	(void)provider;
	return key_new("ED25519");
}

static void
key_free(void *data)
{
	struct key *k = data;

	if (k == NULL)
		return;
	EVP_PKEY_free(k->pub);
	tls_signer_unref(&k->signer);
	xfree(k);
}

static int
key_has(const void *data, int selection)
{
	const struct key *k = data;

	if (k == NULL || k->pub == NULL)
		return 0;
	return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 ||
	    k->signer != NULL;
}

static int
key_match(const void *a, const void *b, int selection)
{
	const struct key *ka = a, *kb = b;

	(void)selection;
	if (ka->pub == NULL || kb->pub == NULL)
		return 0;
	return ka->pub == kb->pub || EVP_PKEY_eq(ka->pub, kb->pub) == 1;
}

/* The public part of a stranger's key, for key_match(). */
static EVP_PKEY *
public_from(const char *type, const OSSL_PARAM params[])
{
	EVP_PKEY *pub = NULL;
	EVP_PKEY_CTX *ctx;

	ctx = EVP_PKEY_CTX_new_from_name(library.ctx, type, "provider=default");
	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &pub, EVP_PKEY_PUBLIC_KEY,
		    (OSSL_PARAM *)(uintptr_t)params);
	EVP_PKEY_CTX_free(ctx);
	return pub;
}

static int
key_import(void *data, int selection, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, REFERENCE);
	const struct key_reference *ref;
	struct key *k = data;

	(void)selection;
	if (p == NULL) {
		k->pub = public_from(k->type, params);
		return k->pub != NULL;
	}
	if (p->data_size != sizeof(ref))
		return 0;
	memcpy(&ref, p->data, sizeof(ref));
	if (EVP_PKEY_up_ref(ref->pub) != 1)
		return 0;
	k->pub = ref->pub;
	k->signer = tls_signer_ref(ref->signer);
	k->number = ref->number;
	return 1;
}

static int
key_export(void *data, int selection, OSSL_CALLBACK *cb, void *arg)
{
	const struct key *k = data;

	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ||
	    k->pub == NULL)
		return 0;
	return EVP_PKEY_export(k->pub, selection, cb, arg);
}

static const OSSL_PARAM *
key_types(int selection)
{
	static const OSSL_PARAM types[] = {
		OSSL_PARAM_octet_string(REFERENCE, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
		OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
		OSSL_PARAM_END
	};

	(void)selection;
	return types;
}

static int
key_get_params(void *data, OSSL_PARAM params[])
{
	const struct key *k = data;

	return k->pub != NULL && EVP_PKEY_get_params(k->pub, params) == 1;
}

static const OSSL_PARAM *
key_gettable(void *provider)
{
	static const OSSL_PARAM known[] = {
		OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
		OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
		OSSL_PARAM_END
	};

	(void)provider;
	return known;
}

static const char *
operation_rsa(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "POSTKEEP-RSA" : NULL;
}

static const char *
operation_ec(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "POSTKEEP-EC" : NULL;
}

static const char *
operation_ed25519(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "POSTKEEP-ED25519" : NULL;
}

#define FN(id, f)	{ id, (void (*)(void))f }
#define KEYMGMT(new, operation)						\
	FN(OSSL_FUNC_KEYMGMT_NEW, new),					\
	FN(OSSL_FUNC_KEYMGMT_FREE, key_free),				\
	FN(OSSL_FUNC_KEYMGMT_HAS, key_has),				\
	FN(OSSL_FUNC_KEYMGMT_MATCH, key_match),				\
	FN(OSSL_FUNC_KEYMGMT_IMPORT, key_import),			\
	FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_types),			\
	FN(OSSL_FUNC_KEYMGMT_EXPORT, key_export),			\
	FN(OSSL_FUNC_KEYMGMT_EXPORT_TYPES, key_types),			\
	FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),		\
	FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable),		\
	FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation),		\
	{ 0, NULL }

static const OSSL_DISPATCH keymgmt_rsa[] = { KEYMGMT(key_new_rsa, operation_rsa) };
static const OSSL_DISPATCH keymgmt_ec[] = { KEYMGMT(key_new_ec, operation_ec) };
static const OSSL_DISPATCH keymgmt_ed25519[] = {
	KEYMGMT(key_new_ed25519, operation_ed25519)
};

/* ---- signatures ---- */

static void *
signing_new(void *provider, const char *propq)
{
	(void)provider;
	(void)propq;
	return XNEW(struct signing);
}

static void
signing_free(void *ctx)
{
	xfree(ctx);
}

static unsigned
digest_bits(const char *name)
{
	static const struct {
		const char	*name;
		unsigned	 bits;
	} known[] = {
		{ "SHA2-256", 256 }, { "SHA256", 256 }, { "SHA2-384", 384 },
		{ "SHA384", 384 }, { "SHA2-512", 512 }, { "SHA512", 512 },
		{ "SHA1", 1 },
	};
	size_t i;

	for (i = 0; name != NULL && i < NELEMS(known); i++)
		if (view_caseeq(view_str(name), view_str(known[i].name)))
			return known[i].bits;
	return 0;
}

static int
signing_set(void *ctx, const OSSL_PARAM params[])
{
	struct signing *s = ctx;
	const OSSL_PARAM *p;
	int pad;

	if (params == NULL)
		return 1;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	if (p == NULL)
		return 1;
	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		s->pss = p->data != NULL &&
		    strcmp(p->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0;
	else if (OSSL_PARAM_get_int(p, &pad) == 1)
		s->pss = pad == RSA_PKCS1_PSS_PADDING;
	else
		return 0;
	return 1;
}

static const OSSL_PARAM *
signing_settable(void *ctx, void *provider)
{
	static const OSSL_PARAM known[] = {
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
		OSSL_PARAM_END
	};

	(void)ctx;
	(void)provider;
	return known;
}

static int
signing_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signing *s = ctx;

	s->key = key;
	s->digest = digest_bits(digest);
	s->pss = false;
	return signing_set(ctx, params);
}

/* The code point of RFC 8446 4.2.3; 0: none that a handshake of ours uses. */
static unsigned
signature_scheme(const struct signing *s)
{
	static const unsigned pkcs1[] = { 0x0401, 0x0501, 0x0601 };
	static const unsigned pss[] = { 0x0804, 0x0805, 0x0806 };
	static const unsigned ecdsa[] = { 0x0403, 0x0503, 0x0603 };
	bool rsa = strcmp(s->key->type, "RSA") == 0;
	unsigned i;

	if (strcmp(s->key->type, "ED25519") == 0)
		return 0x0807;
	if (s->digest == 1)
		return s->pss ? 0 : rsa ? 0x0201 : 0x0203;
	if (s->digest == 0)
		return 0;
	i = (s->digest - 256) / 128;
	return !rsa ? ecdsa[i] : s->pss ? pss[i] : pkcs1[i];
}

static int
signing_sign(void *ctx, unsigned char *sig, size_t *len_r, size_t size,
    const unsigned char *tbs, size_t tbs_len)
{
	const struct signing *s = ctx;
	size_t max = (size_t)EVP_PKEY_get_size(s->key->pub);
	unsigned scheme = signature_scheme(s);

	if (sig == NULL) {
		*len_r = max;
		return 1;
	}
	if (s->key->signer == NULL || scheme == 0 || size < max)
		return 0;
	*len_r = max;
	return tls_conn_sign(s->key->signer, s->key->number, scheme,
	    view_of((const char *)tbs, tbs_len), sig, len_r);
}

static const OSSL_DISPATCH signature[] = {
	FN(OSSL_FUNC_SIGNATURE_NEWCTX, signing_new),
	FN(OSSL_FUNC_SIGNATURE_FREECTX, signing_free),
	FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signing_init),
	FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signing_sign),
	FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signing_set),
	FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signing_settable),
	{ 0, NULL }
};

/* ---- the provider ---- */

static const OSSL_ALGORITHM keymgmts[] = {
	{ "RSA:rsaEncryption", PROPERTY, keymgmt_rsa, "RSA keys in certd" },
	{ "EC:id-ecPublicKey", PROPERTY, keymgmt_ec, "EC keys in certd" },
	{ "ED25519", PROPERTY, keymgmt_ed25519, "Ed25519 keys in certd" },
	{ NULL, NULL, NULL, NULL }
};

static const OSSL_ALGORITHM signatures[] = {
	{ "POSTKEEP-RSA", PROPERTY, signature, "RSA by certd" },
	{ "POSTKEEP-EC", PROPERTY, signature, "ECDSA by certd" },
	{ "POSTKEEP-ED25519", PROPERTY, signature, "EdDSA by certd" },
	{ NULL, NULL, NULL, NULL }
};

static const OSSL_ALGORITHM *
provider_query(void *provider, int operation, int *no_cache_r)
{
	(void)provider;
	*no_cache_r = 0;
	switch (operation) {
	case OSSL_OP_KEYMGMT:
		return keymgmts;
	case OSSL_OP_SIGNATURE:
		return signatures;
	}
	return NULL;
}

static const OSSL_DISPATCH provider[] = {
	FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, provider_query),
	{ 0, NULL }
};

static int
provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
    const OSSL_DISPATCH **out, void **ctx)
{
	(void)in;
	*out = provider;
	*ctx = (void *)(uintptr_t)handle;
	return 1;
}

EVP_PKEY *
tls_provider_pkey(struct tls_signer *s, uint64_t number, enum tls_key_kind kind,
    EVP_PKEY *pub)
{
	static const char *const types[] = { "RSA", "EC", "ED25519" };
	struct key_reference ref = { s, number, pub }, *p = &ref;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(REFERENCE, &p, sizeof(p)),
		OSSL_PARAM_construct_end(),
	};
	EVP_PKEY *pkey = NULL;
	EVP_PKEY_CTX *ctx;

	ctx = EVP_PKEY_CTX_new_from_name(library.ctx, types[kind], PROPERTY);
	if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params);
	EVP_PKEY_CTX_free(ctx);
	return pkey;
}

/* ---- the library ---- */

/* A context and a connection of each end touch what libssl fetches late. */
static void
warm_up(void)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(library.ctx, NULL, TLS_method());
	SSL *ssl = ctx != NULL ? SSL_new(ctx) : NULL;
	uint8_t byte;

	if (ssl == NULL || RAND_bytes_ex(library.ctx, &byte, 1, 0) != 1 ||
	    RAND_priv_bytes_ex(library.ctx, &byte, 1, 0) != 1)
		log_fatal(
		    "OpenSSL: %s", ERR_reason_error_string(ERR_get_error()));
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	(void)ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, 1));
}

const struct tls_library *
tls_library(void)
{
	struct tls_library *l = &library;

	if (l->ctx != NULL)
		return l;
	OPENSSL_init_ssl(
	    OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_SSL_STRINGS, NULL);
	l->ctx = OSSL_LIB_CTX_new();
	if (l->ctx == NULL ||
	    OSSL_PROVIDER_add_builtin(l->ctx, "postkeep", provider_init) != 1 ||
	    OSSL_PROVIDER_load(l->ctx, "default") == NULL ||
	    OSSL_PROVIDER_load(l->ctx, "postkeep") == NULL ||
	    EVP_set_default_properties(l->ctx, "?provider=default") != 1)
		log_fatal(
		    "OpenSSL: %s", ERR_reason_error_string(ERR_get_error()));
	l->sha256 = EVP_MD_fetch(l->ctx, "SHA256", NULL);
	l->sha512 = EVP_MD_fetch(l->ctx, "SHA512", NULL);
	l->aes256_cbc = EVP_CIPHER_fetch(l->ctx, "AES-256-CBC", NULL);
	l->hkdf = EVP_KDF_fetch(l->ctx, "HKDF", NULL);
	if (l->sha256 == NULL || l->sha512 == NULL || l->aes256_cbc == NULL ||
	    l->hkdf == NULL || ASYNC_init_thread(FIBRES_MAX, 0) != 1)
		log_fatal("OpenSSL lacks algorithms");
	warm_up();
	return l;
}
