/* SPDX-License-Identifier: ISC */
/*
 * pem_test.c: PEM blocks, and what is none.
 */
#include "tests/unit/unit.h"

#include "certd/pem.h"
#include "tests/unit/certd/certs.h"

#define CERT(body) "-----BEGIN CERTIFICATE-----\n" body "\n-----END CERTIFICATE-----\n"

static void
blocks_are_found(void **state)
{
	static const struct {
		const char	*name, *text;
		enum pem_kind	 kind;
		unsigned	 line;
		const char	*der;
	} rows[] = {
		{ "plain", CERT("YWJj"), PEM_CERTIFICATE, 1, "abc" },
		{ "text in front", "Subject: x\nfoo\n" CERT("YWJj"), PEM_CERTIFICATE, 3, "abc" },
		{ "CRLF", "-----BEGIN CERTIFICATE-----\r\nYWJj\r\n-----END CERTIFICATE-----\r\n",
		    PEM_CERTIFICATE, 1, "abc" },
		{ "blanks at line ends", CERT("YW  \nJj\t"), PEM_CERTIFICATE, 1, "abc" },
		{ "no line end at the end",
		    "-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----", PEM_KEY, 1,
		    "abc" },
		{ "RSA", "-----BEGIN RSA PRIVATE KEY-----\nYWJj\n-----END RSA PRIVATE KEY-----\n",
		    PEM_KEY, 1, "abc" },
		{ "EC behind its parameters",
		    "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n"
		    "-----BEGIN EC PRIVATE KEY-----\nYWJj\n-----END EC PRIVATE KEY-----\n",
		    PEM_KEY, 4, "abc" },
	};
	struct pem_reader r;
	struct pem_block b;
	struct buf why;
	size_t i;

	(void)state;
	buf_init(&why, 1000);
	for (i = 0; i < NELEMS(rows); i++) {
		pem_reader_init(&r, view_str(rows[i].text));
		CHECK_INT(rows[i].name, pem_next(&r, &b, &why), 0);
		CHECK_INT(rows[i].name, b.kind, rows[i].kind);
		CHECK_INT(rows[i].name, b.line, rows[i].line);
		CHECK_VIEW(rows[i].name, view_of((char *)b.der, b.len), rows[i].der);
		pem_block_fini(&b);
		CHECK_INT(rows[i].name, pem_next(&r, &b, &why), PK_EEND);
	}
	buf_fini(&why);
}

static void
rubbish_is_named(void **state)
{
	static const struct {
		const char	*name, *text;
		int		 error;
		const char	*why;
	} rows[] = {
		{ "nothing", "", PK_EEND, "" },
		{ "text", "hello\n-----BEGIN\n", PK_EEND, "" },
		{ "no end", "-----BEGIN CERTIFICATE-----\nYWJj\n", PK_ESYNTAX, "without its END" },
		{ "another end", "-----BEGIN CERTIFICATE-----\nYWJj\n-----END PRIVATE KEY-----\n",
		    PK_ESYNTAX, "without its END" },
		{ "begin in begin", "-----BEGIN CERTIFICATE-----\nYWJj\n" CERT("YWJj"), PK_ESYNTAX,
		    "line 1: " },
		{ "no base64", CERT("YW!j"), PK_ESYNTAX, "no base64" },
		{ "half base64", CERT("YWJ"), PK_ESYNTAX, "no base64" },
		{ "empty", CERT(""), PK_ESYNTAX, "no base64" },
		{ "PKCS 8 with a pass phrase", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nYWJj\n"
		    "-----END ENCRYPTED PRIVATE KEY-----\n", PK_EUNSUPPORTED, "pass phrase" },
		{ "older form with one", "\n-----BEGIN RSA PRIVATE KEY-----\n"
		    "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nYWJj\n"
		    "-----END RSA PRIVATE KEY-----\n", PK_EUNSUPPORTED, "line 2: the key has a" },
	};
	struct pem_reader r;
	struct pem_block b;
	struct buf why;
	size_t i;

	(void)state;
	buf_init(&why, 1000);
	for (i = 0; i < NELEMS(rows); i++) {
		buf_reset(&why);
		pem_reader_init(&r, view_str(rows[i].text));
		CHECK_INT(rows[i].name, pem_next(&r, &b, &why), rows[i].error);
		CHECK(rows[i].name, strstr(buf_cstr(&why), rows[i].why) != NULL);
	}
	buf_fini(&why);
}

static void
length_is_limited(void **state)
{
	size_t n = PEM_DER_MAX / 3 * 4 + 8;
	char *body = xmalloc(n + 1), *text;
	struct pem_reader r;
	struct pem_block b;
	struct buf why;

	(void)state;
	memset(body, 'A', n);
	body[n] = '\0';
	text = xasprintf("-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", body);
	buf_init(&why, 1000);
	pem_reader_init(&r, view_str(text));
	assert_int_equal(pem_next(&r, &b, &why), PK_ELIMIT);
	buf_fini(&why);
	xfree(body);
	xfree(text);
}

UNIT_MAIN(cmocka_unit_test(blocks_are_found), cmocka_unit_test(rubbish_is_named),
    cmocka_unit_test(length_is_limited))
