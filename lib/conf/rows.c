/* SPDX-License-Identifier: ISC */
/*
 * rows.c: the table of parameters, names in it, and values of its types.
 *
 * params.def is read here once more, for the rows that programs walk. A name
 * that is not found is compared with all others, so that a slip of the
 * fingers is answered with what was meant.
 */
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"
#include "conf/conf_private.h"

#define OFFSET(name) offsetof(struct conf, name)

const struct conf_row conf_rows[] = {
#define PARAM_BOOL(n, d, s, a, t)					\
	{ #n, CONF_BOOL, d, 0, 0, 0, NULL, s, a, t, OFFSET(n) },
#define PARAM_INT(n, d, lo, hi, s, a, t)				\
	{ #n, CONF_INT, #d, 0, lo, hi, NULL, s, a, t, OFFSET(n) },
#define PARAM_TIME(n, d, u, lo, hi, s, a, t)				\
	{ #n, CONF_TIME, d, u, lo, hi, NULL, s, a, t, OFFSET(n) },
#define PARAM_SIZE(n, d, lo, hi, s, a, t)				\
	{ #n, CONF_SIZE, d, 0, lo, hi, NULL, s, a, t, OFFSET(n) },
#define PARAM_STRING(n, d, s, a, t)					\
	{ #n, CONF_STRING, d, 0, 0, 0, NULL, s, a, t, OFFSET(n) },
#define PARAM_LIST(n, d, s, a, t)					\
	{ #n, CONF_LIST, d, 0, 0, 0, NULL, s, a, t, OFFSET(n) },
#define PARAM_ENUM(n, d, w, s, a, t)					\
	{ #n, CONF_ENUM, d, 0, 0, 0, w, s, a, t, OFFSET(n) },
#include "conf/params.def"
#include "conf/params_undef.h"
};
const size_t conf_nrows = NELEMS(conf_rows);

/* Postfix's names for what is a row of another name here. */
static const struct {
	const char	*postfix;
	const char	*row;
} aliases[] = {
	{ "default_destination_concurrency_limit", "destination_concurrency_limit" },
	{ "default_destination_recipient_limit", "destination_recipient_limit" },
	{ "default_destination_rate_delay", "destination_rate_delay" },
	{ "default_destination_concurrency_failed_cohort_limit",
	    "destination_concurrency_failed_cohort_limit" },
	{ "default_initial_destination_concurrency", "initial_destination_concurrency" },
};

ptrdiff_t
conf_row_find(struct view name)
{
	size_t i;

	for (i = 0; i < NELEMS(aliases); i++)
		if (view_eq(name, view_str(aliases[i].postfix)))
			name = view_str(aliases[i].row);
	for (i = 0; i < conf_nrows; i++)
		if (view_eq(name, view_str(conf_rows[i].name)))
			return (ptrdiff_t)i;
	return -1;
}

const char *
conf_raw(const struct conf_private *p, const struct conf_set *set, size_t row)
{
	if (set->slots[row].raw != NULL)
		return set->slots[row].raw;
	if (p->global->slots[row].raw != NULL)
		return p->global->slots[row].raw;
	if (row == CONF_I_myhostname && p->host_default != NULL)
		return p->host_default;
	return conf_rows[row].def;
}

/* Levenshtein's distance; both are at most CONF_NAME_MAX long. */
static unsigned
distance(struct view a, struct view b)
{
	unsigned row[CONF_NAME_MAX + 1], diagonal, above, best;
	size_t i, k;

	for (k = 0; k <= b.len; k++)
		row[k] = (unsigned)k;
	for (i = 1; i <= a.len; i++) {
		diagonal = row[0];
		row[0] = (unsigned)i;
		for (k = 1; k <= b.len; k++) {
			above = row[k];
			best = diagonal + (a.p[i - 1] != b.p[k - 1]);
			if (above + 1 < best)
				best = above + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
			diagonal = above;
		}
	}
	return row[b.len];
}

const char *
conf_nearest(struct view name)
{
	/* A third of the letters wrong is another word. */
	unsigned best = (unsigned)name.len / 3 + 1, d;
	const char *near = NULL;
	size_t i;

	if (name.len > CONF_NAME_MAX)
		return NULL;
	for (i = 0; i < conf_nrows; i++) {
		d = distance(name, view_str(conf_rows[i].name));
		if (d < best) {
			best = d;
			near = conf_rows[i].name;
		}
	}
	return near;
}

/* ---- values ---- */

static int
parse_bool(struct view v, bool *b_r)
{
	if (view_caseeq(v, VIEW("yes")))
		*b_r = true;
	else if (view_caseeq(v, VIEW("no")))
		*b_r = false;
	else
		return PK_ESYNTAX;
	return 0;
}

/* The row's own word that v is, or NULL. */
static bool
enum_has(const char *words, struct view v)
{
	struct view all = view_str(words), word;

	while (view_next(&all, "|", &word))
		if (view_eq(word, v))
			return true;
	return false;
}

static int
number_parse(const struct conf_row *row, struct view v, void *member, struct buf *why)
{
	uint64_t n = 0;
	int error;

	if (row->type == CONF_TIME)
		error = num_parse_time_ms(v, row->unit, &n);
	else if (row->type == CONF_SIZE)
		error = num_parse_size(v, &n);
	else
		error = num_parse_u64(v, 0, INT64_MAX, &n);
	if (error == 0 && (n > INT64_MAX || (int64_t)n < row->least ||
	    (int64_t)n > row->greatest))
		error = PK_ERANGE;
	if (error == 0 && row->type == CONF_INT)
		*(int64_t *)member = (int64_t)n;
	else if (error == 0)
		*(uint64_t *)member = n;
	if (error == PK_ERANGE)
		buf_printf(why, "it must be between %lld and %lld%s", (long long)row->least,
		    (long long)row->greatest, row->type == CONF_TIME ? " milliseconds" :
		    row->type == CONF_SIZE ? " bytes" : "");
	else if (error != 0)
		buf_put_str(why, row->type == CONF_TIME ?
		    "write a time such as 30s, 5m, 2h or 1d" :
		    row->type == CONF_SIZE ? "write bytes, or such as 64k, 10m, 1g" :
		    "write a number");
	return error;
}

int
conf_value_parse(const struct conf_row *row, struct view value, struct conf *c, struct buf *why)
{
	void *member = (char *)c + row->offset;
	int error;

	switch (row->type) {
	case CONF_BOOL:
		error = parse_bool(value, member);
		if (error != 0)
			buf_put_str(why, "write yes or no");
		return error;
	case CONF_INT:
	case CONF_TIME:
	case CONF_SIZE:
		return number_parse(row, value, member, why);
	case CONF_ENUM:
		if (!enum_has(row->words, value)) {
			buf_printf(why, "it must be one of %s", row->words);
			return PK_ESYNTAX;
		}
		break;
	case CONF_LIST:
		if (view_caseends(view_str(row->name), VIEW("_restrictions")) &&
		    conf_restrictions_check(value, why) != 0)
			return PK_ESYNTAX;
		break;
	case CONF_STRING:
		break;
	}
	/* The set's own copy: value ends in a NUL there. */
	*(const char **)member = value.p;
	return 0;
}
