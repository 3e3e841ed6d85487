/* SPDX-License-Identifier: ISC */
/*
 * tls_params.c: Postfix's words for protocols, ciphers, curves, CAs.
 *
 * Runs when a context is made, with the role's rights before the
 * confinement: files of trust anchors are read whole, so that nothing is
 * opened later. The words are the administrator's; a wrong one is named
 * with its parameter.
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "net/tls_internal.h"

#define LIST_MAX	8192
/* What a folder of CAs may hold. */
#define ANCHORS_MAX	10000

/* ---- protocols ---- */

static const struct {
	const char	*name, *hex;
	int		 version;
	uint64_t	 off;
} protocols[] = {
	{ "SSLv2", "0200", 0, 0 },
	{ "SSLv3", "0300", SSL3_VERSION, SSL_OP_NO_SSLv3 },
	{ "TLSv1", "0301", TLS1_VERSION, SSL_OP_NO_TLSv1 },
	{ "TLSv1.1", "0302", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1 },
	{ "TLSv1.2", "0303", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2 },
	{ "TLSv1.3", "0304", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3 },
};

static size_t
find_protocol(struct view word)
{
	size_t i;

	for (i = 0; i < NELEMS(protocols); i++)
		if (view_caseeq(word, view_str(protocols[i].name)) ||
		    view_caseeq(word, view_str(protocols[i].hex)))
			return i;
	return NELEMS(protocols);
}

/* One word: a bound, an exclusion or an inclusion. */
static bool
take_protocol(struct view word, struct tls_protocols *p, uint64_t *included)
{
	bool least = view_starts(word, VIEW(">="));
	bool greatest = view_starts(word, VIEW("<="));
	bool not = view_starts(word, VIEW("!"));
	size_t i = find_protocol(view_from(word, least || greatest ? 2 : not ));

	if (i == NELEMS(protocols) ||
	    (protocols[i].version == 0 && !not &&!least))
		return false;
	if (least)
		p->least = protocols[i].version;
	else if (greatest)
		p->greatest = protocols[i].version;
	else if (not )
		p->options |= protocols[i].off;
	else
		*included |= protocols[i].off;
	return true;
}

/* Versions that a list of plain names does not name are off. */
static void
only_included(struct tls_protocols *p, uint64_t included)
{
	size_t i;

	if (included == 0)
		return;
	for (i = 1; i < NELEMS(protocols); i++)
		if ((included & protocols[i].off) == 0)
			p->options |= protocols[i].off;
}

static bool
any_left(const struct tls_protocols *p)
{
	size_t i;

	for (i = 1; i < NELEMS(protocols); i++)
		if ((p->least == 0 || protocols[i].version >= p->least) &&
		    (p->greatest == 0 || protocols[i].version <= p->greatest) &&
		    (p->options & protocols[i].off) == 0)
			return true;
	return false;
}

int
tls_params_protocols(const char *param, const char *value,
    struct tls_protocols *p_r, struct buf *why)
{
	struct tls_protocols p = { 0, 0, 0 };
	struct view list = view_str(value), word;
	uint64_t included = 0;

	while (view_next(&list, ", \t\r\n:", &word)) {
		if (take_protocol(word, &p, &included))
			continue;
		buf_printf(why,
		    "%s: \"%.*s\" in \"%s\" is no protocol: write"
		    " >=TLSv1.2, !TLSv1.1 or TLSv1.3",
		    param, VIEW_ARG(word), value);
		return PK_ESYNTAX;
	}
	only_included(&p, included);
	if (!any_left(&p)) {
		buf_printf(why, "%s: \"%s\" leaves no protocol", param, value);
		return PK_ESYNTAX;
	}
	*p_r = p;
	return 0;
}

/* ---- ciphers ---- */

/* Classes that this OpenSSL may not have any more, yet configurations name. */
static bool
is_cipher_class(struct view word)
{
	static const char *const known[] = {
		"aNULL", "eNULL", "NULL", "EXPORT", "EXPORT40", "EXPORT56",
		"EXP", "LOW", "MEDIUM", "HIGH", "SSLv2", "SSLv3", "TLSv1",
		"RC2", "RC4", "RC5", "MD5", "DES", "3DES", "IDEA", "SEED",
		"CAMELLIA", "ARIA", "AES", "AES128", "AES256", "AESGCM",
		"AESCCM", "AESCCM8", "CHACHA20", "GOST", "GOST94", "GOST89MAC",
		"SHA", "SHA1", "SHA256", "SHA384", "kRSA", "aRSA", "RSA",
		"kDH", "kDHr", "kDHd", "DH", "kDHE", "kEDH", "DHE", "EDH",
		"ADH", "kECDH", "kECDHr", "kECDHe", "ECDH", "kECDHE", "kEECDH",
		"ECDHE", "EECDH", "AECDH", "aDH", "aDSS", "DSS", "aECDH",
		"aECDSA", "ECDSA", "PSK", "kPSK", "aPSK", "SRP", "kSRP",
		"KRB5", "kKRB5", "aKRB5", "FZA", "kFZA", "aFZA", "eFZA",
	};
	size_t i;

	for (i = 0; i < NELEMS(known); i++)
		if (view_caseeq(word, view_str(known[i])))
			return true;
	return false;
}

