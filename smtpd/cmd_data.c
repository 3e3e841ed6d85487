/* SPDX-License-Identifier: ISC */
/*
 * cmd_data.c: DATA and its content. Runs in smtpd; where the content ends is
 * data_scanner's decision alone (A1).
 */
#include "base/error.h"
#include "smtpd/dispatch.h"
#include "smtpd/worker.h"

static void
begin(struct session *s)
{
	transaction_begin_content(s, 0);
	s->mode = SESSION_DATA;
	session_reply(s, "354 End data with <CR><LF>.<CR><LF>");
}

static void
checked(struct session *s, struct check *c, enum check_result result)
{
	if (result == CHECK_REJECT) {
		session_log_reject(s, "reject: DATA", buf_view(&c->reply), VIEW_NONE);
		session_replyf(s, "%s", buf_cstr(&c->reply));
	} else {
		begin(s);
	}
	session_resume(s);
}

void
cmd_data(struct session *s, struct smtp_command *cmd)
{
	(void)cmd;
	if (s->tx->body == SMTP_BODY_BINARYMIME) {
		session_reply(s, "503 5.5.1 Error: BINARYMIME needs BDAT");
		return;
	}
	if (s->policy->lists[CHECK_DATA].count == 0) {
		begin(s);
		return;
	}
	session_wait(s);
	check_begin(s, 1 << CHECK_DATA, "DATA", NULL, VIEW_NONE, checked);
}

size_t
session_data_input(struct session *s, struct view in)
{
	size_t used = 0;
	int r;

	r = data_scanner_feed(&s->tx->scanner, in, &used);
	session_extend_deadline(s, used);
	transaction_content_grew(s);
	if (r == 0) {
		s->mode = SESSION_COMMAND;
		s->last_verb = "END-OF-MESSAGE";
		transaction_end(s);
	}
	return used;
}
