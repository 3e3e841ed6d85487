/* SPDX-License-Identifier: ISC */
/*
 * dsn.c: composes bounces, delay warnings and success reports.
 *
 * Run by deliver's bounce transport, unprivileged, in an empty chroot. Nearly
 * every word in a report was chosen by a stranger: the remote reply, the
 * addresses, ENVID, the message itself. None of it may start a header, end a
 * part or leave its line (A11): single values go through put_value(), longer
 * ones through put_folded(), and the boundary is made until the original does
 * not contain it.
 */
#include "mail/dsn.h"

#include "base/clock.h"
#include "base/codec.h"
#include "base/error.h"
#include "mail/header.h"
#include "mail/xtext.h"

/* Of a remote reply in a report; 100 lines of 4 KiB would be a flood. */
#define DIAGNOSTIC_MAX	8192
/* Lines are folded at the last blank before this column... */
#define FOLD_COLUMN	76
/* ... and a word longer than this is cut (RFC 5322: 998). */
#define WORD_MAX_LEN	900
#define BOUNDARY_MAX	70

struct composer {
	struct buf	*b;
	const struct dsn *d;
	struct view	 origin;
	enum dsn_action	 worst;
	bool		 global;	/* RFC 6533 types, UTF-8 as it is */
	bool		 text_8bit;	/* first part has UTF-8 */
	bool		 full;		/* the original whole */
	struct view	 original;	/* what is returned of it */
	bool		 original_8bit;
	char		 boundary[BOUNDARY_MAX + 1];
};

const char *
dsn_action_name(enum dsn_action action)
{
	switch (action) {
	case DSN_FAILED:
		return "failed";
	case DSN_DELAYED:
		return "delayed";
	case DSN_DELIVERED:
		return "delivered";
	case DSN_RELAYED:
		return "relayed";
	case DSN_EXPANDED:
		return "expanded";
	}
	return "failed";
}

static struct enhanced
status_of(const struct dsn_recipient *r)
{
	if (enhanced_is_set(r->status))
		return r->status;
	switch (r->action) {
	case DSN_FAILED:
		return ENHANCED(5, 0, 0);
	case DSN_DELAYED:
		return ENHANCED(4, 0, 0);
	default:
		return ENHANCED(2, 0, 0);
	}
}

/* One word of a value: controls out, bytes over 127 only as UTF-8 when asked. */
static void
put_word(struct buf *b, struct view v, bool utf8)
{
	for (size_t i = 0; i < v.len; i++) {
		unsigned char c = (unsigned char)v.p[i];

		if (c < ' ' || c == 0x7f || (c >= 0x80 && !utf8))
			c = '?';
		buf_put_char(b, (char)c);
	}
}

static void
put_value(struct buf *b, struct view v, bool utf8)
{
	put_word(b, view_head(v, WORD_MAX_LEN), utf8 && utf8_valid(v));
}

/*
 * Words of v from column on; each new line begins with indent. Line ends and
 * controls in v are blanks.
 */
static void
put_folded(struct buf *b, struct view v, size_t column, const char *indent,
    bool utf8)
{
	struct view word, part;
	bool first = true;

	v = view_head(v, DIAGNOSTIC_MAX);
	utf8 = utf8 && utf8_valid(v);
	while (view_next(&v, " \t\r\n", &word)) {
		for (; word.len > 0; word = view_from(word, part.len)) {
			part = view_head(word, WORD_MAX_LEN);
			if (!first && column + 1 + part.len > FOLD_COLUMN) {
				buf_put_str(b, "\r\n");
				buf_put_str(b, indent);
				column = strlen(indent);
			} else if (!first) {
				buf_put_char(b, ' ');
				column++;
			}
			put_word(b, part, utf8);
			column += part.len;
			first = false;
		}
	}
}

static void
put_str(struct composer *c, const char *s)
{
	buf_put_str(c->b, s);
}

static void
put_line(struct composer *c, const char *name, struct view value, bool utf8)
{
	if (value.len == 0)
		return;
	put_str(c, name);
	put_str(c, ": ");
	put_value(c->b, value, utf8);
	put_str(c, "\r\n");
}

