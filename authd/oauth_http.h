/* SPDX-License-Identifier: ISC */
/*
 * oauth_http.h: one HTTPS request to a token service, in a thread.
 *
 * The service is verified against the CA, no redirect is followed, an answer
 * has a greatest size and the whole a time limit (F8).
 */
#ifndef PK_AUTHD_OAUTH_HTTP_H
#define PK_AUTHD_OAUTH_HTTP_H

#include <stdbool.h>

#include "authd/work.h"
#include "base/buf.h"
#include "base/view.h"

struct http_client;

struct http_question {
	const char	*url;
	struct view	 body;		/* POST of a form; empty: GET */
	const char	*credentials;	/* "id:secret" for Basic, or NULL */
	size_t		 size_max;
	unsigned	 timeout_ms;
};

/* status 0: no answer, with why (one line). Else what the service said. Once, never from inside. */
typedef void (*http_fn)(long status, struct view answer, const char *why, void *arg);

struct http_request;

/* "https://host...", without a user in it. */
bool	http_url_ok(const char *url);
/* ca: PEM, copied. threads: requests at once. */
struct http_client *http_client_new(struct loop *l, struct view ca, unsigned threads);
/* Waits for what runs: a second at most after http_cancel() of all. */
void	http_client_free(struct http_client **h);
/* NULL: too many wait already. The question is copied. */
struct http_request *http_ask(struct http_client *h, const struct http_question *q, http_fn fn,
	    void *arg);
/* fn will not be called. */
void	http_cancel(struct http_request **r);

/*
 * A circuit breaker: after so many failures in a row nobody is asked for a
 * while, then one question is the probe.
 */
#define HTTP_BREAKER_FAILURES	5
#define HTTP_BREAKER_OPEN_MS	(30 * 1000)

struct http_breaker {
	unsigned	failures;
	uint64_t	open_until_ms;
};

bool	http_breaker_permits(struct http_breaker *b, uint64_t now_ms);
/* True: it opened with this failure. */
bool	http_breaker_note(struct http_breaker *b, bool success, uint64_t now_ms);

#endif
