/* SPDX-License-Identifier: ISC */
/*
 * route.h: values that lookupd, smtpd and qmgr exchange about addresses.
 */
#ifndef PK_IPC_ROUTE_H
#define PK_IPC_ROUTE_H

/* Postfix's address classes. */
enum route_class {
	ROUTE_CLASS_LOCAL,		/* mydestination, inet_interfaces */
	ROUTE_CLASS_VIRTUAL_ALIAS,	/* virtual_alias_domains */
	ROUTE_CLASS_VIRTUAL_MAILBOX,	/* virtual_mailbox_domains */
	ROUTE_CLASS_RELAY,		/* relay_domains */
	ROUTE_CLASS_DEFAULT,		/* everything else: needs relay permission */
	ROUTE_CLASSES
};

enum route_flags {
	ROUTE_FLAG_VALIDATE	= 1,	/* also look whether the recipient exists */
	ROUTE_FLAG_SENDER	= 2,	/* the address is a reverse-path */
};

enum route_verdict {
	ROUTE_KNOWN,			/* exists, or nobody can tell (default class) */
	ROUTE_UNKNOWN,			/* 550 5.1.1 */
	ROUTE_FULL,			/* over quota: 452 4.2.2 */
	ROUTE_TEMPFAIL,			/* a table does not answer: 451 4.3.0 */
	ROUTE_REJECTED,			/* an error transport or alias says so: DSN, TEXT */
	ROUTE_VERDICTS
};

/* How ACCESS varies its key, access(5). */
enum access_kind {
	ACCESS_CLIENT,			/* name, parents, address, networks; key "name[addr]" */
	ACCESS_HELO,			/* name and parent domains */
	ACCESS_ADDRESS,			/* user@domain, domain, parents, user@ */
	ACCESS_EXACT,			/* as it is */
	ACCESS_LOGIN,			/* a sender in a list of tables, as virtual(5) varies it */
	ACCESS_KINDS
};

/* What a deliverer says of a recipient. */
enum job_result {
	JOB_SENT,			/* the next hop has it (2xx after the dot), or the disk */
	JOB_DEFERRED,			/* try again later */
	JOB_BOUNCED,			/* never again */
	JOB_PUT_BACK,			/* not tried (drain, cancel): no attempt counted */
	JOB_RESULTS
};

/* What qmgr must know of a result beside it, for NOTIFY=SUCCESS (RFC 3461 5.2). */
enum job_result_flags {
	JOB_FLAG_DSN_PASSED	= 1,	/* the next hop took NOTIFY over: no report from us */
	JOB_FLAG_FINAL		= 2,	/* in its mailbox: "delivered", not "relayed" */
};
#define JOB_RESULT_FLAGS_ALL	3

enum dns_security {
	DNS_INSECURE,
	DNS_SECURE,
	DNS_BOGUS,
	DNS_SECURITIES
};

#define IPC_DNS_RECORDS_MAX	100	/* more are cut off by dnsd; nobody tries 100 MX */

#endif
