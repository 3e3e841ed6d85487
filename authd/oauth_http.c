/* SPDX-License-Identifier: ISC */
/*
 * oauth_http.c of authd: requests to token services, by libcurl in threads.
 *
 * A thread touches its request alone. Handles are kept for the next request,
 * with their connection; they change hands in the loop. The time limit is
 * libcurl's, over the whole request: a service that sends a byte a second
 * does not get more.
 */
#include "authd/oauth_http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Questions that wait for a thread; more are answered at once. */
#define WAITING_MAX	64
#define IDLE_MAX	16

struct http_client {
	struct loop	*loop;
	unsigned	 threads;
	struct work_pool *pool;		/* made with the first request: after the confinement */
	struct buf	 ca;
	CURL		*idle[IDLE_MAX];
	unsigned	 nidle;
};

struct http_request {
	struct work_job	 job;
	struct http_client *client;
	http_fn		 fn;
	void		*arg;
	bool		 forgotten;
	CURL		*curl;
	char		*url, *credentials;
	struct buf	 body;
	struct view	 ca;		/* the client's, which outlives the thread */
	unsigned	 timeout_ms;
	int		 stop;		/* atomic: the loop's word to the thread */
	struct buf	 answer;
	long		 status;
	char		 why[CURL_ERROR_SIZE];
};

/* ---- circuit breaker ---- */

bool
http_breaker_permits(struct http_breaker *b, uint64_t now_ms)
{
	if (b->failures < HTTP_BREAKER_FAILURES)
		return true;
	if (now_ms < b->open_until_ms)
		return false;
	/* This one is the probe; the next comes after another while. */
	b->open_until_ms = now_ms + HTTP_BREAKER_OPEN_MS;
	return true;
}

bool
http_breaker_note(struct http_breaker *b, bool success, uint64_t now_ms)
{
	if (success) {
		b->failures = 0;
		return false;
	}
	if (b->failures < HTTP_BREAKER_FAILURES)
		b->failures++;
	if (b->failures < HTTP_BREAKER_FAILURES)
		return false;
	b->open_until_ms = now_ms + HTTP_BREAKER_OPEN_MS;
	return true;
}

/* ---- in the thread ---- */

static size_t
on_bytes(char *data, size_t one, size_t n, void *arg)
{
	struct http_request *r = arg;

	/* Fewer than were given ends the transfer. */
	return buf_put(&r->answer, data, one * n) == 0 ? one * n : 0;
}

/* Called about once a second, whatever is waited for. */
static int
on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct http_request *r = arg;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return __atomic_load_n(&r->stop, __ATOMIC_RELAXED);
}

static void
set_options(struct http_request *r, struct curl_slist *headers)
{
	CURL *c = r->curl;
	union {
		const char *in;
		void *out;
	} pem = { .in = r->ca.p };
	struct curl_blob ca = {
		.data = pem.out, .len = r->ca.len, .flags = CURL_BLOB_NOCOPY
	};

	curl_easy_reset(c);
	curl_easy_setopt(c, CURLOPT_URL, r->url);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &ca);
	curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, r->why);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, r);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "Postkeep");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	if (r->credentials != NULL) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(c, CURLOPT_USERPWD, r->credentials);
	}
	if (r->body.len > 0) {
		curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)r->body.len);
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, buf_data(&r->body));
	}
}

static void
run(struct work_job *j)
{
	struct http_request *r = (struct http_request *)(void *)j;
	struct curl_slist *headers;
	CURLcode rc;

	if (r->curl == NULL)
		r->curl = curl_easy_init();
	headers = curl_slist_append(NULL, "Accept: application/json");
	if (r->curl == NULL || headers == NULL) {
		snprintf(r->why, sizeof(r->why), "out of memory");
		curl_slist_free_all(headers);
		return;
	}
	set_options(r, headers);
	rc = curl_easy_perform(r->curl);
	if (rc == CURLE_OK)
		curl_easy_getinfo(r->curl, CURLINFO_RESPONSE_CODE, &r->status);
	else if (buf_error(&r->answer))
		snprintf(r->why, sizeof(r->why), "the answer is too large");
	else if (r->why[0] == '\0')
		snprintf(r->why, sizeof(r->why), "%s", curl_easy_strerror(rc));
	/* Nothing of this request stays in the handle but its connection. */
	curl_easy_reset(r->curl);
	curl_slist_free_all(headers);
}

/* ---- in the loop ---- */

static void
wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buf_fini(b);
}

static void
request_free(struct http_request *r)
{
	struct http_client *h = r->client;

	if (r->curl != NULL && h->nidle < IDLE_MAX)
		h->idle[h->nidle++] = r->curl;
	else if (r->curl != NULL)
		curl_easy_cleanup(r->curl);
	wipe(&r->body);
	wipe(&r->answer);
	if (r->credentials != NULL)
		xfree_secret(r->credentials, strlen(r->credentials));
	xfree(r->url);
	xfree(r);
}

static void
done(struct work_job *j, bool cancelled)
{
	struct http_request *r = (struct http_request *)(void *)j;

	if (!r->forgotten && !cancelled)
		r->fn(r->status, buf_view(&r->answer), r->why, r->arg);
	request_free(r);
}

bool
http_url_ok(const char *url)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *user = NULL;
	bool ok;

	ok = u != NULL && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	    strcmp(scheme, "https") == 0 &&
	    curl_url_get(u, CURLUPART_USER, &user, 0) != CURLUE_OK;
	curl_free(scheme);
	curl_free(user);
	curl_url_cleanup(u);
	return ok;
}

struct http_client *
http_client_new(struct loop *l, struct view ca, unsigned threads)
{
	struct http_client *h = XNEW(struct http_client);

	h->loop = l;
	h->threads = threads;
	buf_init(&h->ca, ca.len);
	buf_put_view(&h->ca, ca);
	return h;
}

void
http_client_free(struct http_client **hp)
{
	struct http_client *h = *hp;

	if (h == NULL)
		return;
	*hp = NULL;
	work_pool_free(&h->pool);
	while (h->nidle > 0)
		curl_easy_cleanup(h->idle[--h->nidle]);
	buf_fini(&h->ca);
	xfree(h);
}

struct http_request *
http_ask(struct http_client *h, const struct http_question *q, http_fn fn,
    void *arg)
{
	struct http_request *r = XNEW(struct http_request);

	if (h->pool == NULL)
		h->pool = work_pool_new(
		    h->loop, "token services", h->threads, WAITING_MAX);
	r->client = h;
	r->job.run = run;
	r->job.done = done;
	r->fn = fn;
	r->arg = arg;
	r->url = xstrdup(q->url);
	r->credentials =
	    q->credentials != NULL ? xstrdup(q->credentials) : NULL;
	buf_init(&r->body, q->body.len);
	buf_put_view(&r->body, q->body);
	r->ca = buf_view(&h->ca);
	r->timeout_ms = q->timeout_ms;
	buf_init(&r->answer, q->size_max);
	if (h->nidle > 0)
		r->curl = h->idle[--h->nidle];
	if (work_submit(h->pool, &r->job))
		return r;
	request_free(r);
	return NULL;
}

void
http_cancel(struct http_request **rp)
{
	struct http_request *r = *rp;

	if (r == NULL)
		return;
	*rp = NULL;
	r->forgotten = true;
	__atomic_store_n(&r->stop, 1, __ATOMIC_RELAXED);
	work_cancel(r->client->pool, &r->job);
}
