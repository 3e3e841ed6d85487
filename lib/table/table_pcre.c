/* SPDX-License-Identifier: ISC */
/*
 * table_pcre.c: Perl-compatible patterns, the first that matches wins
 * (Postfix's pcre_table(5)): "/pattern/flags result", "!/pattern/flags result",
 * "if /pattern/flags" ... "endif".
 *
 * Runs in lookupd. Patterns are the administrator's, keys are strangers': a
 * match has a limit on steps, depth and memory, so that no key can make a
 * careless pattern run for long (A8); one that reaches the limit defers and
 * names file and line. No JIT: it would need memory that is writable and
 * executable.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "table/table.h"
#include "table/table_impl.h"

#define NESTING_MAX	32
#define MATCH_STEPS	100000	/* a few milliseconds */
#define MATCH_DEPTH	10000
#define MATCH_HEAP_KIB	4096
#define GROUPS_MAX	100

struct rule {
	pcre2_code	*code;
	bool		 negated;
	size_t		 skip_to;	/* "if": where its endif is */
	char		*value;		/* NULL: an "if" */
	unsigned	 line;
};

struct pcre {
	struct rule	*rules;
	size_t		 count, cap;
	size_t		 open[NESTING_MAX];
	unsigned	 depth;
	pcre2_match_context *context;
	pcre2_match_data *match;
	char		*path;
};

static void
pcre_close(void *data)
{
	struct pcre *t = data;
	size_t i;

	for (i = 0; i < t->count; i++) {
		pcre2_code_free(t->rules[i].code);
		xfree(t->rules[i].value);
	}
	xfree(t->rules);
	pcre2_match_context_free(t->context);
	pcre2_match_data_free(t->match);
	xfree(t->path);
	xfree(t);
}

static struct rule *
add_rule(struct pcre *t, unsigned line)
{
	struct rule *r;

	if (t->count == t->cap) {
		t->cap = t->cap > 0 ? 2 * t->cap : 64;
		t->rules = xreallocarray(t->rules, t->cap, sizeof(*t->rules));
	}
	r = &t->rules[t->count++];
	memset(r, 0, sizeof(*r));
	r->line = line;
	return r;
}

/* ---- reading ---- */

static bool
toggle(char flag, uint32_t *options)
{
	static const struct {
		char		flag;
		uint32_t	option;
	} flags[] = {
		{ 'i', PCRE2_CASELESS }, { 'm', PCRE2_MULTILINE },
		{ 's', PCRE2_DOTALL }, { 'x', PCRE2_EXTENDED },
		{ 'A', PCRE2_ANCHORED }, { 'E', PCRE2_DOLLAR_ENDONLY },
		{ 'U', PCRE2_UNGREEDY },
	};
	size_t i;

	for (i = 0; i < NELEMS(flags); i++) {
		if (flags[i].flag == flag) {
			*options ^= flags[i].option;
			return true;
		}
	}
	return flag == 'X';	/* PCRE2 always is that strict */
}

static int
compile(struct rule *r, struct view pattern, uint32_t options, struct buf *why)
{
	PCRE2_UCHAR text[256];
	PCRE2_SIZE offset;
	int code;

	r->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.len, options,
	    &code, &offset, NULL);
	if (r->code != NULL)
		return 0;
	pcre2_get_error_message(code, text, sizeof(text));
	buf_printf(why, "pattern, character %zu: %s", (size_t)offset + 1,
	    (const char *)text);
	return PK_ESYNTAX;
}

/* "/pattern/flags" at the start of *line, which is moved behind it. */
static int
pattern(struct rule *r, struct view *line, struct buf *why)
{
	uint32_t options = PCRE2_CASELESS | PCRE2_DOTALL;
	struct view v = *line, expression;
	size_t n = 1;
	char delimiter;

	while (v.len > 0 && v.p[0] == '!') {
		r->negated = !r->negated;
		v = view_trim(view_from(v, 1));
	}
	if (v.len == 0 || ascii_isalnum(v.p[0]) || v.p[0] == '\\') {
		buf_put_str(why, "expected: /pattern/flags result");
		return PK_ESYNTAX;
	}
	delimiter = v.p[0];
	while (n < v.len && v.p[n] != delimiter)
		n += v.p[n] == '\\' ? 2 : 1;
	if (n >= v.len) {
		buf_printf(why, "the pattern has no closing \"%c\"", delimiter);
		return PK_ESYNTAX;
	}
	expression = view_of(v.p + 1, n - 1);
	for (n++; n < v.len && v.p[n] != ' ' && v.p[n] != '\t'; n++) {
		if (!toggle(v.p[n], &options)) {
			buf_printf(why, "unknown flag \"%c\": there are A E U X i m s x",
			    v.p[n]);
			return PK_ESYNTAX;
		}
	}
	*line = view_trim(view_from(v, n));
	return compile(r, expression, options, why);
}

/*
 * A "$1", "${1}", "$(1)" or "$$" at the start of v (which begins with '$'):
 * its length and group (-1 for "$$"); 0 when it is malformed.
 */
static size_t
reference(struct view v, int *group_r)
{
	size_t n = 1, digits;
	char close = '\0';
	uint64_t group;

	if (n < v.len && v.p[n] == '$') {
		*group_r = -1;
		return 2;
	}
	if (n < v.len && (v.p[n] == '{' || v.p[n] == '('))
		close = v.p[n++] == '{' ? '}' : ')';
	digits = n;
	while (n < v.len && ascii_isdigit(v.p[n]))
		n++;
	if (num_parse_u64(view_of(v.p + digits, n - digits), 0, GROUPS_MAX - 1,
	    &group) != 0)
		return 0;
	if (close != '\0' && (n >= v.len || v.p[n++] != close))
		return 0;
	*group_r = (int)group;
	return n;
}

