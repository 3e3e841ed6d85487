/* SPDX-License-Identifier: ISC */
/*
 * check.c: evaluates restriction lists.
 *
 * Runs in smtpd. The position in the lists is data, not a call stack: a word
 * that must wait returns CHECK_PENDING and is run again when its answer is
 * there (check_again), finding the answer where it left the question. Lists
 * that access tables name go on a small stack of fixed depth.
 */
#include "smtpd/check.h"

#include <stdio.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "smtpd/worker.h"

#define REPLY_MAX	1000
#define ANSWER_MAX	2048

static void	run(struct check *c);

/* ---- store ---- */

static struct check *
check_new(struct worker *w)
{
	struct check *c = TAILQ_FIRST(&w->spare_checks);

	if (c != NULL) {
		TAILQ_REMOVE(&w->spare_checks, c, link);
		w->nspare_checks--;
		return c;
	}
	c = XNEW(struct check);
	buf_init(&c->address, RECORD_ADDRESS_MAX);
	buf_init(&c->reply, REPLY_MAX);
	buf_init(&c->if_permit, REPLY_MAX);
	buf_init(&c->if_reject, REPLY_MAX);
	buf_init(&c->answer, ANSWER_MAX);
	return c;
}

static void
really_free(struct check *c)
{
	buf_fini(&c->address);
	buf_fini(&c->reply);
	buf_fini(&c->if_permit);
	buf_fini(&c->if_reject);
	buf_fini(&c->answer);
	xfree(c);
}

static void
pop(struct check *c)
{
	struct check_list **nested = &c->nested[--c->depth];

	if (*nested != NULL) {
		check_list_fini(*nested);
		xfree(*nested);
		*nested = NULL;
	}
}

static void
check_free(struct worker *w, struct check *c)
{
	while (c->depth > 0)
		pop(c);
	if (w->nspare_checks >= WORKER_SPARES) {
		really_free(c);
		return;
	}
	buf_reset(&c->address);
	buf_reset(&c->reply);
	buf_reset(&c->if_permit);
	buf_reset(&c->if_reject);
	buf_reset(&c->answer);
	TAILQ_INSERT_HEAD(&w->spare_checks, c, link);
	w->nspare_checks++;
}

void
check_free_all(struct worker *w)
{
	struct check *c;

	while ((c = TAILQ_FIRST(&w->spare_checks)) != NULL) {
		TAILQ_REMOVE(&w->spare_checks, c, link);
		really_free(c);
	}
	w->nspare_checks = 0;
}

/* ---- evaluation ---- */

static void
finish(struct check *c, enum check_result result)
{
	struct session *s = c->s;
	struct worker *w = s->w;	/* outlives the session */
	struct buf *instead = NULL;

	/* Postfix: a defer_if_* that was noted beats the verdict it names. */
	if (result == CHECK_REJECT && c->if_reject.len > 0 && buf_view(&c->reply).p[0] == '5')
		instead = &c->if_reject;
	else if (result != CHECK_REJECT && c->if_permit.len > 0)
		instead = &c->if_permit;
	if (instead != NULL) {
		buf_reset(&c->reply);
		buf_put_view(&c->reply, buf_view(instead));
		result = CHECK_REJECT;
	}
	/* done may go on with the next command, which may need a check. */
	s->check = NULL;
	c->done(s, c, result);
	check_free(w, c);
}

static bool
next_stage(struct check *c)
{
	unsigned stage;

	for (stage = 0; stage < CHECK_STAGES; stage++) {
		if ((c->stages & 1U << stage) == 0)
			continue;
		c->stages &= ~(1U << stage);
		if (c->s->policy->lists[stage].count == 0)
			continue;
		c->stage = stage;
		c->stack[0] = (struct check_frame){ &c->s->policy->lists[stage], 0 };
		c->depth = 1;
		return true;
	}
	return false;
}

static bool
next_item(struct check *c)
{
	struct check_frame *f;

	for (;;) {
		if (c->depth == 0 && !next_stage(c))
			return false;
		f = &c->stack[c->depth - 1];
		if (f->next < f->list->count)
			break;
		pop(c);
	}
	c->item = &f->list->items[f->next++];
	c->answered = false;
	c->step = 0;
	c->found = c->uncertain = false;
	return true;
}

