/* SPDX-License-Identifier: ISC */
/*
 * seccomp.c: from the rows of sandbox_profiles.c to a filter in the kernel.
 *
 * What no row allows answers ENOSYS, as an older kernel would, so that
 * libraries take their other way; what an attacker would reach for answers
 * EPERM, so that it can be told apart in a trace. The filter is a binary
 * tree, and the kernel remembers which calls are allowed whatever their
 * arguments: these cost next to nothing.
 */
#include <errno.h>
#include <seccomp.h>
#include <unistd.h>

#include "base/error.h"
#include "sys/sandbox_internal.h"

static bool
is_for(const struct sandbox_call *row, unsigned needs)
{
	return (row->needs == 0 || (row->needs & needs) != 0) &&
	    (row->unless & needs) == 0;
}

static int
allow(scmp_filter_ctx ctx, const struct sandbox_call *row)
{
	struct scmp_arg_cmp cmp[2];
	unsigned i, n = 0;

	for (i = 0; i < 2; i++) {
		unsigned arg = row->when[i].arg;

		switch (row->when[i].cmp) {
		case SANDBOX_ANY:
			break;
		case SANDBOX_EQ:
			cmp[n++] =
			    SCMP_CMP(arg, SCMP_CMP_EQ, row->when[i].value, 0);
			break;
		case SANDBOX_MASK:
			cmp[n++] = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ,
			    row->when[i].mask, row->when[i].value);
			break;
		case SANDBOX_OWN_PID:
			cmp[n++] = SCMP_CMP(
			    arg, SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0);
			break;
		}
	}
	return seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, row->nr, n, cmp);
}

/* True if some row allows the call to this role in some way. */
static bool
has_row(int nr, unsigned needs)
{
	size_t i;

	for (i = 0; i < sandbox_ncalls; i++) {
		if (sandbox_calls[i].nr == nr &&
		    is_for(&sandbox_calls[i], needs))
			return true;
	}
	return false;
}

static int
refuse(scmp_filter_ctx ctx, int nr)
{
	int rc = seccomp_rule_add_exact(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);

	/* Not on this architecture. */
	return rc == -EDOM || rc == -EINVAL ? 0 : rc;
}

static int
fill_allow_list(scmp_filter_ctx ctx, unsigned needs)
{
	size_t i;
	int rc;

	for (i = 0; i < sandbox_ncalls; i++) {
		if (!is_for(&sandbox_calls[i], needs))
			continue;
		rc = allow(ctx, &sandbox_calls[i]);
		if (rc != 0)
			return rc;
	}
	for (i = 0; i < sandbox_ndangerous; i++) {
		if (has_row(sandbox_dangerous[i], needs))
			continue;
		rc = refuse(ctx, sandbox_dangerous[i]);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* What starts other processes hands its filter down: only what none needs. */
static int
fill_deny_list(scmp_filter_ctx ctx)
{
	size_t i;
	int rc;

	for (i = 0; i < sandbox_nnever; i++) {
		rc = refuse(ctx, sandbox_never[i]);
		if (rc != 0)
			return rc;
	}
	return 0;
}

int
sandbox_seccomp(unsigned needs)
{
	bool starts_others = (needs & SANDBOX_FORK_EXEC) != 0;
	scmp_filter_ctx ctx;
	int rc;

	ctx = seccomp_init(
	    starts_others ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(ENOSYS));
	if (ctx == NULL)
		return PK_EUNSUPPORTED;
	/* A call of a foreign architecture is nobody's mistake. */
	rc = seccomp_attr_set(
	    ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (rc == 0)
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = starts_others ? fill_deny_list(ctx) :
				     fill_allow_list(ctx, needs);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc == 0)
		return 0;
	errno = -rc;
	return PK_ESYS;
}
