/* SPDX-License-Identifier: ISC */
/*
 * smtp_command.c: SMTP commands, parsed where they lie.
 *
 * Run by smtpd for every line of every client, in an empty chroot; all input
 * is hostile. A line is decided by its first four bytes, folded to upper case
 * and read as one number: no two verbs share them. Parameters are rows
 * of one table. No allocation, no copy: this stands in the budget of 50 ns a
 * command (tests/bench/smtp_parse).
 */
#include "mail/smtp_command.h"

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "mail/date.h"
#include "mail/xtext.h"

enum verb_arg {
	ARG_NONE,
	ARG_ANY,
	ARG_NEEDED,
	ARG_DOMAIN,
	ARG_MAIL,
	ARG_RCPT,
	ARG_BDAT,
};

static const struct {
	const char	*name;
	size_t		 len;
	enum verb_arg	 arg;
} verbs[SMTP_VERB_COUNT] = {
	[SMTP_VERB_UNKNOWN] = { "UNKNOWN", 7, ARG_ANY },
#define V(name, argument) \
	[SMTP_VERB_##name] = { #name, sizeof(#name) - 1, ARG_##argument },
	SMTP_VERBS(V)
#undef V
};

#define FOUR(a, b, c, d)						\
	((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

static enum smtp_verb
verb_by_prefix(uint32_t prefix)
{
	switch (prefix) {
	case FOUR('H', 'E', 'L', 'O'): return SMTP_VERB_HELO;
	case FOUR('E', 'H', 'L', 'O'): return SMTP_VERB_EHLO;
	case FOUR('L', 'H', 'L', 'O'): return SMTP_VERB_LHLO;
	case FOUR('M', 'A', 'I', 'L'): return SMTP_VERB_MAIL;
	case FOUR('R', 'C', 'P', 'T'): return SMTP_VERB_RCPT;
	case FOUR('D', 'A', 'T', 'A'): return SMTP_VERB_DATA;
	case FOUR('B', 'D', 'A', 'T'): return SMTP_VERB_BDAT;
	case FOUR('R', 'S', 'E', 'T'): return SMTP_VERB_RSET;
	case FOUR('N', 'O', 'O', 'P'): return SMTP_VERB_NOOP;
	case FOUR('V', 'R', 'F', 'Y'): return SMTP_VERB_VRFY;
	case FOUR('E', 'X', 'P', 'N'): return SMTP_VERB_EXPN;
	case FOUR('E', 'T', 'R', 'N'): return SMTP_VERB_ETRN;
	case FOUR('H', 'E', 'L', 'P'): return SMTP_VERB_HELP;
	case FOUR('Q', 'U', 'I', 'T'): return SMTP_VERB_QUIT;
	case FOUR('A', 'U', 'T', 'H'): return SMTP_VERB_AUTH;
	case FOUR('S', 'T', 'A', 'R'): return SMTP_VERB_STARTTLS;
	case FOUR('X', 'C', 'L', 'I'): return SMTP_VERB_XCLIENT;
	case FOUR('X', 'F', 'O', 'R'): return SMTP_VERB_XFORWARD;
	default: return SMTP_VERB_UNKNOWN;
	}
}

/*
 * Clearing bit 0x20 makes a capital of a capital or small letter and of nothing
 * else, so that no other byte can pass for one.
 */
static inline uint32_t
folded_prefix(const char *p)
{
	uint32_t n = FOUR((unsigned char)p[0], (unsigned char)p[1],
	    (unsigned char)p[2], (unsigned char)p[3]);

	return n & 0xdfdfdfdfu;
}

static enum smtp_verb
verb_of(struct view line, size_t *len_r)
{
	enum smtp_verb verb;
	size_t len;

	if (line.len < 4)
		return SMTP_VERB_UNKNOWN;
	verb = verb_by_prefix(folded_prefix(line.p));
	len = verbs[verb].len;
	if (verb == SMTP_VERB_UNKNOWN)
		return verb;
	if (len > 4 && !view_caseeq(view_head(line, len),
	    view_of(verbs[verb].name, len)))
		return SMTP_VERB_UNKNOWN;
	if (line.len > len && line.p[len] != ' ' && line.p[len] != '\t')
		return SMTP_VERB_UNKNOWN;
	*len_r = len;
	return verb;
}

static inline bool
eq_nocase(struct view v, const char *upper, size_t len)
{
	unsigned differ = 0;

	if (v.len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		differ |= (unsigned char)(ascii_lower(v.p[i]) ^
		    ascii_lower(upper[i]));
	return differ == 0;
}

#define IS(v, literal) eq_nocase((v), (literal), sizeof(literal) - 1)

static enum smtp_command_error
param_size(struct view v, unsigned enabled, struct smtp_command *c)
{
	uint64_t n = 0;

	(void)enabled;
	/* 19 digits fit in 64 bits; the RFC's 20th would be 10 exabytes. */
	if (v.len == 0 || v.len > 19)
		return SMTP_COMMAND_E_SIZE;
	for (size_t i = 0; i < v.len; i++) {
		if (!ascii_isdigit(v.p[i]))
			return SMTP_COMMAND_E_SIZE;
		n = n * 10 + (uint64_t)(v.p[i] - '0');
	}
	c->size = n;
	return SMTP_COMMAND_OK;
}

static enum smtp_command_error
param_body(struct view v, unsigned enabled, struct smtp_command *c)
{
	if (IS(v, "8BITMIME"))
		c->body = SMTP_BODY_8BITMIME;
	else if (IS(v, "7BIT"))
		c->body = SMTP_BODY_7BIT;
	else if (IS(v, "BINARYMIME") && (enabled & SMTP_EXT_BINARYMIME))
		c->body = SMTP_BODY_BINARYMIME;
	else
		return SMTP_COMMAND_E_BODY;
	return SMTP_COMMAND_OK;
}

static enum smtp_command_error
param_ret(struct view v, unsigned enabled, struct smtp_command *c)
{
	(void)enabled;
	if (IS(v, "FULL"))
		c->ret = SMTP_RET_FULL;
	else if (IS(v, "HDRS"))
		c->ret = SMTP_RET_HDRS;
	else
		return SMTP_COMMAND_E_RET;
	return SMTP_COMMAND_OK;
}

static enum smtp_command_error
param_envid(struct view v, unsigned enabled, struct smtp_command *c)
{
	(void)enabled;
	if (v.len == 0 || v.len > XTEXT_ENVID_MAX || !xtext_valid(v))
		return SMTP_COMMAND_E_ENVID;
	c->envid = v;
	return SMTP_COMMAND_OK;
}

/* RFC 4954 5; 500 as the longest the RFC adds to a line. */
static enum smtp_command_error
param_auth(struct view v, unsigned enabled, struct smtp_command *c)
{
	(void)enabled;
	if (v.len == 0 || v.len > 500 || !xtext_valid(v))
		return SMTP_COMMAND_E_AUTH;
	c->auth = v;
	return SMTP_COMMAND_OK;
}

static enum smtp_command_error
param_priority(struct view v, unsigned enabled, struct smtp_command *c)
{
	bool negative = v.len > 0 && v.p[0] == '-';
	uint64_t n;

	(void)enabled;
	if (negative)
		v = view_from(v, 1);
	if (v.len != 1 || num_parse_u64(v, negative ? 1 : 0, 9, &n) != 0)
		return SMTP_COMMAND_E_PRIORITY;
	c->mt_priority = negative ? -(int)n : (int)n;
	return SMTP_COMMAND_OK;
}

static enum smtp_command_error
param_hold_for(struct view v, unsigned enabled, struct smtp_command *c)
{
	(void)enabled;
	if ((c->params & SMTP_PARAM_HOLDUNTIL) != 0 ||
	    num_parse_u64(v, 1, 999999999, &c->hold_for_s) != 0)
		return SMTP_COMMAND_E_HOLD;
	return SMTP_COMMAND_OK;
}

static enum smtp_command_error
param_hold_until(struct view v, unsigned enabled, struct smtp_command *c)
{
	(void)enabled;
	if ((c->params & SMTP_PARAM_HOLDFOR) != 0 ||
	    date_parse_rfc3339(v, &c->hold_until_ms) != 0)
		return SMTP_COMMAND_E_HOLD;
	return SMTP_COMMAND_OK;
}

/* RFC 3461 4.1: NEVER alone, or a list of the others. */
static enum smtp_command_error
param_notify(struct view v, unsigned enabled, struct smtp_command *c)
{
	struct view word, rest = v;
	unsigned notify = 0;
	ptrdiff_t comma;

	(void)enabled;
	do {
		comma = view_find(rest, ',');
		word = comma < 0 ? rest : view_head(rest, (size_t)comma);
		if (IS(word, "NEVER"))
			notify |= SMTP_NOTIFY_NEVER;
		else if (IS(word, "SUCCESS"))
			notify |= SMTP_NOTIFY_SUCCESS;
		else if (IS(word, "FAILURE"))
			notify |= SMTP_NOTIFY_FAILURE;
		else if (IS(word, "DELAY"))
			notify |= SMTP_NOTIFY_DELAY;
		else
			return SMTP_COMMAND_E_NOTIFY;
		rest = view_from(rest, (size_t)comma + 1);
	} while (comma >= 0);
	if ((notify & SMTP_NOTIFY_NEVER) && notify != SMTP_NOTIFY_NEVER)
		return SMTP_COMMAND_E_NOTIFY;
	c->notify = notify;
	return SMTP_COMMAND_OK;
}

static enum smtp_command_error
param_orcpt(struct view v, unsigned enabled, struct smtp_command *c)
{
	if (xtext_orcpt_parse(v, (enabled & SMTP_EXT_UTF8_NOW) != 0,
	    &c->orcpt_type, &c->orcpt) != 0)
		return SMTP_COMMAND_E_ORCPT;
	return SMTP_COMMAND_OK;
}

/* parse NULL: a keyword without a value. */
static const struct param {
	const char	*name;
	size_t		 len;
	enum smtp_verb	 verb;
	unsigned	 bit;
	unsigned	 extension;
	enum smtp_command_error (*parse)(struct view, unsigned,
		    struct smtp_command *);
} params[] = {
#define P(name, verb, bit, ext, parse)					\
	{ name, sizeof(name) - 1, SMTP_VERB_##verb, SMTP_PARAM_##bit,	\
	    SMTP_EXT_##ext, parse }
	P("SIZE", MAIL, SIZE, SIZE, param_size),
	P("BODY", MAIL, BODY, 8BITMIME, param_body),
	P("SMTPUTF8", MAIL, SMTPUTF8, SMTPUTF8, NULL),
	P("RET", MAIL, RET, DSN, param_ret),
	P("ENVID", MAIL, ENVID, DSN, param_envid),
	P("AUTH", MAIL, AUTH, AUTH, param_auth),
	P("REQUIRETLS", MAIL, REQUIRETLS, REQUIRETLS, NULL),
	P("MT-PRIORITY", MAIL, MT_PRIORITY, MT_PRIORITY, param_priority),
	P("HOLDFOR", MAIL, HOLDFOR, FUTURERELEASE, param_hold_for),
	P("HOLDUNTIL", MAIL, HOLDUNTIL, FUTURERELEASE, param_hold_until),
	P("NOTIFY", RCPT, NOTIFY, DSN, param_notify),
	P("ORCPT", RCPT, ORCPT, DSN, param_orcpt),
#undef P
};

static const struct param *
param_find(struct view name, enum smtp_verb verb)
{
	for (size_t i = 0; i < NELEMS(params); i++)
		if (params[i].len == name.len && params[i].verb == verb &&
		    eq_nocase(name, params[i].name, name.len))
			return &params[i];
	return NULL;
}

/* Tokens are short: a call to memchr() costs more than the search. */
static inline size_t
find_byte(struct view v, size_t from, char c)
{
	while (from < v.len && v.p[from] != c)
		from++;
	return from;
}

static enum smtp_command_error
parse_param(struct view token, unsigned enabled, struct smtp_command *c)
{
	size_t equals = find_byte(token, 0, '=');
	bool valued = equals < token.len;
	struct view value = VIEW_NONE;
	const struct param *p;

	if (valued)
		value = view_of(token.p + equals + 1, token.len - equals - 1);
	p = param_find(view_of(token.p, equals), c->verb);
	if (p == NULL || (p->extension & enabled) == 0)
		return SMTP_COMMAND_E_OPTION;
	if (c->params & p->bit)
		return SMTP_COMMAND_E_OPTION_TWICE;
	c->params |= p->bit;
	if (p->parse == NULL)
		return !valued ? SMTP_COMMAND_OK :
		    SMTP_COMMAND_E_OPTION_SYNTAX;
	if (value.len == 0)
		return SMTP_COMMAND_E_OPTION_SYNTAX;
	return p->parse(value, enabled, c);
}

/* Tokens between blanks behind an address. */
static enum smtp_command_error
parse_params(struct view rest, unsigned enabled, struct smtp_command *c)
{
	enum smtp_command_error error = SMTP_COMMAND_OK;
	size_t i = 0, start;

	while (error == SMTP_COMMAND_OK) {
		while (i < rest.len && rest.p[i] == ' ')
			i++;
		if (i == rest.len)
			break;
		start = i;
		i = find_byte(rest, i, ' ');
		error = parse_param(view_of(rest.p + start, i - start), enabled,
		    c);
	}
	return error;
}

static enum smtp_command_error
address_error(int rc, enum smtp_verb verb)
{
	if (rc == PK_ELIMIT)
		return SMTP_COMMAND_E_LOCAL_TOO_LONG;
	if (rc == PK_EUNSUPPORTED)
		return SMTP_COMMAND_E_NEEDS_SMTPUTF8;
	return verb == SMTP_VERB_MAIL ? SMTP_COMMAND_E_SENDER :
	    SMTP_COMMAND_E_RECIPIENT;
}

static unsigned
address_allowed(enum smtp_verb verb, unsigned enabled)
{
	unsigned allow = 0;

	if (verb == SMTP_VERB_MAIL) {
		allow |= ADDRESS_ALLOW_NULL;
		if (enabled & SMTP_EXT_SMTPUTF8)
			allow |= ADDRESS_ALLOW_UTF8;
	} else {
		allow |= ADDRESS_ALLOW_POSTMASTER;
		if (enabled & SMTP_EXT_UTF8_NOW)
			allow |= ADDRESS_ALLOW_UTF8;
	}
	if ((enabled & SMTP_EXT_STRICT) == 0)
		allow |= ADDRESS_ALLOW_NO_DOMAIN | ADDRESS_ALLOW_BARE;
	return allow;
}

/* FROM:<path> or TO:<path>, then parameters. */
static enum smtp_command_error
parse_path(const char *word, size_t word_len, unsigned enabled,
    struct smtp_command *c)
{
	enum smtp_command_error syntax = c->verb == SMTP_VERB_MAIL ?
	    SMTP_COMMAND_E_MAIL_SYNTAX : SMTP_COMMAND_E_RCPT_SYNTAX;
	struct view rest = c->arg;
	enum smtp_command_error error;
	size_t used;
	int rc;

	if (rest.len < word_len ||
	    !eq_nocase(view_of(rest.p, word_len), word, word_len))
		return syntax;
	rest = view_of(rest.p + word_len, rest.len - word_len);
	if ((enabled & SMTP_EXT_STRICT) == 0)
		while (rest.len > 0 && rest.p[0] == ' ')
			rest = view_of(rest.p + 1, rest.len - 1);
	if (rest.len == 0)
		return syntax;
	rc = address_parse_path(rest, address_allowed(c->verb, enabled),
	    &c->address, &used);
	if (rc != 0)
		return address_error(rc, c->verb);
	if (used < rest.len && rest.p[used] != ' ')
		return address_error(PK_ESYNTAX, c->verb);
	error = parse_params(view_of(rest.p + used, rest.len - used), enabled,
	    c);
	if (error == SMTP_COMMAND_OK && c->verb == SMTP_VERB_MAIL &&
	    (c->address.flags & ADDRESS_UTF8) != 0 &&
	    (c->params & SMTP_PARAM_SMTPUTF8) == 0)
		return SMTP_COMMAND_E_NEEDS_SMTPUTF8;
	return error;
}

/* RFC 3030 2: BDAT SP chunk-size [SP LAST] */
static enum smtp_command_error
parse_bdat(struct smtp_command *c)
{
	ptrdiff_t blank = view_find(c->arg, ' ');
	struct view size = c->arg, last = VIEW_NONE;

	if (blank >= 0) {
		size = view_head(c->arg, (size_t)blank);
		last = view_trim(view_from(c->arg, (size_t)blank));
	}
	/* More than 2^63 is no size, and sums of two stay in 64 bits. */
	if (num_parse_u64(size, 0, INT64_MAX, &c->chunk_size) != 0)
		return SMTP_COMMAND_E_BDAT_SYNTAX;
	c->chunk_last = blank >= 0;
	if (c->chunk_last && !IS(last, "LAST"))
		return SMTP_COMMAND_E_BDAT_SYNTAX;
	return SMTP_COMMAND_OK;
}

/* Text that will be looked at, logged or answered: no controls in it. */
static enum smtp_command_error
check_text(struct view v)
{
	bool high = false;

	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] == '\0' || v.p[i] == '\r' || v.p[i] == '\n')
			return SMTP_COMMAND_E_BAD_BYTE;
		high |= (unsigned char)v.p[i] >= 0x80;
	}
	return high && !utf8_valid(v) ? SMTP_COMMAND_E_BAD_UTF8 :
	    SMTP_COMMAND_OK;
}

/* RFC 6531 3.7.4.2: VRFY and EXPN may end in SMTPUTF8. */
static void
strip_smtputf8(struct smtp_command *c, unsigned enabled)
{
	if ((c->verb != SMTP_VERB_VRFY && c->verb != SMTP_VERB_EXPN) ||
	    (enabled & SMTP_EXT_SMTPUTF8) == 0 ||
	    !view_caseends(c->arg, VIEW(" SMTPUTF8")))
		return;
	c->params |= SMTP_PARAM_SMTPUTF8;
	c->arg = view_trim(view_head(c->arg, c->arg.len - 9));
}

static enum smtp_command_error
parse_text_argument(enum verb_arg arg, unsigned enabled, struct smtp_command *c)
{
	enum smtp_command_error error = check_text(c->arg);

	if (error != SMTP_COMMAND_OK)
		return error;
	if (c->arg.len == 0) {
		if (arg == ARG_DOMAIN)
			return SMTP_COMMAND_E_HELO_SYNTAX;
		return arg == ARG_NEEDED ? SMTP_COMMAND_E_NO_ARGUMENT :
		    SMTP_COMMAND_OK;
	}
	strip_smtputf8(c, enabled);
	return SMTP_COMMAND_OK;
}

static inline struct view
trim(struct view v)
{
	while (v.len > 0 && (v.p[0] == ' ' || v.p[0] == '\t')) {
		v.p++;
		v.len--;
	}
	while (v.len > 0 && (v.p[v.len - 1] == ' ' || v.p[v.len - 1] == '\t'))
		v.len--;
	return v;
}

enum smtp_command_error
smtp_command_parse(struct view line, unsigned enabled,
    struct smtp_command *cmd_r)
{
	size_t len = 0;

	cmd_r->params = 0;
	cmd_r->verb = verb_of(line, &len);
	cmd_r->arg = trim(view_of(line.p + len, line.len - len));
	if (line.len > (cmd_r->verb == SMTP_VERB_AUTH ? SMTP_COMMAND_AUTH_MAX :
	    SMTP_COMMAND_LINE_MAX))
		return SMTP_COMMAND_E_LINE_TOO_LONG;
	if (cmd_r->verb == SMTP_VERB_UNKNOWN)
		return cmd_r->arg.len == 0 ? SMTP_COMMAND_E_EMPTY :
		    SMTP_COMMAND_E_UNKNOWN_VERB;
	switch (verbs[cmd_r->verb].arg) {
	case ARG_MAIL:
		return parse_path("FROM:", 5, enabled, cmd_r);
	case ARG_RCPT:
		return parse_path("TO:", 3, enabled, cmd_r);
	case ARG_BDAT:
		return parse_bdat(cmd_r);
	case ARG_NONE:
		return cmd_r->arg.len == 0 ? SMTP_COMMAND_OK :
		    SMTP_COMMAND_E_ARGUMENT;
	case ARG_ANY:
	case ARG_NEEDED:
	case ARG_DOMAIN:
		break;
	}
	return parse_text_argument(verbs[cmd_r->verb].arg, enabled, cmd_r);
}

const char *
smtp_command_error_text(enum smtp_command_error error)
{
	static const char *const texts[] = {
		[SMTP_COMMAND_OK] = NULL,
#define E(name, text) [SMTP_COMMAND_E_##name] = text,
		SMTP_COMMAND_ERRORS(E)
#undef E
	};

	return (size_t)error < NELEMS(texts) ? texts[error] : NULL;
}

const char *
smtp_verb_name(enum smtp_verb verb)
{
	return (size_t)verb < NELEMS(verbs) ? verbs[verb].name : "UNKNOWN";
}
