/* SPDX-License-Identifier: ISC */
/*
 * transaction.h: one message on its way in, from MAIL to the 250.
 */
#ifndef PK_SMTPD_TRANSACTION_H
#define PK_SMTPD_TRANSACTION_H

#include <bsd/sys/queue.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "mail/address.h"
#include "mail/data_scanner.h"
#include "mail/smtp_command.h"
#include "queue/segment_writer.h"

struct session;
struct worker;

/*
 * A client that is not trusted holds 64 KiB at most (A7). Recipients and
 * content have this of it; session, command lines and, over TLS, OpenSSL's
 * connection (14 KiB) and half a record (17 KiB) the rest. A trusted one may
 * name 100,000 recipients.
 */
#define TRANSACTION_STRANGER_MAX	(48U << 10)
#define TRANSACTION_STRANGER_TLS_MAX	(24U << 10)
#define TRANSACTION_TRUSTED_MAX		(256U << 10)
#define TRANSACTION_RCPTS_TRUSTED	(8U << 20)
/* A stranger's bytes that wait for the disk, beside one read more, before it is held up. */
#define TRANSACTION_BACKLOG_STRANGER	(24U << 10)
#define TRANSACTION_BACKLOG_STRANGER_TLS (8U << 10)

struct transaction {
	TAILQ_ENTRY(transaction) link;
	char		 sender_text[ADDRESS_MAX + 1];	/* as kept, without <> */
	uint16_t	 sender_len;
	struct mail_address sender;	/* views into sender_text */
	enum smtp_body	 body;
	enum smtp_ret	 ret;
	bool		 utf8;
	bool		 hold, discard;
	bool		 requiretls;	/* RFC 8689 */
	bool		 own_message_id;	/* the content has none, scanner's is ours */
	uint64_t	 hold_until_ms;	/* FUTURERELEASE; 0: at once */
	unsigned	 priority;
	uint64_t	 size;		/* announced */
	struct buf	 envid;
	struct buf	 hold_text;

	uint32_t	 nrcpts;	/* accepted */
	uint32_t	 overshoot;
	size_t		 rcpts_kept;	/* rcpts without the one being checked */
	struct buf	 rcpts;		/* in the envelope's encoding */
	char		 first_rcpt[ADDRESS_MAX + 1];

	/* Content. */
	bool		 scanning;	/* scanner is in use */
	struct data_scanner scanner;
	struct buf	 content;	/* in memory, or moved to: */
	struct segment_stream *stream;
	int		 stream_error;
	bool		 stalled;	/* reading waits for the stream */
	uint64_t	 begun_ms, ended_ns;

	/* End of data. */
	struct buf	 envelope, header;
	uint64_t	 arrival_ms;
	uint64_t	 id;		/* queue id, as far as fixed */
	struct segment_message message;
};

struct transaction *transaction_new(struct worker *w);
/* Gives everything back; an open stream is aborted. */
void	transaction_free(struct worker *w, struct transaction **tx);
/* The unused ones. */
void	transaction_free_all(struct worker *w);
/* Recipient as an envelope field with what it asked for. PK_ELIMIT: no room. */
int	transaction_add_recipient(struct session *s, struct view address,
	    const struct smtp_command *cmd);
/* Prepares for content. flags: enum data_scanner_flag. */
void	transaction_begin_content(struct session *s, unsigned flags);
/* Behind each piece: frees what nobody needs, holds the client up when the disk lags. */
void	transaction_content_grew(struct session *s);
void	transaction_drop_content(struct session *s);
/* What is wrong with the content so far: a reply (perhaps in text), or NULL. */
const char *transaction_content_error(struct session *s, char *text, size_t size);
/*
 * The content is complete: refuses it, or hands it to the queue, and answers
 * then. The session waits meanwhile. (commit.c)
 */
void	transaction_end(struct session *s);

#endif