/* A class, classes joined by +, or what may be a cipher's name ("A-B"). */
static bool
cipher_word_ok(struct view word)
{
	struct view part, rest = word;
	size_t i;

	if (word.len == 0 || word.len > 64)
		return false;
	for (i = 0; i < word.len; i++)
		if (!ascii_isalnum(word.p[i]) &&
		    strchr("-_+", word.p[i]) == NULL)
			return false;
	if (view_find(word, '-') > 0 || view_find(word, '_') > 0)
		return true;
	while (view_next(&rest, "+", &part))
		if (!is_cipher_class(part))
			return false;
	return true;
}

static int
put_excluded(const char *param, const char *value, struct buf *list,
    struct buf *why)
{
	struct view rest = view_str(value), word;

	while (view_next(&rest, ", \t\r\n:", &word)) {
		if (!cipher_word_ok(word)) {
			buf_printf(why,
			    "%s: \"%.*s\" in \"%s\" is no cipher and"
			    " no class of ciphers",
			    param, VIEW_ARG(word), value);
			return PK_ESYNTAX;
		}
		buf_put_str(list, ":!");
		buf_put_view(list, word);
	}
	return 0;
}

/* Does OpenSSL find anything in it? */
static bool
list_gives_ciphers(const char *list)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(tls_library()->ctx, NULL, TLS_method());
	bool ok;

	if (ctx == NULL)
		return false;
	SSL_CTX_set_security_level(ctx, 0);
	ok = SSL_CTX_set_cipher_list(ctx, list) == 1;
	SSL_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

int
tls_params_ciphers(const struct conf *conf, const struct tls_cipher_words *w,
    struct buf *list_r, struct buf *why)
{
	const char *base, *param;
	unsigned i;

	if (strcmp(w->grade, "high") == 0) {
		param = "tls_high_cipherlist";
		base = conf->tls_high_cipherlist;
	} else if (strcmp(w->grade, "medium") == 0) {
		param = "tls_medium_cipherlist";
		base = conf->tls_medium_cipherlist;
	} else if (strcmp(w->grade, "null") == 0) {
		param = w->grade_param;
		base = "eNULL:!aNULL";
	} else {
		buf_printf(why, "%s: \"%s\" is not high, medium or null",
		    w->grade_param, w->grade);
		return PK_ESYNTAX;
	}
	buf_put_str(list_r, base);
	for (i = 0; i < 2; i++)
		if (w->exclude[i] != NULL &&
		    put_excluded(
			w->exclude_param[i], w->exclude[i], list_r, why) != 0)
			return PK_ESYNTAX;
	if (w->always != NULL)
		buf_put_str(list_r, w->always);
	if (buf_error(list_r) == 0 && list_gives_ciphers(buf_cstr(list_r)))
		return 0;
	buf_printf(why, "%s = %s leaves no cipher (%s)", param, base,
	    buf_error(list_r) == 0 ? buf_cstr(list_r) : "too long");
	return PK_ESYNTAX;
}

/* ---- curves, digests ---- */

int
tls_params_curves(const char *param, const char *value, struct buf *list_r,
    struct buf *why)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(tls_library()->ctx, NULL, TLS_method());
	struct view rest = view_str(value), word;
	char name[64];
	int error = 0;

	while (error == 0 && view_next(&rest, ", \t\r\n:", &word)) {
		if (word.len < sizeof(name)) {
			memcpy(name, word.p, word.len);
			name[word.len] = '\0';
		}
		if (ctx == NULL || word.len >= sizeof(name) ||
		    SSL_CTX_set1_groups_list(ctx, name) != 1) {
			buf_printf(why,
			    "%s: \"%.*s\" in \"%s\" is no group for"
			    " a key exchange",
			    param, VIEW_ARG(word), value);
			error = PK_ESYNTAX;
			break;
		}
		if (list_r->len > 0)
			buf_put_char(list_r, ':');
		buf_put_view(list_r, word);
	}
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return error;
}

EVP_MD *
tls_params_digest(const char *name)
{
	static struct {
		const char	*name;
		EVP_MD		*md;
	} known[] = {
		{ "sha256", NULL }, { "sha384", NULL }, { "sha512", NULL },
		{ "sha1", NULL }, { "md5", NULL },
	};
	size_t i;

	for (i = 0; i < NELEMS(known); i++) {
		if (!view_caseeq(view_str(name), view_str(known[i].name)))
			continue;
		if (known[i].md == NULL)
			known[i].md = EVP_MD_fetch(tls_library()->ctx,
			    known[i].name, NULL);
		return known[i].md;
	}
	return NULL;
}