static void
put_date_line(struct composer *c, const char *name, uint64_t ms)
{
	if (ms == 0)
		return;
	put_str(c, name);
	put_str(c, ": ");
	clock_put_rfc5322(c->b, ms);
	put_str(c, "\r\n");
}

/* "Final-Recipient: rfc822; a@b": UTF-8 as it is, or armoured (RFC 6533 3). */
static void
put_address_line(struct composer *c, const char *name, struct view type,
    struct view address)
{
	if (address.len == 0)
		return;
	put_str(c, name);
	put_str(c, ": ");
	if (ascii_only(address)) {
		put_value(c->b, type.len > 0 ? type : VIEW("rfc822"), false);
		put_str(c, "; ");
		put_value(c->b, address, false);
	} else {
		put_str(c, "utf-8; ");
		if (c->global || !utf8_valid(address))
			put_value(c->b, address, c->global);
		else
			xtext_utf8_put(c->b, view_head(address, 320));
	}
	put_str(c, "\r\n");
}

static const char *
subject(const struct composer *c)
{
	switch (c->worst) {
	case DSN_FAILED:
		return "Undelivered Mail Returned to Sender";
	case DSN_DELAYED:
		return "Delayed Mail (still being retried)";
	default:
		return "Successful Mail Delivery Report";
	}
}

static void
put_header(struct composer *c)
{
	const struct dsn *d = c->d;

	put_str(c, "Date: ");
	clock_put_rfc5322(c->b, d->now_ms);
	put_str(c, "\r\nFrom: MAILER-DAEMON@");
	put_value(c->b, c->origin, true);
	put_str(c, " (Mail Delivery System)\r\nTo: ");
	put_value(c->b, d->sender, true);
	put_str(c, "\r\nSubject: ");
	put_str(c, subject(c));
	put_str(c, "\r\nMessage-ID: <");
	put_value(c->b, d->dsn_id, false);
	put_str(c, "@");
	put_value(c->b, d->myhostname, false);
	put_str(c, ">\r\nAuto-Submitted: auto-replied\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=");
	put_str(c, c->global ? "global-delivery-status" : "delivery-status");
	put_str(c, ";\r\n\tboundary=\"");
	put_str(c, c->boundary);
	put_str(c, "\"\r\n");
	if (c->global || c->text_8bit || c->original_8bit)
		put_str(c, "Content-Transfer-Encoding: 8bit\r\n");
	put_str(c, "\r\nThis is a MIME-encapsulated message.\r\n");
}

static void
put_delimiter(struct composer *c, const char *tail)
{
	put_str(c, "\r\n--");
	put_str(c, c->boundary);
	put_str(c, tail);
	put_str(c, "\r\n");
}

/* What a person reads. */
static const char *
explanation(enum dsn_action worst)
{
	switch (worst) {
	case DSN_FAILED:
		return "I could not deliver your message to the recipients "
		    "named below.\r\nI have given up on them; nothing more "
		    "will be tried. If the reason\r\ngiven by the other side "
		    "does not help, ask your postmaster and\r\nshow this "
		    "report: it has all that we know.\r\n\r\n";
	case DSN_DELAYED:
		return "This is a warning only. You need not send your "
		    "message again.\r\n\r\n"
		    "Your message has not reached the recipients named "
		    "below yet. We keep\r\ntrying, and you will hear from us "
		    "again if we have to give up.\r\n\r\n";
	default:
		return "Your message reached the recipients named below, as "
		    "you asked to\r\nbe told. If it was relayed, the next "
		    "system does not report further.\r\n\r\n";
	}
}

