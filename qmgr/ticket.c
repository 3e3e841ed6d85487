/* SPDX-License-Identifier: ISC */
/*
 * ticket.c: is a message's login what it says? (A16, A24)
 *
 * Run by qmgr, once for each message that states a login, before anything
 * else is done with it. A worker that was taken over can write any name into
 * an envelope; believed is only what authd says of the ticket beside it, and
 * never from a writer that takes no mail of clients. The answer goes into the
 * message's marks, which the journal and the index keep. Forged mail is held:
 * the administrator sees it, nobody else does. While authd is away mail
 * waits; it is neither lost nor sent on.
 */
#include "qmgr/qmgr.h"

#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/auth.h"
#include "queue/record.h"

/* More wait in the index, so that memory does not grow while authd is away. */
#define INFLIGHT_MAX		1000
#define QUESTION_TIMEOUT_MS	20000
#define AGAIN_MS		5000
#define CROWDED_MS		500

#define REASON	"the login's ticket does not verify"

struct check {
	struct qmgr	*q;
	uint64_t	 message;
	uint64_t	 call;
	TAILQ_ENTRY(check) link;
};

struct tickets {
	TAILQ_HEAD(, check) checks;
	unsigned	 n;
};

static void
set_login(struct qmgr *q, struct message *m, enum message_login login)
{
	m->login = (uint8_t)login;
	store_log_message(&q->store, m);
}

static void
deny(struct qmgr *q, struct message *m, struct view login, struct view why)
{
	const char *origin = message_origin_name(m);
	char id[RECORD_ID_TEXT_MAX];

	record_id_format(m->id, id);
	log_warn("%s: held: " REASON ": sasl_username=%.*s, class=%s, %.*s", id,
	    VIEW_ARG(view_head(login, AUTH_LOGIN_MAX)), origin != NULL ? origin : "unknown",
	    VIEW_ARG(why));
	m->flags |= MESSAGE_HELD;
	xfree(m->hold);
	m->hold = xstrdup(REASON);
	set_login(q, m, MESSAGE_LOGIN_DENIED);
}

static void
wait_for_authd(struct qmgr *q, struct message *m, uint64_t wait_ms)
{
	m->due_ms = store_now_ms(&q->store) + wait_ms;
	if (m->attempts < UINT16_MAX)
		m->attempts++;
	store_changed(&q->store, m);
}

static bool
read_login(struct qmgr *q, const struct message *m, struct view *login_r, struct view *ticket_r,
    int *error_r)
{
	struct segment_record rec;
	struct record_envelope e;

	if ((*error_r = store_record(&q->store, m, &rec)) != 0 ||
	    (*error_r = record_envelope_read(rec.envelope, &e)) != 0)
		return false;
	*login_r = e.login;
	*ticket_r = e.ticket;
	return true;
}

static void
check_free(struct qmgr *q, struct check *c)
{
	TAILQ_REMOVE(&q->tickets->checks, c, link);
	q->tickets->n--;
	xfree(c);
}

static void
decide(struct qmgr *q, struct message *m, int code, struct view text)
{
	struct view login, ticket;
	int rc;

	switch (code) {
	case 0:
		/* Found again by asking, if a crash comes before the next checkpoint. */
		m->login = MESSAGE_LOGIN_VERIFIED;
		m->attempts = 0;
		store_changed(&q->store, m);
		break;
	case PK_EPERM:
		if (read_login(q, m, &login, &ticket, &rc))
			deny(q, m, login, text);
		else
			qmgr_damaged(q, m, rc);
		break;
	default:
		wait_for_authd(q, m, AGAIN_MS);
		break;
	}
}

static int
on_answer(struct ipc_msg *msg, int error, void *arg)
{
	struct check *c = arg;
	struct qmgr *q = c->q;
	struct message *m = store_peek(&q->store, c->message);
	struct view text = VIEW("authd did not say why");
	uint64_t code = 0;
	struct ipc_in in;
	int rc = 0;

	if (msg != NULL && msg->type != IPC_ACK) {
		rc = PK_EPROTO;
	} else if (msg != NULL) {
		ipc_in_init(&in, msg);
		ipc_get_range(&in, IPC_F_CODE, 0, 1000, &code);
		if (ipc_has(&in, IPC_F_TEXT))
			ipc_get_text(&in, IPC_F_TEXT, 1000, &text);
		rc = ipc_in_end(&in);
	}
	if (msg == NULL || rc != 0)
		code = -PK_ETEMP;
	check_free(q, c);
	if (error == PK_ECANCEL || m == NULL)
		return rc;
	m->njobs--;
	decide(q, m, -(int)code, text);
	if (m->login == MESSAGE_LOGIN_UNCHECKED)
		store_settle(&q->store, m);
	else
		qmgr_activate(q, m);
	return rc;
}

static void
ask(struct qmgr *q, struct message *m, uint64_t writer, struct view login, struct view ticket)
{
	struct check *c = XNEW(struct check);
	struct ipc_out o;

	c->q = q;
	c->message = m->id;
	TAILQ_INSERT_TAIL(&q->tickets->checks, c, link);
	q->tickets->n++;
	/* Nothing else is begun, and it stays in memory. */
	m->njobs++;
	ipc_out_init(&o, IPC_TICKET_CHECK);
	ipc_put_u64(&o, IPC_F_INSTANCE, writer);
	ipc_put_bytes(&o, IPC_F_LOGIN, login);
	ipc_put_bytes(&o, IPC_F_DATA, ticket);
	ipc_put_u64(&o, IPC_F_TIME_MS, m->arrival_ms);
	c->call = ipc_pool_call(q->authd, &o, QUESTION_TIMEOUT_MS, on_answer, c);
}

bool
tickets_wait(struct qmgr *q, struct message *m)
{
	const struct segment *seg = segments_get(&q->store.segments, m->segment);
	struct view login, ticket;
	int rc;

	if (m->login != MESSAGE_LOGIN_UNCHECKED ||
	    (m->flags & (MESSAGE_FINISHED | MESSAGE_DAMAGED | MESSAGE_KEPT)) != 0)
		return false;
	if (m->njobs > 0 || q->draining)
		return true;
	if (!read_login(q, m, &login, &ticket, &rc)) {
		qmgr_damaged(q, m, rc);
		store_changed(&q->store, m);
		return true;
	}
	/*
	 * On a listener of class mx users may log in too, where the administrator
	 * offers AUTH there (Postfix's global smtpd_sasl_auth_enable).
	 */
	if (m->origin == MESSAGE_ORIGIN_OWN) {
		deny(q, m, login, VIEW("nobody logs in there"));
		return false;
	}
	if (login.len == 0 || login.len > AUTH_LOGIN_MAX || ticket.len != AUTH_TICKET_SIZE) {
		deny(q, m, login, VIEW("it has none"));
		return false;
	}
	if (q->tickets->n >= INFLIGHT_MAX) {
		wait_for_authd(q, m, CROWDED_MS);
		return true;
	}
	ask(q, m, seg != NULL ? seg->header.writer : 0, login, ticket);
	return true;
}

void
tickets_init(struct qmgr *q)
{
	q->tickets = XNEW(struct tickets);
	TAILQ_INIT(&q->tickets->checks);
}

void
tickets_fini(struct qmgr *q)
{
	struct check *c;

	while ((c = TAILQ_FIRST(&q->tickets->checks)) != NULL) {
		ipc_call_cancel(c->call);
		check_free(q, c);
	}
	xfree(q->tickets);
	q->tickets = NULL;
}
