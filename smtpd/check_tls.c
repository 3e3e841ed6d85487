/* SPDX-License-Identifier: ISC */
/*
 * check_tls.c: restrictions about TLS and client certificates.
 *
 * Runs in smtpd. A certificate is known by its fingerprint, or its public
 * key's; the client proved in the handshake that it has the key. Whether a
 * fingerprint is listed in a table is lookupd's answer.
 */
#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "net/tls.h"
#include "smtpd/check_words.h"
#include "smtpd/lookup.h"
#include "smtpd/worker.h"

/* SHA-512 as "aa:bb:..." */
#define FINGERPRINT_MAX	(64 * 3)
/* Postfix's plaintext_reject_code. */
#define PLAINTEXT_CODE	450

CHECK_WORD(reject_plaintext_session)
{
	(void)it;
	if (c->s->tls != NULL)
		return CHECK_DUNNO;
	return check_refuse(c, PLAINTEXT_CODE, "4.7.1", "Session encryption is required");
}

CHECK_WORD(permit_tls_all_clientcerts)
{
	enum tls_trust trust;

	(void)it;
	if (c->s->tls == NULL)
		return CHECK_DUNNO;
	trust = tls_conn_trust(c->s->tls);
	return trust == TLS_TRUST_TRUSTED || trust == TLS_TRUST_VERIFIED ? CHECK_PERMIT :
	    CHECK_DUNNO;
}

/* which: 0 the certificate's, 1 its public key's. False: there is none. */
static bool
fingerprint(const struct session *s, unsigned which, struct buf *b)
{
	const char *digest = s->policy->conf->smtpd_tls_fingerprint_digest;

	buf_reset(b);
	if (s->tls == NULL)
		return false;
	return (which == 0 ? tls_conn_fingerprint(s->tls, digest, b) :
	    tls_conn_pubkey_fingerprint(s->tls, digest, b)) == 0;
}

static bool
is_hex(char c)
{
	return ascii_isdigit(c) || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'f');
}

/* "aa:bb:..." and no table's name. */
static bool
is_fingerprint(struct view v)
{
	size_t i;

	for (i = 0; i < v.len; i++)
		if (i % 3 == 2 ? v.p[i] != ':' : !is_hex(v.p[i]))
			return false;
	return v.len >= 16 * 3 - 1;
}

/* Item n of relay_clientcerts. */
static bool
nth(struct view list, unsigned n, struct view *item)
{
	while (conf_list_next(&list, item))
		if (n-- == 0)
			return true;
	return false;
}

/*
 * step counts over {item, fingerprint}: a table is asked for one after the
 * other, a fingerprint in the list itself is compared.
 */
CHECK_WORD(permit_tls_clientcerts)
{
	struct view list = view_str(c->s->policy->conf->relay_clientcerts), item;
	enum check_result result = CHECK_DUNNO;
	struct buf b;

	(void)it;
	if (c->answered) {
		if (c->answer_error == 0)
			return CHECK_PERMIT;
		if (c->answer_error != PK_ENOENT)
			log_warn("relay_clientcerts does not answer: %s",
			    pk_strerror(c->answer_error));
		c->answered = false;
		c->step++;
	}
	buf_init(&b, FINGERPRINT_MAX);
	while (result == CHECK_DUNNO && nth(list, c->step / 2, &item)) {
		if (!fingerprint(c->s, c->step % 2, &b))
			c->step++;
		else if (!is_fingerprint(item))
			result = lookup_access(c, item, buf_view(&b), ACCESS_EXACT);
		else if (view_caseeq(item, buf_view(&b)))
			result = CHECK_PERMIT;
		else
			c->step++;
	}
	buf_fini(&b);
	return result;
}

/* The certificate's fingerprint first, then its public key's. */
CHECK_WORD(check_ccert_access)
{
	char subject[FINGERPRINT_MAX + 64];
	enum check_result result = CHECK_DUNNO;
	struct buf b;

	buf_init(&b, FINGERPRINT_MAX);
	if (c->answered && c->answer_error == PK_ENOENT && c->step == 0) {
		c->answered = false;
		c->step = 1;
	}
	if (fingerprint(c->s, c->step, &b)) {
		snprintf(subject, sizeof(subject), "<%s>: Client certificate", buf_cstr(&b));
		result = check_access_table(c, it, buf_view(&b), ACCESS_EXACT, subject);
	}
	buf_fini(&b);
	return result;
}
