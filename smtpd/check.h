/* SPDX-License-Identifier: ISC */
/*
 * check.h: the smtpd_*_restrictions lists and their evaluation.
 *
 * Postfix's semantics: a list is a series of words, each of which permits
 * (ends its list), refuses (ends everything) or does not know. A word may
 * have to wait for lookupd, dnsd or a timer; the evaluation then goes on when
 * the answer is there.
 */
#ifndef PK_SMTPD_CHECK_H
#define PK_SMTPD_CHECK_H

#include <bsd/sys/queue.h>

#include "base/buf.h"
#include "mail/address.h"
#include "smtpd/backend.h"
#include "sys/loop.h"

struct session;
struct check;
struct check_item;

enum check_stage {
	CHECK_CLIENT,
	CHECK_HELO,
	CHECK_SENDER,
	CHECK_RELAY,
	CHECK_RECIPIENT,
	CHECK_UNLISTED,			/* smtpd_reject_unlisted_*: after everything */
	CHECK_DATA,
	CHECK_END_OF_DATA,
	CHECK_STAGES
};

enum check_result {
	CHECK_DUNNO,
	CHECK_PERMIT,
	CHECK_REJECT,			/* c->reply says with what */
	CHECK_PENDING,			/* check_again() follows */
};

enum check_argument { CHECK_ARG_none, CHECK_ARG_table, CHECK_ARG_number };

struct check_word {
	const char	*name;
	enum check_argument argument;
	enum check_result (*fn)(struct check *c, const struct check_item *it);
};
extern const struct check_word check_words[];
extern const size_t check_nwords;
const struct check_word *check_word_find(struct view name);

struct check_item {
	const struct check_word *word;
	struct view	 arg;
};

struct check_list {
	struct check_item *items;
	size_t		 count;
	char		*text;		/* what the arguments point into */
	char		*bad;		/* what is wrong with it: everything gets 451 */
};
/* stage: what a table without a word means. Errors go to list->bad. */
void	check_list_parse(struct check_list *list, struct view text, enum check_stage stage);
void	check_list_fini(struct check_list *list);
/* True if nothing gets past it without an explicit permit before. */
bool	check_list_guards(const struct check_list *list);
/* True if it says `permit` to whoever gets there. */
bool	check_list_permits_all(const struct check_list *list);

#define CHECK_DEPTH_MAX	4		/* lists named by access tables */

struct check {
	TAILQ_ENTRY(check) link;	/* in the worker's store of unused ones */
	struct session	*s;
	const char	*command;	/* "RCPT", for the log */
	unsigned	 stages;	/* bits still to come */
	enum check_stage stage;
	struct check_frame {
		const struct check_list *list;
		size_t	next;
	} stack[CHECK_DEPTH_MAX];
	unsigned	 depth;
	struct check_list *nested[CHECK_DEPTH_MAX];
	const struct check_item *item;
	bool		 warn;		/* warn_if_reject */

	struct mail_address rcpt;	/* views into address */
	struct buf	 address;	/* recipient as it will be kept; empty: none */
	struct buf	 reply;
	struct buf	 if_permit, if_reject;	/* replies of defer_if_* */

	/* Answers, as they come. */
	bool		 have_route;
	bool		 have_sender_route;
	struct {
		int		 error;
		enum route_class class;
		enum route_verdict verdict;
		char		 dsn[16];
		char		 text[256];
	} route, sender_route;
	bool		 answered;
	int		 answer_error;
	struct buf	 answer;
	unsigned	 step;
	bool		 found, uncertain;
	uint64_t	 call;
	struct dns_call	*dns;
	struct loop_timer timer;

	void		(*done)(struct session *s, struct check *c, enum check_result result);
};

/*
 * Evaluates `stages` (bits of 1 << enum check_stage) for the session in their
 * order. done is called once, perhaps at once: with CHECK_REJECT the reply
 * (without CRLF) is in c->reply until it returns. s->check is set until then.
 */
void	check_begin(struct session *s, unsigned stages, const char *command,
	    const struct mail_address *rcpt, struct view address,
	    void (*done)(struct session *s, struct check *c, enum check_result result));
/* The session ends: nothing will be called. */
void	check_cancel(struct session *s);
/* An answer came: the current word looks again. */
void	check_again(struct check *c);
/* Sets the reply: "554 5.7.1 <subject>: text". */
enum check_result check_refuse(struct check *c, int code, const char *dsn, const char *fmt, ...)
	    __attribute__((format(printf, 4, 5)));
/* Replaces the list in front by a list that an access table named. */
enum check_result check_nest(struct check *c, struct view text);
/* The worker's unused ones. */
struct worker;
void	check_free_all(struct worker *w);

#endif
