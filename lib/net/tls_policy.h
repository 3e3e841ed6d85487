/* SPDX-License-Identifier: ISC */
/*
 * tls_policy.h: how TLS is to be used with a next hop: smtp_tls_security_level
 * and the rows of smtp_tls_policy_maps, in Postfix's syntax:
 *
 *	level [attribute=value ...]
 *
 * none, may, encrypt, dane, dane-only, fingerprint, verify, secure; match=
 * (verify, secure: names parted by ':'; fingerprint: parted by '|'),
 * protocols=, ciphers=, exclude=, servername=.
 */
#ifndef PK_NET_TLS_POLICY_H
#define PK_NET_TLS_POLICY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/view.h"
#include "conf/conf.h"

/* In order of what they ask for; from ENCRYPT on nothing goes out in clear. */
enum tls_policy_level {
	TLS_POLICY_NONE,
	TLS_POLICY_MAY,
	TLS_POLICY_ENCRYPT,
	TLS_POLICY_DANE,	/* may, where there are no TLSA records */
	TLS_POLICY_DANE_ONLY,
	TLS_POLICY_FINGERPRINT,
	TLS_POLICY_VERIFY,
	TLS_POLICY_SECURE,
	TLS_POLICY_LEVELS
};

const char *tls_policy_level_name(enum tls_policy_level level);
/* PK_ESYNTAX. */
int	tls_policy_level_parse(struct view v, enum tls_policy_level *level_r);

/* NULL: the parameter of the transport counts. */
struct tls_policy {
	enum tls_policy_level level;
	char		*match;
	char		*protocols, *ciphers, *exclude, *servername;
};

/* Of the configuration alone. */
void	tls_policy_init(struct tls_policy *p, const struct conf *conf);
void	tls_policy_fini(struct tls_policy *p);
/*
 * Takes a row instead of what p was. PK_ESYNTAX with one line in why (may be
 * NULL): then the next hop gets no mail, rather than mail without its policy.
 */
int	tls_policy_parse(struct tls_policy *p, struct view row, struct buf *why);

/* Keys of one next hop: it as it is and, for a plain domain, ".parent"s. */
#define TLS_POLICY_KEYS_MAX	130
/* Key n; false: there are no more. */
bool	tls_policy_key(struct view nexthop, unsigned n, struct view *key_r);

#endif
