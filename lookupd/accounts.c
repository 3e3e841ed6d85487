/* SPDX-License-Identifier: ISC */
/*
 * accounts.c: tables accounts:domains, users, aliases, quotas and logins,
 * which authd answers from its database and its other sources.
 *
 * Runs in lookupd. authd says what an address stands for and never who may
 * log in: no password hash comes this way. It is treated as any sibling; what
 * it answers is used as a table's value is.
 */
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "lookupd/lookupd.h"
#include "table/table.h"

/* Before those who ask us lose patience (smtpd: 20 s); a restart of authd takes less. */
#define TIMEOUT_MS	10000
#define LOG_EVERY_MS	10000

static void
say_failure(struct lookupd *d, const char *why)
{
	uint64_t now = loop_now_ms(child_loop(d->child));

	if (d->accounts_said_ms != 0 && now - d->accounts_said_ms < LOG_EVERY_MS)
		return;
	d->accounts_said_ms = now;
	log_warn("accounts: authd: %s; who needs it is deferred", why);
}

static int
on_answer(struct ipc_msg *m, int error, void *arg)
{
	struct outside_question *q = arg;
	struct outside *o = outside_of(q);
	struct lookupd *d = outside_arg(o);
	struct view value = VIEW("");
	uint64_t code = 0;
	struct ipc_in in;
	int rc = 0;

	if (error == PK_ECANCEL)
		return 0;
	if (m != NULL && m->type != IPC_ACCOUNT_ANSWER) {
		rc = PK_EPROTO;
	} else if (m != NULL) {
		ipc_in_init(&in, m);
		ipc_get_range(&in, IPC_F_CODE, 0, 1000, &code);
		ipc_get_text(&in, IPC_F_ANSWER, TABLE_VALUE_MAX, &value);
		rc = ipc_in_end(&in);
	}
	if (m == NULL)
		say_failure(d, pk_strerror(error));
	outside_answered(o, q, m == NULL || rc != 0 ? PK_ETEMP : -(int)code, value);
	return rc;
}

static void
ask(void *arg, const char *spec, struct view key, struct outside_question *q)
{
	struct lookupd *d = arg;
	struct ipc_out o;

	ipc_out_init(&o, IPC_ACCOUNT_GET);
	ipc_put_str(&o, IPC_F_TABLE, strchr(spec, ':') + 1);
	ipc_put_bytes(&o, IPC_F_QUERY, key);
	outside_set_call(q, ipc_pool_call(d->authd, &o, TIMEOUT_MS, on_answer, q));
}

static void
drop(void *arg, struct outside_question *q)
{
	(void)arg;
	ipc_call_cancel(outside_call(q));
}

struct outside *
lookupd_accounts(struct lookupd *d)
{
	struct outside_ops ops = { .ask = ask, .drop = drop, .arg = d };

	return outside_new(child_loop(d->child), &ops);
}
