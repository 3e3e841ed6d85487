/* SPDX-License-Identifier: ISC */
/*
 * certs.c: keys and certificates for the tests of certd.
 */
#include "tests/unit/unit.h"

#include "tests/unit/certd/certs.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBERS 4

EVP_PKEY *
certs_key(enum certs_key kind, unsigned number)
{
	static EVP_PKEY *keys[KEY_KINDS][NUMBERS];
	EVP_PKEY **k = &keys[kind][number];

	if (*k != NULL)
		return *k;
	switch (kind) {
	case KEY_RSA:
		*k = EVP_RSA_gen(2048);
		break;
	case KEY_RSA_1024:
		*k = EVP_RSA_gen(1024);
		break;
	case KEY_P256:
		*k = EVP_EC_gen("P-256");
		break;
	case KEY_P384:
		*k = EVP_EC_gen("P-384");
		break;
	case KEY_P521:
		*k = EVP_EC_gen("P-521");
		break;
	default:
		*k = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
		break;
	}
	assert_non_null(*k);
	return *k;
}

static void
add_extension(X509 *x, const X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, (X509 *)(uintptr_t)issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

X509 *
certs_make(const struct certs_issue *i)
{
	static long serial = 1000;
	const X509 *issuer = i->issuer;
	X509 *x = X509_new();
	char alt[300];
	bool usual = i->from_days == 0 && i->to_days == 0;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), (usual ? -1L : i->from_days) * 86400);
	X509_gmtime_adj(X509_getm_notAfter(x), (usual ? 90L : i->to_days) * 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
	    (const unsigned char *)i->name, -1, -1, 0);
	X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer : x));
	X509_set_pubkey(x, i->key);
	add_extension(x, issuer != NULL ? issuer : x, NID_basic_constraints,
	    i->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
	snprintf(alt, sizeof(alt), "DNS:%s", i->name);
	if (!i->ca)
		add_extension(x, issuer, NID_subject_alt_name, alt);
	if (i->usage != NULL)
		add_extension(x, issuer, NID_ext_key_usage, i->usage);
	EVP_PKEY *by = i->issuer_key != NULL ? i->issuer_key : i->key;
	assert_true(X509_sign(x, by,
	    EVP_PKEY_get_base_id(by) == EVP_PKEY_ED25519 ? NULL : EVP_sha256()) > 0);
	return x;
}

X509 *
certs_self(EVP_PKEY *key)
{
	struct certs_issue i = { .name = "example.test", .key = key };

	return certs_make(&i);
}

/* ---- files ---- */

static char dir[] = "/tmp/certd-test-XXXXXX";
static bool made;

static void
remove_dir(void)
{
	struct dirent *e;
	DIR *d = opendir(dir);

	while (d != NULL && (e = readdir(d)) != NULL)
		(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d != NULL)
		closedir(d);
	(void)rmdir(dir);
}

const char *
certs_dir(void)
{
	if (!made) {
		assert_non_null(mkdtemp(dir));
		made = true;
		atexit(remove_dir);
	}
	return dir;
}

static const char *
path_of(const char *name)
{
	static char paths[16][400];
	static unsigned next;
	char *p = paths[next++ % 16];

	snprintf(p, sizeof(paths[0]), "%s/%s", certs_dir(), name);
	return p;
}

const char *
certs_list(const char *a, const char *b)
{
	static char lists[8][1000];
	static unsigned next;
	char *p = lists[next++ % 8];

	snprintf(p, sizeof(lists[0]), "%s, %s", a, b);
	return p;
}

const char *
certs_write(const char *name, const char *what, ...)
{
	const char *path = path_of(name);
	FILE *f = fopen(path, "w");
	va_list ap;

	assert_non_null(f);
	va_start(ap, what);
	for (; *what != '\0'; what++) {
		if (*what == 'k')
			PEM_write_PrivateKey(f, va_arg(ap, EVP_PKEY *), NULL, NULL, 0, NULL, NULL);
		else
			PEM_write_X509(f, va_arg(ap, X509 *));
	}
	va_end(ap);
	assert_int_equal(fclose(f), 0);
	return path;
}

const char *
certs_write_text(const char *name, const char *text)
{
	const char *path = path_of(name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	return path;
}

void
certs_note(char level, const char *text, void *notes)
{
	struct certs_notes *n = notes;

	buf_printf(&n->text, "%c %s\n", level, text);
}

struct pair *
certs_pair(enum certs_key kind, unsigned flags)
{
	EVP_PKEY *key = certs_key(kind, 0);
	X509 *x = certs_self(key);
	const char *path = certs_write("one.pem", "kc", key, x);
	struct certs_notes notes;
	struct pair_load load;
	struct pair *p = NULL;
	unsigned i;

	buf_init(&notes.text, 10000);
	pair_load_files(view_str(path), flags, &load, certs_note, &notes);
	if (load.errors > 0)
		fail_msg("%s", buf_cstr(&notes.text));
	for (i = 0; i < TLS_KEY_KINDS; i++)
		if (load.pairs[i] != NULL)
			p = pair_ref(load.pairs[i]);
	assert_non_null(p);
	pair_load_fini(&load);
	buf_fini(&notes.text);
	X509_free(x);
	return p;
}
