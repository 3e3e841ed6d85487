/* SPDX-License-Identifier: ISC */
/*
 * sasl_gsasl.c of authd: sessions of libgsasl.
 *
 * libgsasl asks for passwords and verifiers by a callback that must answer at
 * once; ours come later, from threads. So nothing is answered there: what a
 * mechanism needs is set as a property before the step that needs it, and
 * "is this password right?" is only noted (sasl.asked), to be answered by
 * verify.c. libgsasl's GSASL_OK alone never lets anybody in.
 */
#include <string.h>

#include "authd/sasl_private.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

int
sasl_gsasl_callback(Gsasl *g, Gsasl_session *session, Gsasl_property property)
{
	struct sasl *s = gsasl_session_hook_get(session);

	(void)g;
	if (s == NULL ||
	    (property != GSASL_VALIDATE_SIMPLE &&
		property != GSASL_VALIDATE_EXTERNAL))
		return GSASL_NO_CALLBACK;
	s->asked = true;
	return GSASL_OK;
}

int
sasl_gsasl_begin(struct sasl *s)
{
	int rc =
	    gsasl_server_start(s->d->sasl->gsasl, s->mech->gsasl, &s->session);

	if (rc != GSASL_OK) {
		log_warn("SASL %s: %s", s->mech->name, gsasl_strerror(rc));
		s->session = NULL;
		return PK_EUNSUPPORTED;
	}
	gsasl_session_hook_set(s->session, s);
	return 0;
}

/* What the session holds of secrets is overwritten where it lies. */
static void
wipe_property(Gsasl_session *session, Gsasl_property property)
{
	const char *value = gsasl_property_fast(session, property);
	union {
		const char *in;
		char *out;
	} p = { .in = value };

	if (value != NULL)
		explicit_bzero(p.out, strlen(value));
}

void
sasl_gsasl_end(struct sasl *s)
{
	if (s->session == NULL)
		return;
	wipe_property(s->session, GSASL_PASSWORD);
	wipe_property(s->session, GSASL_SCRAM_STOREDKEY);
	wipe_property(s->session, GSASL_SCRAM_SERVERKEY);
	gsasl_finish(s->session);
	s->session = NULL;
}

int
sasl_gsasl_step(struct sasl *s, struct view input, struct buf *out)
{
	char *in = view_dup(input); /* with a NUL behind: it uses strlen() */
	char *answer = NULL;
	size_t len = 0;
	int rc;

	rc = gsasl_step(s->session, in, input.len, &answer, &len);
	xfree_secret(in, input.len);
	if ((rc == GSASL_OK || rc == GSASL_NEEDS_MORE) && len > 0 &&
	    buf_put(out, answer, len) != 0)
		rc = GSASL_MECHANISM_PARSE_ERROR;
	gsasl_free(answer);
	return rc;
}

void
sasl_gsasl_set(struct sasl *s, Gsasl_property property, struct view value)
{
	wipe_property(s->session, property);
	if (gsasl_property_set_raw(s->session, property, value.p, value.len) !=
	    GSASL_OK)
		log_fatal("SASL %s: out of memory", s->mech->name);
}

const char *
sasl_gsasl_get(struct sasl *s, Gsasl_property property)
{
	const char *value = gsasl_property_fast(s->session, property);

	return value != NULL ? value : "";
}
