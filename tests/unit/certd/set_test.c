/* SPDX-License-Identifier: ISC */
/*
 * set_test.c: names, and what goes on being used when files are bad (F15).
 */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <unistd.h>

#include "certd/set.h"
#include "tests/unit/certd/certs.h"

static struct conf *configure(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static struct conf *
configure(const char *fmt, ...)
{
	struct conf *c;
	struct buf b;
	va_list ap;

	buf_init(&b, 10000);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	c = conf_load("main.cf", buf_view(&b), NULL, NULL);
	assert_non_null(c);
	buf_fini(&b);
	return c;
}

/* A pair with key `number`, valid from and to these days, in DIR/name. */
static const char *
write_pair(const char *name, enum certs_key kind, unsigned number, int from, int to)
{
	struct certs_issue i = { .name = "example.test", .key = certs_key(kind, number),
	    .from_days = from, .to_days = to };
	X509 *x = certs_make(&i);
	const char *path = certs_write(name, "kc", i.key, x);

	X509_free(x);
	return path;
}

static struct set *
load(const struct conf *c, struct set **old)
{
	struct set *s;

	log_set_level(LOG_LVL_FATAL);
	s = set_load(c, old != NULL ? *old : NULL);
	if (old != NULL)
		set_free(old);
	return s;
}

static const struct set_row *
row_named(const struct set *s, const char *name)
{
	size_t i, k;

	for (i = 0; i < s->nrows; i++)
		for (k = 0; k < s->rows[i].nnames; k++)
			if (strcmp(s->rows[i].names[k], name) == 0)
				return &s->rows[i];
	return NULL;
}

static void
names_are_folded_and_shared(void **state)
{
	const char *a = write_pair("a.pem", KEY_P256, 0, 0, 90);
	const char *b = write_pair("b.pem", KEY_ED25519, 0, 0, 90);
	struct conf *c = configure("smtpd_tls_chain_files = %s\ntls_server_sni_maps ="
	    " inline:{One.test=%s, .two.test=%s, {*.three.test = %s, %s}, bad_name-.test=%s,"
	    " \xc3\xa4.test=%s, *.*.test=%s, a..test=%s}\n", a, a, a, a, b, b, b, b, b);
	struct set *s = load(c, NULL);

	(void)state;
	assert_int_equal(s->nerrors, 4);
	assert_non_null(row_named(s, "one.test"));
	assert_non_null(row_named(s, "*.two.test"));
	assert_non_null(row_named(s, "*.three.test"));
	assert_ptr_equal(row_named(s, "one.test"), row_named(s, "*.two.test"));
	/* default (EC), the names' EC, the names' Ed25519 */
	assert_int_equal(s->nrows, 3);
	assert_int_equal(s->rows[0].flags, CERT_SERVER | CERT_DEFAULT);
	assert_int_equal(s->fresh, 3);
	set_free(&s);
	conf_free(&c);
}

static void
an_unchanged_load_changes_nothing(void **state)
{
	const char *a = write_pair("c.pem", KEY_P256, 0, 0, 90);
	struct conf *c = configure("smtpd_tls_chain_files = %s\n", a);
	struct conf *moved = configure("smtpd_tls_chain_files =\ntls_server_sni_maps ="
	    " inline:{example.test=%s}\n", a);
	struct set *s = load(c, NULL);
	const struct pair *p = s->rows[0].pair;
	uint64_t number = p->number;

	(void)state;
	s = load(c, &s);
	assert_int_equal(s->nrows, 1);
	assert_ptr_equal(s->rows[0].pair, p);
	assert_true(s->rows[0].pair->number == number && s->fresh == 0 && s->kept == 1);
	/* The same pair under another parameter is the same pair. */
	s = load(moved, &s);
	assert_ptr_equal(s->rows[0].pair, p);
	assert_int_equal(s->rows[0].flags, CERT_SERVER);
	set_free(&s);
	conf_free(&c);
	conf_free(&moved);
}

static void
F15_what_is_bad_changes_nothing(void **state)
{
	static const char *const bad[] = { "", "-----BEGIN CERTIFICATE-----\nYWJj\n",
	    "-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n" };
	const char *ec = write_pair("ec.pem", KEY_P256, 0, 0, 90);
	const char *rsa = write_pair("rsa.pem", KEY_RSA, 0, 0, 90);
	struct conf *c = configure("smtpd_tls_chain_files = %s %s\n", ec, rsa);
	struct set *s = load(c, NULL);
	const struct pair *old_ec = s->rows[0].pair->kind == TLS_KEY_EC ? s->rows[0].pair :
	    s->rows[1].pair;
	size_t i, k, found;

	(void)state;
	for (i = 0; i < NELEMS(bad); i++) {
		certs_write_text("ec.pem", bad[i]);
		s = load(c, &s);
		assert_int_equal(s->nrows, 2);
		assert_int_equal(s->nerrors, 1);
		for (k = 0, found = 0; k < s->nrows; k++)
			found += s->rows[k].pair == old_ec;
		assert_int_equal(found, 1);
	}
	/* The other kind is renewed meanwhile. */
	write_pair("rsa.pem", KEY_RSA, 1, 0, 90);
	s = load(c, &s);
	assert_true(s->nrows == 2 && s->fresh == 1 && s->kept == 1);
	assert_int_equal(unlink(ec), 0);
	s = load(c, &s);
	assert_true(s->nrows == 2 && s->nerrors == 1 && s->kept == 2);
	/* What is no longer named goes. */
	conf_free(&c);
	c = configure("smtpd_tls_chain_files = %s\n", rsa);
	s = load(c, &s);
	assert_true(s->nrows == 1 && s->rows[0].pair->kind == TLS_KEY_RSA);
	set_free(&s);
	conf_free(&c);
}

static void
F15_dates(void **state)
{
	static const struct {
		const char	*name;
		int		 old_from, old_to, new_from, new_to;
		bool		 fresh;
		size_t		 errors;
	} rows[] = {
		{ "good for good", -10, 20, -1, 90, true, 0 },
		{ "expired for good", -10, 20, -90, -1, false, 1 },
		{ "not yet for good", -10, 20, 5, 90, false, 1 },
		{ "good for expired", -90, -1, -1, 90, true, 0 },
		{ "expired for expired", -90, -10, -90, -1, true, 0 },
		{ "not yet for expired", -90, -10, 1, 90, true, 0 },
	};
	struct conf *c = configure("smtpd_tls_chain_files = %s/d.pem\n", certs_dir());
	const struct pair *old;
	struct set *s;
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(rows); i++) {
		write_pair("d.pem", KEY_P256, 0, rows[i].old_from, rows[i].old_to);
		s = load(c, NULL);
		CHECK_INT(rows[i].name, s->nrows, 1);
		old = s->rows[0].pair;
		write_pair("d.pem", KEY_P256, 1, rows[i].new_from, rows[i].new_to);
		s = load(c, &s);
		CHECK_INT(rows[i].name, s->nrows, 1);
		CHECK(rows[i].name, (s->rows[0].pair != old) == rows[i].fresh);
		CHECK_INT(rows[i].name, s->nerrors, rows[i].errors);
		set_free(&s);
	}
	conf_free(&c);
}