static void
put_recipient_text(struct composer *c, const struct dsn_recipient *r)
{
	put_str(c, "<");
	put_value(c->b, r->final, c->text_8bit);
	put_str(c, ">:");
	if (r->orcpt.len > 0 && !view_eq(r->orcpt, r->final)) {
		put_str(c, " (sent to <");
		put_value(c->b, r->orcpt, c->text_8bit);
		put_str(c, ">)");
	}
	put_str(c, "\r\n    ");
	put_str(c, dsn_action_name(r->action));
	if (r->remote_mta.len > 0) {
		put_str(c, "; host ");
		put_value(c->b, r->remote_mta, c->text_8bit);
		put_str(c, " said:");
	}
	if (r->diagnostic.len > 0) {
		put_str(c, "\r\n    ");
		put_folded(c->b, r->diagnostic, 4, "    ", c->text_8bit);
	}
	if (r->action == DSN_DELAYED && r->retry_until_ms != 0) {
		put_str(c, "\r\n    will be tried until ");
		clock_put_rfc5322(c->b, r->retry_until_ms);
	}
	put_str(c, "\r\n\r\n");
}

static void
put_text_part(struct composer *c)
{
	put_delimiter(c, "");
	put_str(c, "Content-Description: Notification\r\n"
	    "Content-Type: text/plain; charset=");
	put_str(c, c->text_8bit ? "utf-8\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n" : "us-ascii\r\n\r\n");
	put_str(c, "This is the mail system at ");
	put_value(c->b, c->d->myhostname, c->text_8bit);
	put_str(c, ".\r\n\r\n");
	put_str(c, explanation(c->worst));
	for (size_t i = 0; i < c->d->nrecipients; i++)
		put_recipient_text(c, &c->d->recipients[i]);
}

static void
put_diagnostic(struct composer *c, const struct dsn_recipient *r)
{
	struct view type = r->diagnostic_type;

	if (r->diagnostic.len == 0)
		return;
	if (type.len == 0)
		type = r->remote_mta.len > 0 ? VIEW("smtp") : VIEW("x-postkeep");
	put_str(c, "Diagnostic-Code: ");
	put_value(c->b, type, false);
	put_str(c, "; ");
	put_folded(c->b, r->diagnostic, 19 + type.len, "    ", c->global);
	put_str(c, "\r\n");
}

/* RFC 3464 2.3 */
static void
put_recipient_fields(struct composer *c, const struct dsn_recipient *r)
{
	put_str(c, "\r\n");
	put_address_line(c, "Final-Recipient", VIEW("rfc822"), r->final);
	put_address_line(c, "Original-Recipient", r->orcpt_type, r->orcpt);
	put_str(c, "Action: ");
	put_str(c, dsn_action_name(r->action));
	put_str(c, "\r\nStatus: ");
	enhanced_put(c->b, status_of(r));
	put_str(c, "\r\n");
	if (r->remote_mta.len > 0) {
		put_str(c, "Remote-MTA: dns; ");
		put_value(c->b, r->remote_mta, c->global);
		put_str(c, "\r\n");
	}
	put_diagnostic(c, r);
	put_date_line(c, "Last-Attempt-Date", r->last_attempt_ms);
	if (r->action == DSN_DELAYED)
		put_date_line(c, "Will-Retry-Until", r->retry_until_ms);
}

static void
put_status_part(struct composer *c)
{
	const struct dsn *d = c->d;

	put_delimiter(c, "");
	put_str(c, "Content-Description: Delivery report\r\nContent-Type: ");
	put_str(c, c->global ? "message/global-delivery-status\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n" :
	    "message/delivery-status\r\n\r\n");
	put_str(c, "Reporting-MTA: dns; ");
	put_value(c->b, d->myhostname, false);
	put_str(c, "\r\n");
	put_line(c, "Original-Envelope-Id", d->envid, c->global);
	put_line(c, "X-Postkeep-Queue-ID", d->queue_id, false);
	put_address_line(c, "X-Postkeep-Sender", VIEW("rfc822"), d->sender);
	put_date_line(c, "Arrival-Date", d->arrival_ms);
	for (size_t i = 0; i < d->nrecipients; i++)
		put_recipient_fields(c, &d->recipients[i]);
}

