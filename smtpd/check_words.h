/* SPDX-License-Identifier: ISC */
/*
 * check_words.h: one function a word of lib/conf/restrictions.def. Each may be
 * run again after CHECK_PENDING and finds its answers in c.
 */
#ifndef PK_SMTPD_CHECK_WORDS_H
#define PK_SMTPD_CHECK_WORDS_H

#include "smtpd/check.h"

#define CHECK_WORD(name)						\
	enum check_result check_##name(struct check *c, const struct check_item *it)

/* check_words.c */
CHECK_WORD(permit);
CHECK_WORD(reject);
CHECK_WORD(defer);
CHECK_WORD(defer_if_permit);
CHECK_WORD(defer_if_reject);
CHECK_WORD(sleep);
CHECK_WORD(permit_mynetworks);
CHECK_WORD(permit_sasl_authenticated);
CHECK_WORD(reject_unauth_pipelining);
CHECK_WORD(reject_unknown_client_hostname);
/* check_address.c */
CHECK_WORD(permit_auth_destination);
CHECK_WORD(reject_unauth_destination);
CHECK_WORD(defer_unauth_destination);
CHECK_WORD(reject_unlisted_recipient);
CHECK_WORD(reject_unlisted_sender);
/* check_name.c */
CHECK_WORD(reject_non_fqdn_sender);
CHECK_WORD(reject_non_fqdn_recipient);
CHECK_WORD(reject_non_fqdn_helo_hostname);
CHECK_WORD(reject_invalid_helo_hostname);
CHECK_WORD(reject_unknown_sender_domain);
CHECK_WORD(reject_unknown_recipient_domain);
/* check_access.c */
CHECK_WORD(check_client_access);
CHECK_WORD(check_helo_access);
CHECK_WORD(check_sender_access);
CHECK_WORD(check_recipient_access);
CHECK_WORD(check_sasl_access);
/* check_login.c */
CHECK_WORD(reject_sender_login_mismatch);
CHECK_WORD(reject_authenticated_sender_login_mismatch);
CHECK_WORD(reject_unauthenticated_sender_login_mismatch);
CHECK_WORD(reject_known_sender_login_mismatch);
/* check_tls.c */
CHECK_WORD(reject_plaintext_session);
CHECK_WORD(permit_tls_clientcerts);
CHECK_WORD(permit_tls_all_clientcerts);
CHECK_WORD(check_ccert_access);

/* What the item's access(5) table says of key; subject for the reply. */
enum check_result check_access_table(struct check *c, const struct check_item *it,
	    struct view key, enum access_kind kind, const char *subject);

/* "<x@y>: Recipient address" and the like: what the current stage is about. */
const char *check_subject(const struct check *c, char *text, size_t size);

#endif
