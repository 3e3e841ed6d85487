/* SPDX-License-Identifier: ISC */
/*
 * answer.h: the answer to one question, and how it is read from a packet.
 */
#ifndef DNSD_ANSWER_H
#define DNSD_ANSWER_H

#include "base/buf.h"
#include "base/view.h"
#include "ipc/route.h"
#include "net/dns_rdata.h"

/* All records of one answer; it has to fit one IPC packet. */
#define ANSWER_DATA_MAX	60000

struct answer {
	int		 code;		/* 0, PK_ENOENT, PK_ETEMP as in DNS_ANSWER */
	unsigned	 rcode;
	enum dns_security security;
	uint32_t	 ttl;
	char		*canonical;	/* text; never NULL once filled */
	struct buf	 data;		/* {length u16 in host order, bytes}... */
	unsigned	 count;
};

void	answer_init(struct answer *a);
void	answer_fini(struct answer *a);
/* PK_ELIMIT when it does not fit any more (IPC_DNS_RECORDS_MAX, ANSWER_DATA_MAX). */
int	answer_add(struct answer *a, struct view rdata);
/* Walks the records: *rest is a's data at first. */
bool	answer_next(struct view *rest, struct view *rdata_r);
void	answer_copy(struct answer *to, const struct answer *from);
/* A failure: PK_ETEMP with this rcode. */
void	answer_fail(struct answer *a, const char *name, unsigned rcode,
	    enum dns_security security);

/*
 * Reads the packet that answers (name, type) class IN into `a`: follows
 * CNAMEs, expands names, leaves out records whose data is malformed. TTL: the
 * least on the way; of a negative answer that of its SOA (RFC 2308), 0 without
 * one. 0, or PK_EFORMAT: then nothing in it is to be believed. name is text as
 * dns_name_put_text() makes it.
 */
int	answer_parse(struct answer *a, struct view packet, const char *name, uint16_t type);

#endif