static void
put_original_part(struct composer *c)
{
	struct view o = c->original;

	put_delimiter(c, "");
	put_str(c, "Content-Description: Undelivered Message");
	put_str(c, c->full ? "\r\n" : " Headers\r\n");
	put_str(c, "Content-Type: ");
	if (c->full)
		put_str(c, c->global ? "message/global" : "message/rfc822");
	else
		put_str(c, c->global ? "message/global-headers" :
		    "text/rfc822-headers");
	put_str(c, "\r\n");
	if (c->original_8bit)
		put_str(c, "Content-Transfer-Encoding: 8bit\r\n");
	put_str(c, "\r\n");
	buf_put_view(c->b, o);
	if (o.len < 2 || memcmp(o.p + o.len - 2, "\r\n", 2) != 0)
		put_str(c, "\r\n");
}

/* Letters and digits of the id, and a number that is raised while it occurs. */
static void
make_boundary(struct composer *c)
{
	struct buf b;
	unsigned n = 0;

	buf_init(&b, BOUNDARY_MAX);
	do {
		buf_reset(&b);
		buf_put_str(&b, "=_report_");
		for (size_t i = 0; i < c->d->dsn_id.len && b.len < 40; i++)
			if (ascii_isalnum(c->d->dsn_id.p[i]))
				buf_put_char(&b, c->d->dsn_id.p[i]);
		buf_printf(&b, "_%u", n++);
	} while (n < 100 && c->original.len > 0 && memmem(c->original.p,
	    c->original.len, buf_view(&b).p, b.len) != NULL);
	memcpy(c->boundary, buf_cstr(&b), b.len + 1);
	buf_fini(&b);
}

/* UTF-8 that a person should see as it is: in an address or a reply. */
static bool
has_utf8(struct view v)
{
	return v.len > 0 && !ascii_only(v) && utf8_valid(v);
}

static void
choose_forms(struct composer *c)
{
	const struct dsn *d = c->d;
	bool addresses = has_utf8(d->sender);
	bool texts = has_utf8(d->myhostname);
	struct view header = view_head(d->original, header_length(d->original));

	c->worst = DSN_EXPANDED;
	for (size_t i = 0; i < d->nrecipients; i++) {
		const struct dsn_recipient *r = &d->recipients[i];

		if (r->action < c->worst)
			c->worst = r->action;
		addresses |= has_utf8(r->final) || has_utf8(r->orcpt);
		texts |= has_utf8(view_head(r->diagnostic, DIAGNOSTIC_MAX)) ||
		    has_utf8(r->remote_mta);
	}
	c->full = d->ret_full && c->worst == DSN_FAILED &&
	    (d->return_max == 0 || d->original.len <= d->return_max);
	c->original = c->full ? d->original : header;
	c->original_8bit = !ascii_only(c->original);
	/* Plain forms for who did not speak SMTPUTF8 to us. */
	c->global = has_utf8(d->sender) || (d->original_utf8 &&
	    (addresses || !ascii_only(header)));
	c->text_8bit = addresses || texts;
	c->origin = d->myorigin.len > 0 ? d->myorigin : d->myhostname;
}

size_t
dsn_size_max(const struct dsn *d)
{
	size_t n = 8192 + 8 * (d->sender.len + d->envid.len) +
	    4 * (d->myhostname.len + d->myorigin.len) + d->original.len;

	for (size_t i = 0; i < d->nrecipients; i++) {
		const struct dsn_recipient *r = &d->recipients[i];

		n += 2048 + 8 * (r->final.len + r->orcpt.len) +
		    4 * r->remote_mta.len +
		    8 * view_head(r->diagnostic, DIAGNOSTIC_MAX).len;
	}
	return n;
}

int
dsn_compose(struct buf *b, const struct dsn *d, struct dsn_needs *needs_r)
{
	struct composer c = { .b = b, .d = d };

	if (d->nrecipients == 0 || d->sender.len == 0)
		return PK_ERANGE;
	choose_forms(&c);
	make_boundary(&c);
	put_header(&c);
	put_text_part(&c);
	put_status_part(&c);
	put_original_part(&c);
	put_delimiter(&c, "--");
	if (buf_error(b) != 0)
		return buf_error(b);
	needs_r->body_8bit = c.global || c.text_8bit || c.original_8bit;
	needs_r->smtputf8 = !ascii_only(d->sender);
	return 0;
}
