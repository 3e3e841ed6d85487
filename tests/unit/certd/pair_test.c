/* SPDX-License-Identifier: ISC */
/*
 * pair_test.c: which keys and chains are used, and what is said of the others.
 */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/certd/certs.h"

static struct certs_notes notes;
static struct pair_load load;

static void
load_files(const char *files, unsigned flags)
{
	buf_fini(&notes.text);
	buf_init(&notes.text, 20000);
	pair_load_fini(&load);
	pair_load_files(view_str(files), flags, &load, certs_note, &notes);
}

static bool
said(const char *text)
{
	return strstr(buf_cstr(&notes.text), text) != NULL;
}

/* ---- what is taken ---- */

static void
every_kind_loads(void **state)
{
	static const struct {
		enum certs_key	 key;
		enum tls_key_kind kind;
		const char	*text;
	} rows[] = {
		{ KEY_RSA, TLS_KEY_RSA, "RSA 2048" },
		{ KEY_P256, TLS_KEY_EC, "EC P-256" },
		{ KEY_P384, TLS_KEY_EC, "EC P-384" },
		{ KEY_ED25519, TLS_KEY_ED25519, "Ed25519" },
	};
	struct pair *p;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		p = certs_pair(rows[i].key, CERT_SERVER);
		CHECK_INT(rows[i].text, p->kind, rows[i].kind);
		assert_string_equal(pair_key_text(p), rows[i].text);
		CHECK_INT(rows[i].text, p->nchain, 1);
		CHECK(rows[i].text, pair_covers(p, "example.test"));
		CHECK(rows[i].text, !pair_covers(p, "other.test"));
		pair_unref(&p);
	}
}

static void
order_in_files_does_not_matter(void **state)
{
	EVP_PKEY *rsa = certs_key(KEY_RSA, 0), *ec = certs_key(KEY_P256, 0);
	X509 *cr = certs_self(rsa), *ce = certs_self(ec);
	const char *files;
	size_t i;
	const char *rows[5];

	(void)state;
	rows[0] = certs_write("a.pem", "kckc", rsa, cr, ec, ce);
	rows[1] = certs_write("b.pem", "ckck", cr, rsa, ce, ec);
	rows[2] = certs_list(certs_write("c1.pem", "kc", rsa, cr),
	    certs_write("c2.pem", "ck", ce, ec));
	rows[3] = certs_list(
	    certs_list(certs_write("d1.pem", "k", rsa), certs_write("d2.pem", "c", cr)),
	    certs_list(certs_write("d3.pem", "k", ec), certs_write("d4.pem", "c", ce)));
	rows[4] = certs_list(
	    certs_list(certs_write("e1.pem", "c", cr), certs_write("e2.pem", "k", rsa)),
	    certs_list(certs_write("e3.pem", "c", ce), certs_write("e4.pem", "k", ec)));
	for (i = 0; i < NELEMS(rows); i++) {
		files = rows[i];
		load_files(files, CERT_SERVER);
		CHECK_INT(files, load.errors, 0);
		CHECK(files, load.pairs[TLS_KEY_RSA] != NULL);
		CHECK(files, load.pairs[TLS_KEY_EC] != NULL);
		CHECK(files, load.pairs[TLS_KEY_ED25519] == NULL);
		CHECK_INT(files, notes.text.len, 0);
	}
	X509_free(cr);
	X509_free(ce);
}

/* A root, a CA below it and a leaf; the CA's key is of another kind. */
struct chain {
	X509		*root, *ca, *leaf;
	EVP_PKEY	*key;
};

static struct chain
make_chain(int ca_to_days)
{
	EVP_PKEY *rk = certs_key(KEY_P384, 1), *ck = certs_key(KEY_RSA, 1);
	struct chain c = { .key = certs_key(KEY_P256, 0) };
	struct certs_issue i = { .name = "Root", .key = rk, .ca = true };

	c.root = certs_make(&i);
	i = (struct certs_issue){ .name = "CA", .key = ck, .ca = true, .issuer = c.root,
	    .issuer_key = rk, .from_days = -100, .to_days = ca_to_days };
	c.ca = certs_make(&i);
	i = (struct certs_issue){ .name = "example.test", .key = c.key, .issuer = c.ca,
	    .issuer_key = ck, .usage = "serverAuth" };
	c.leaf = certs_make(&i);
	return c;
}