/* ---- trust anchors ---- */

static size_t
store_add(X509_STORE *store, STACK_OF(X509_INFO) *infos,
    STACK_OF(X509_NAME) *names)
{
	X509_NAME *name;
	size_t n = 0;
	X509 *x;
	int i;

	for (i = 0; i < sk_X509_INFO_num(infos) && n < ANCHORS_MAX; i++) {
		x = sk_X509_INFO_value(infos, i)->x509;
		if (x == NULL || X509_STORE_add_cert(store, x) != 1)
			continue;
		n++;
		if (names == NULL)
			continue;
		name = X509_NAME_dup(X509_get_subject_name(x));
		if (name != NULL && sk_X509_NAME_push(names, name) <= 0)
			X509_NAME_free(name);
	}
	return n;
}

/* How many anchors it had; -1: cannot be read. */
static long
load_file(X509_STORE *store, const char *path, STACK_OF(X509_NAME) *names)
{
	BIO *bio = BIO_new_file(path, "r");
	STACK_OF(X509_INFO) * infos;
	long n = 0;

	if (bio == NULL)
		return -1;
	infos = PEM_X509_INFO_read_bio_ex(
	    bio, NULL, NULL, NULL, tls_library()->ctx, NULL);
	BIO_free(bio);
	if (infos != NULL)
		n = (long)store_add(store, infos, names);
	sk_X509_INFO_pop_free(infos, X509_INFO_free);
	ERR_clear_error();
	return n;
}

/* Each file in it, whatever its name: c_rehash's links lead to the same ones. */
static long
load_folder(X509_STORE *store, const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	long n = 0, got;
	char *file;

	if (d == NULL)
		return -1;
	while ((e = readdir(d)) != NULL && n < ANCHORS_MAX) {
		if (e->d_name[0] == '.')
			continue;
		/* A link's name is the hash of a subject: its target is here too, or else. */
		file = xasprintf("%s/%s", path, e->d_name);
		got = load_file(store, file, NULL);
		xfree(file);
		if (got > 0)
			n += got;
	}
	closedir(d);
	return n;
}

static void
load_system(X509_STORE *store)
{
	(void)load_file(store, X509_get_default_cert_file(), NULL);
	(void)load_folder(store, X509_get_default_cert_dir());
}

static X509_STORE *
read_trust(const char *file_param, const char *file, const char *path_param,
    const char *path, bool append_default, STACK_OF(X509_NAME) **names_r,
    struct buf *why)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509_NAME) *names = NULL;
	long n;

	if (store == NULL)
		return NULL;
	if (names_r != NULL)
		names = sk_X509_NAME_new_null();
	if (file[0] != '\0') {
		n = load_file(store, file, names);
		if (n <= 0) {
			buf_printf(why, "%s: %s: %s", file_param, file,
			    n == 0 ? "no certificate in it" : "cannot be read");
			goto bad;
		}
	}
	if (path[0] != '\0' && load_folder(store, path) == -1) {
		buf_printf(why, "%s: %s: cannot be read", path_param, path);
		goto bad;
	}
	if (append_default)
		load_system(store);
	if (names_r != NULL)
		*names_r = names;
	return store;
bad:
	sk_X509_NAME_pop_free(names, X509_NAME_free);
	X509_STORE_free(store);
	return NULL;
}

/*
 * What was read stays for the life of the process: at a reload the files are
 * out of reach, and a change of their names is a restart.
 */
struct trust {
	char		*key;
	X509_STORE	*store;
	STACK_OF(X509_NAME) *names;
	struct trust	*next;
};
static struct trust *trusts;

X509_STORE *
tls_params_trust(const char *file_param, const char *file,
    const char *path_param, const char *path, bool append_default,
    STACK_OF(X509_NAME) **names_r, struct buf *why)
{
	char *key = xasprintf("%s|%s|%d", file, path, append_default);
	struct trust *t;

	for (t = trusts; t != NULL && strcmp(t->key, key) != 0; t = t->next)
		;
	if (t == NULL) {
		t = XNEW(struct trust);
		t->store = read_trust(file_param, file, path_param, path,
		    append_default, &t->names, why);
		if (t->store == NULL) {
			xfree(t);
			xfree(key);
			return NULL;
		}
		t->key = key;
		t->next = trusts;
		trusts = t;
	} else {
		xfree(key);
	}
	(void)X509_STORE_up_ref(t->store);
	if (names_r != NULL)
		*names_r = SSL_dup_CA_list(t->names);
	return t->store;
}