static int
check_value(const struct rule *r, struct view value, struct buf *why)
{
	uint32_t groups = 0;
	size_t i, n;
	int group;

	pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	for (i = 0; i < value.len; i += n) {
		n = 1;
		if (value.p[i] != '$')
			continue;
		n = reference(view_from(value, i), &group);
		if (n == 0) {
			buf_put_str(why, "\"$\" in a result: write $1, ${1} or $$");
			return PK_ESYNTAX;
		}
		if (group >= 0 && r->negated) {
			buf_put_str(why, "a negated pattern has nothing for $ to stand for");
			return PK_ESYNTAX;
		}
		if (group > 0 && (uint32_t)group > groups) {
			buf_printf(why, "$%d: the pattern has %u groups", group, groups);
			return PK_ESYNTAX;
		}
	}
	return 0;
}

static int
begin_if(struct pcre *t, struct view rest, unsigned line, struct buf *why)
{
	if (t->depth == NESTING_MAX) {
		buf_put_str(why, "too many ifs inside each other");
		return PK_ELIMIT;
	}
	t->open[t->depth++] = t->count;
	return pattern(add_rule(t, line), &rest, why);
}

static int
end_if(struct pcre *t, struct buf *why)
{
	if (t->depth == 0) {
		buf_put_str(why, "endif without an if");
		return PK_ESYNTAX;
	}
	t->rules[t->open[--t->depth]].skip_to = t->count;
	return 0;
}

static int
parse_line(struct pcre *t, struct view line, unsigned number, struct buf *why)
{
	struct rule *r;
	int error;

	if (view_casestarts(line, VIEW("endif")))
		return end_if(t, why);
	if (view_casestarts(line, VIEW("if")))
		return begin_if(t, view_trim(view_from(line, 2)), number, why);
	r = add_rule(t, number);
	error = pattern(r, &line, why);
	if (error != 0)
		return error;
	if (line.len == 0) {
		buf_put_str(why, "the pattern has no result");
		return PK_ESYNTAX;
	}
	r->value = view_dup(line);
	return check_value(r, line, why);
}

static struct pcre *
pcre_new(const char *path)
{
	struct pcre *t = XNEW(struct pcre);

	t->path = xstrdup(path);
	t->context = pcre2_match_context_create(NULL);
	t->match = pcre2_match_data_create(GROUPS_MAX, NULL);
	if (t->context == NULL || t->match == NULL)
		log_fatal("out of memory");
	pcre2_set_match_limit(t->context, MATCH_STEPS);
	pcre2_set_depth_limit(t->context, MATCH_DEPTH);
	pcre2_set_heap_limit(t->context, MATCH_HEAP_KIB);
	return t;
}

static int
pcre_line(void *arg, struct view line, unsigned number, struct buf *why)
{
	return parse_line(arg, line, number, why);
}

static int
pcre_load(struct view text, const char *path, void **data_r, struct buf *why)
{
	struct pcre *t = pcre_new(path);
	int error = table_rules_load(text, path, pcre_line, t, &t->depth, why);

	if (error != 0) {
		pcre_close(t);
		return error;
	}
	*data_r = t;
	return 0;
}

/* ---- looking up ---- */

static void
put_group(struct buf *b, const struct pcre *t, struct view key, int rc, int group)
{
	const PCRE2_SIZE *o = pcre2_get_ovector_pointer(t->match);

	/* A group beyond rc, or with its end before its start (\K), is empty. */
	if (group >= rc || o[2 * group] == PCRE2_UNSET ||
	    o[2 * group] > o[2 * group + 1] || o[2 * group + 1] > key.len)
		return;
	buf_put(b, key.p + o[2 * group], o[2 * group + 1] - o[2 * group]);
}

static void
put_value(struct buf *b, const struct pcre *t, const struct rule *r, struct view key,
    int rc)
{
	struct view v = view_str(r->value);
	size_t i, n;
	int group;

	for (i = 0; i < v.len; i += n) {
		n = 1;
		if (v.p[i] != '$') {
			buf_put_char(b, v.p[i]);
			continue;
		}
		n = reference(view_from(v, i), &group);
		if (group < 0)
			buf_put_char(b, '$');
		else
			put_group(b, t, key, rc, group);
	}
}

static int
pcre_get(void *data, struct view key, struct buf *value_r)
{
	struct pcre *t = data;
	const struct rule *r;
	size_t i = 0;
	int rc;

	while (i < t->count) {
		r = &t->rules[i++];
		rc = pcre2_match(r->code, (PCRE2_SPTR)key.p, key.len, 0, 0,
		    t->match, t->context);
		if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
			log_error("%s, line %u: the pattern takes too long for"
			    " \"%.*s\" (PCRE2 error %d)", t->path, r->line,
			    VIEW_ARG(view_head(key, 100)), rc);
			return PK_ETEMP;
		}
		if ((rc >= 0) != r->negated) {
			if (r->value == NULL)
				continue;
			put_value(value_r, t, r, key, rc);
			return 0;
		}
		if (r->value == NULL)
			i = r->skip_to;
	}
	return PK_ENOENT;
}

static size_t
pcre_count(const void *data)
{
	return ((const struct pcre *)data)->count;
}

const struct table_type table_type_pcre = {
	.name = "pcre",
	.suffix = "",
	.pattern = true,
	.fold = false,
	.load_text = pcre_load,
	.get = pcre_get,
	.count = pcre_count,
	.close = pcre_close,
};