static void
chain_fini(struct chain *c)
{
	X509_free(c->root);
	X509_free(c->ca);
	X509_free(c->leaf);
}

static void
chains_are_kept_in_order(void **state)
{
	struct chain c = make_chain(100);

	(void)state;
	load_files(certs_write("f.pem", "kccc", c.key, c.leaf, c.ca, c.root), CERT_SERVER);
	assert_int_equal(load.errors, 0);
	assert_int_equal(load.pairs[TLS_KEY_EC]->nchain, 3);
	/* The chain's certificates in a file of their own. */
	load_files(certs_list(certs_write("g1.pem", "kc", c.key, c.leaf),
	    certs_write("g2.pem", "cc", c.ca, c.root)), CERT_SERVER);
	assert_int_equal(load.errors, 0);
	assert_int_equal(load.pairs[TLS_KEY_EC]->nchain, 3);
	chain_fini(&c);
}

static void
an_expired_ca_is_a_warning(void **state)
{
	struct chain c = make_chain(-2);

	(void)state;
	load_files(certs_write("h.pem", "kcc", c.key, c.leaf, c.ca), CERT_SERVER);
	assert_int_equal(load.errors, 0);
	assert_true(said("w ") && said("certificate 2, a CA's, expired on"));
	chain_fini(&c);
}

static void
second_of_a_kind_is_left_out(void **state)
{
	X509 *a = certs_self(certs_key(KEY_P256, 0)), *b = certs_self(certs_key(KEY_P384, 0));

	(void)state;
	load_files(certs_write("i.pem", "kckc", certs_key(KEY_P256, 0), a,
	    certs_key(KEY_P384, 0), b), CERT_SERVER);
	assert_int_equal(load.errors, 0);
	assert_true(said("a second EC pair"));
	assert_string_equal(pair_key_text(load.pairs[TLS_KEY_EC]), "EC P-256");
	X509_free(a);
	X509_free(b);
}

/* ---- what is refused ---- */

static void
F15_bad_pairs_are_refused(void **state)
{
	struct chain c = make_chain(100);
	X509 *small = certs_self(certs_key(KEY_RSA_1024, 0));
	X509 *curve = certs_self(certs_key(KEY_P521, 0));
	X509 *other = certs_self(certs_key(KEY_P256, 1));
	struct certs_issue i = { .name = "example.test", .key = certs_key(KEY_P256, 0),
	    .usage = "clientAuth" };
	X509 *client = certs_make(&i);
	const struct {
		const char	*name, *path, *text;
	} rows[] = {
		{ "key of another", certs_write("j1.pem", "kc", certs_key(KEY_P256, 0), other),
		    "the private key is not that of the first certificate" },
		{ "kind of another", certs_write("j2.pem", "kc", certs_key(KEY_RSA, 0), other),
		    "the private key is not that of the first certificate" },
		{ "CA first", certs_write("j3.pem", "kcc", c.key, c.ca, c.leaf),
		    "the private key is not that of the first certificate" },
		{ "out of order", certs_write("j4.pem", "kccc", c.key, c.leaf, c.root, c.ca),
		    "certificate 1 is not signed by certificate 2" },
		{ "gap at the end", certs_write("j5.pem", "kccc", c.key, c.leaf, c.ca, other),
		    "certificate 2 is not signed by certificate 3" },
		{ "small RSA", certs_write("j6.pem", "kc", certs_key(KEY_RSA_1024, 0), small),
		    "1024 bits" },
		{ "another curve", certs_write("j7.pem", "kc", certs_key(KEY_P521, 0), curve),
		    "make one on P-256 or P-384" },
	};
	const char *client_path = certs_write("j8.pem", "kc", certs_key(KEY_P256, 0), client);
	size_t n;

	(void)state;
	for (n = 0; n < NELEMS(rows); n++) {
		load_files(rows[n].path, CERT_SERVER);
		CHECK_INT(rows[n].name, load.errors, 1);
		CHECK(rows[n].name, said(rows[n].path));
		CHECK(rows[n].name, said(rows[n].text));
		CHECK(rows[n].name, load.pairs[TLS_KEY_EC] == NULL);
		CHECK(rows[n].name, load.pairs[TLS_KEY_RSA] == NULL);
	}
	load_files(client_path, CERT_SERVER);
	assert_true(load.errors == 1 && said("have one issued for serverAuth"));
	load_files(client_path, CERT_CLIENT);
	assert_true(load.errors == 0 && load.pairs[TLS_KEY_EC] != NULL);
	chain_fini(&c);
	X509_free(small);
	X509_free(curve);
	X509_free(other);
	X509_free(client);
}