/* False when the evaluation is over. */
static bool
apply(struct check *c, enum check_result result)
{
	char what[40];

	if (c->item->word->fn == NULL) {	/* warn_if_reject */
		c->warn = true;
		return true;
	}
	if (result == CHECK_PERMIT) {
		while (c->depth > 0)
			pop(c);
	} else if (result == CHECK_REJECT && c->warn) {
		snprintf(what, sizeof(what), "reject_warning: %s", c->command);
		session_log_reject(c->s, what, buf_view(&c->reply), buf_view(&c->address));
		buf_reset(&c->reply);
	} else if (result == CHECK_REJECT) {
		return false;
	}
	c->warn = false;
	return true;
}

static void
run(struct check *c)
{
	enum check_result result;

	while (next_item(c)) {
		result = CHECK_DUNNO;
		if (c->item->word->fn != NULL)
			result = c->item->word->fn(c, c->item);
		if (result == CHECK_PENDING)
			return;
		if (!apply(c, result)) {
			finish(c, CHECK_REJECT);
			return;
		}
	}
	finish(c, CHECK_DUNNO);
}

void
check_again(struct check *c)
{
	enum check_result result = c->item->word->fn(c, c->item);

	if (result == CHECK_PENDING)
		return;
	if (apply(c, result))
		run(c);
	else
		finish(c, CHECK_REJECT);
}

static void
slept(void *arg)
{
	struct check *c = arg;

	c->answered = true;
	check_again(c);
}

void
check_begin(struct session *s, unsigned stages, const char *command,
    const struct mail_address *rcpt, struct view address,
    void (*done)(struct session *s, struct check *c, enum check_result result))
{
	struct check *c = check_new(s->w);

	ASSERT(s->check == NULL);
	c->s = s;
	c->command = command;
	c->stages = stages;
	c->depth = 0;
	c->warn = false;
	c->have_route = c->have_sender_route = false;
	c->call = 0;
	c->dns = NULL;
	c->done = done;
	loop_timer_init(&c->timer, slept, c);
	buf_put_view(&c->address, address);
	if (rcpt == NULL ||
	    address_parse(buf_view(&c->address), ADDRESS_ALLOW_UTF8, &c->rcpt) != 0)
		memset(&c->rcpt, 0, sizeof(c->rcpt));
	s->check = c;
	run(c);
}

void
check_cancel(struct session *s)
{
	struct check *c = s->check;

	if (c == NULL)
		return;
	s->check = NULL;
	if (c->call != 0)
		s->w->backend->cancel(s->w, c->call);
	if (c->dns != NULL)
		s->w->backend->dns_cancel(s->w, &c->dns);
	loop_timer_clear(s->w->loop, &c->timer);
	check_free(s->w, c);
}

/* ---- what words use ---- */

enum check_result
check_refuse(struct check *c, int code, const char *dsn, const char *fmt, ...)
{
	char text[REPLY_MAX - 40];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	buf_reset(&c->reply);
	/* The class of the enhanced code is that of the reply (RFC 2034 4). */
	buf_printf(&c->reply, "%d %d%s %s", code, code / 100, dsn + 1, text);
	return CHECK_REJECT;
}

enum check_result
check_nest(struct check *c, struct view text)
{
	struct check_list *list;

	if (c->depth == CHECK_DEPTH_MAX) {
		log_error("access tables name each other more than %d deep", CHECK_DEPTH_MAX);
		return check_refuse(c, 451, "4.3.5", "Server configuration error");
	}
	list = XNEW(struct check_list);
	check_list_parse(list, text, c->stage);
	if (list->bad != NULL) {
		log_error("access table: %s", list->bad);
		check_list_fini(list);
		xfree(list);
		return check_refuse(c, 451, "4.3.5", "Server configuration error");
	}
	c->nested[c->depth] = list;
	c->stack[c->depth++] = (struct check_frame){ list, 0 };
	return CHECK_DUNNO;
}
