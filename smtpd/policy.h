/* SPDX-License-Identifier: ISC */
/*
 * policy.h: the configuration as sessions use it, compiled once a reload.
 *
 * A session keeps the policy it began with; the last one that ends frees it.
 */
#ifndef PK_SMTPD_POLICY_H
#define PK_SMTPD_POLICY_H

#include <regex.h>

#include "conf/conf.h"
#include "ipc/child.h"
#include "mail/data_scanner.h"
#include "net/tls.h"
#include "smtpd/check.h"
#include "table/match_list.h"

enum policy_keyword {
	KEYWORD_PIPELINING	= 1 << 0,
	KEYWORD_SIZE		= 1 << 1,
	KEYWORD_VRFY		= 1 << 2,
	KEYWORD_ENHANCEDSTATUSCODES = 1 << 3,
	KEYWORD_8BITMIME	= 1 << 4,
	KEYWORD_DSN		= 1 << 5,
	KEYWORD_SMTPUTF8	= 1 << 6,
	KEYWORD_CHUNKING	= 1 << 7,
	KEYWORD_BINARYMIME	= 1 << 8,
	KEYWORD_LIMITS		= 1 << 9,
	KEYWORD_MT_PRIORITY	= 1 << 10,
	KEYWORD_HELP		= 1 << 11,
	KEYWORD_STARTTLS	= 1 << 12,	/* said before TLS only */
	KEYWORD_REQUIRETLS	= 1 << 13,	/* said over TLS only (RFC 8689) */
	KEYWORD_AUTH		= 1 << 14,
	KEYWORD_FUTURERELEASE	= 1 << 15,
};

/* What a session may say depends on TLS and login: few replies differ. */
#define POLICY_EHLOS	8

/* Said by the session, not by policy_ehlo(): they depend on TLS and login. */
#define KEYWORDS_OF_SESSION	(KEYWORD_AUTH | KEYWORD_FUTURERELEASE)

enum policy_tls { POLICY_TLS_NONE, POLICY_TLS_MAY, POLICY_TLS_ENCRYPT };

/* One a listener. */
struct policy {
	unsigned	 refs;
	struct policy_set *set;
	char		*listener;
	enum child_listener_class class;
	const struct conf *conf;		/* with the listener's overrides */
	struct match_list *mynetworks, *no_limits, *bare_allowed,
			 *auth_exceptions;
	struct check_list lists[CHECK_STAGES];
	/* The relay or recipient list refuses what nobody permitted. */
	bool		 guarded;
	unsigned	 keywords;		/* enum policy_keyword */
	struct policy_ehlo {
		unsigned keywords;
		char	*text;
	} ehlo[POLICY_EHLOS];			/* replies written so far */
	unsigned	 ehlo_next;
	char		*forbidden;		/* verbs, blank separated, upper case */
	regex_t		*forbidden_re;
	size_t		 nforbidden_re;
	enum data_bare	 bare;
	enum policy_tls	 tls_level;
	bool		 tls_wrapper;		/* TLS from the first byte */
	struct tls_server *tls;			/* NULL: cannot be, or must not */
	char		*tls_bad;		/* why it cannot be; NULL: it can */
};

struct policy_set {
	unsigned	 refs;
	struct conf	*conf;
};

/* Copies the configuration. The caller holds a reference. NULL: cannot happen twice the same. */
struct policy_set *policy_set_new(const struct conf *conf);
void	policy_set_unref(struct policy_set **set);
/*
 * Before the confinement: reads the files that any listener's TLS needs, which
 * lib/net/tls keeps. Listeners come later, when files are out of reach.
 */
void	policy_read_files(const struct policy_set *set, struct tls_keys *keys);
/*
 * keys: the process's, NULL: no TLS. With a TLS value that cannot be used the
 * policy has tls_bad and offers none (level encrypt still demands it).
 */
struct policy *policy_new(struct policy_set *set, const char *listener,
	    enum child_listener_class class, struct tls_keys *keys);
struct policy *policy_ref(struct policy *p);
void	policy_unref(struct policy **p);
/*
 * The reply to EHLO that offers these (session_keywords()): CRLF lines, the
 * last without. Valid until the next call.
 */
const char *policy_ehlo(struct policy *p, unsigned keywords);
/* True if a line with this verb ends the session. */
bool	policy_forbids(const struct policy *p, struct view line);

#endif