static void
half_pairs_are_refused(void **state)
{
	X509 *x = certs_self(certs_key(KEY_P256, 0));

	(void)state;
	load_files(certs_write("k1.pem", "k", certs_key(KEY_P256, 0)), CERT_SERVER);
	assert_true(load.errors == 1 && said("a private key without its certificate"));
	load_files(certs_write("k2.pem", "c", x), CERT_SERVER);
	assert_true(load.errors == 1 && said("certificates without a private key"));
	load_files(certs_write_text("k3.pem", "nothing of the kind\n"), CERT_SERVER);
	assert_true(load.errors == 1 && said("no PEM key or certificate in it"));
	load_files("/nowhere/k4.pem", CERT_SERVER);
	assert_true(load.errors == 1 && said("/nowhere/k4.pem: No such file"));
	load_files("k5.pem", CERT_SERVER);
	assert_true(load.errors == 1 && said("begins with /"));
	/* The missing file is the one complaint; its certificate's is not another. */
	load_files(certs_list("/nowhere/key.pem", certs_write("k6.pem", "c", x)), CERT_SERVER);
	assert_int_equal(load.errors, 1);
	X509_free(x);
}

static void
one_bad_pair_does_not_take_the_other(void **state)
{
	X509 *good = certs_self(certs_key(KEY_RSA, 0)), *other = certs_self(certs_key(KEY_P256, 1));

	(void)state;
	load_files(certs_write("l.pem", "kckc", certs_key(KEY_P256, 0), other,
	    certs_key(KEY_RSA, 0), good), CERT_SERVER);
	assert_int_equal(load.errors, 1);
	assert_null(load.pairs[TLS_KEY_EC]);
	assert_non_null(load.pairs[TLS_KEY_RSA]);
	X509_free(good);
	X509_free(other);
}

static void
permission_denied_says_so(void **state)
{
	X509 *x = certs_self(certs_key(KEY_P256, 0));
	const char *path = certs_write("m.pem", "kc", certs_key(KEY_P256, 0), x);

	(void)state;
	X509_free(x);
	if (geteuid() == 0) {
		print_message("root may read everything\n");
		skip();
	}
	assert_int_equal(chmod(path, 0), 0);
	load_files(path, CERT_SERVER);
	assert_true(load.errors == 1 && said("Permission denied: certd cannot read it"));
}

static void
over(void **state)
{
	(void)state;
	buf_fini(&notes.text);
	pair_load_fini(&load);
}

UNIT_MAIN(cmocka_unit_test(every_kind_loads), cmocka_unit_test(order_in_files_does_not_matter),
    cmocka_unit_test(chains_are_kept_in_order), cmocka_unit_test(an_expired_ca_is_a_warning),
    cmocka_unit_test(second_of_a_kind_is_left_out), cmocka_unit_test(F15_bad_pairs_are_refused),
    cmocka_unit_test(half_pairs_are_refused),
    cmocka_unit_test(one_bad_pair_does_not_take_the_other),
    cmocka_unit_test(permission_denied_says_so),
    cmocka_unit_test(over))