static void
F15_a_broken_table_keeps_its_names(void **state)
{
	const char *a = write_pair("e.pem", KEY_P256, 0, 0, 90);
	char line[1000];
	const char *table;
	struct conf *c;
	struct set *s;

	(void)state;
	snprintf(line, sizeof(line), "one.test %s\ntwo.test %s\n", a, a);
	table = certs_write_text("sni", line);
	c = configure("tls_server_sni_maps = texthash:%s\n", table);
	s = load(c, NULL);
	assert_non_null(row_named(s, "two.test"));
	certs_write_text("sni", "one.test\n");
	s = load(c, &s);
	assert_true(s->nerrors == 1 && row_named(s, "one.test") != NULL &&
	    row_named(s, "two.test") != NULL && s->fresh == 0);
	snprintf(line, sizeof(line), "one.test %s\n", a);
	certs_write_text("sni", line);
	s = load(c, &s);
	assert_true(s->nerrors == 0 && row_named(s, "one.test") != NULL &&
	    row_named(s, "two.test") == NULL);
	set_free(&s);
	conf_free(&c);
}

static void
tables_that_cannot_be_listed_are_refused(void **state)
{
	struct conf *c = configure("tls_server_sni_maps = static:/x.pem\n");
	struct set *s = load(c, NULL);

	(void)state;
	assert_int_equal(s->nerrors, 1);
	assert_non_null(strstr(s->errors[0], "use inline: or texthash:"));
	set_free(&s);
	conf_free(&c);
}

UNIT_MAIN(cmocka_unit_test(names_are_folded_and_shared),
    cmocka_unit_test(an_unchanged_load_changes_nothing),
    cmocka_unit_test(F15_what_is_bad_changes_nothing), cmocka_unit_test(F15_dates),
    cmocka_unit_test(F15_a_broken_table_keeps_its_names),
    cmocka_unit_test(tables_that_cannot_be_listed_are_refused))
