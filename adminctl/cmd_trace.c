/* SPDX-License-Identifier: ISC */
/*
 * cmd_trace.c: adminctl trace: what happened to this mail, in words.
 *
 * The log is the story and the queue is the present. The log files (rotated
 * ones first) are read once to find the queue ids that an address or a
 * Message-ID belongs to, and once more for everything about them; nothing is
 * stored a second time for this. What strangers wrote in the log is shown
 * with control bytes replaced.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "queue/record.h"
#include "sys/fd.h"

#define LINE_IDS_MAX	10000	/* messages told about; more are counted */

struct log_file {
	struct view	 text;		/* mapped */
};

struct told {
	char		*time, *process, *text;
	TAILQ_ENTRY(told) link;
};

struct story {
	char		 id[RECORD_ID_TEXT_MAX];
	TAILQ_HEAD(, told) events;
	TAILQ_ENTRY(story) link;
};

struct trace {
	const struct context *x;
	struct view	 what;
	struct log_file	*files;
	size_t		 nfiles;
	struct map	*ids;		/* queue id -> struct story */
	TAILQ_HEAD(stories, story) stories;
	TAILQ_HEAD(, told) refused;	/* NOQUEUE lines with the address */
	size_t		 more;		/* ids over LINE_IDS_MAX */
};

/* One line of the log, whichever format it has. */
struct line {
	struct view	time, process, text;
};

static void
map_file(struct trace *t, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (p != MAP_FAILED) {
			t->files = xreallocarray(t->files, t->nfiles + 1, sizeof(*t->files));
			t->files[t->nfiles++].text = view_of(p, (size_t)st.st_size);
		}
	}
	close(fd);
}

static void
open_files(struct trace *t)
{
	const char *base = t->x->conf->maillog_file;
	struct buf path;
	int64_t i;

	if (base[0] == '\0') {
		fprintf(stderr, "adminctl: maillog_file is empty: only the queue is known\n");
		return;
	}
	if (access(base, R_OK) != 0)
		fprintf(stderr, "adminctl: cannot read %s: %s\n", base, strerror(errno));
	buf_init(&path, 4096);
	for (i = t->x->conf->maillog_rotate_count; i >= 1; i--) {
		buf_reset(&path);
		buf_printf(&path, "%s.%lld", base, (long long)i);
		map_file(t, buf_cstr(&path));
	}
	map_file(t, base);
	buf_fini(&path);
}

static bool
next_line(struct view *rest, struct view *line_r)
{
	const char *nl;

	if (rest->len == 0)
		return false;
	nl = memchr(rest->p, '\n', rest->len);
	*line_r = view_head(*rest, nl != NULL ? (size_t)(nl - rest->p) : rest->len);
	*rest = view_from(*rest, line_r->len + 1);
	return true;
}

/* "Nov 20 15:17:29 host postkeep/smtpd[123]: text" */
static bool
read_postfix_line(struct view raw, struct line *l_r)
{
	const char *colon;
	struct view head;
	ptrdiff_t at;

	if (raw.len < 20)
		return false;
	colon = memmem(raw.p, raw.len, "]: ", 3);
	if (colon == NULL)
		return false;
	head = view_of(raw.p, (size_t)(colon - raw.p));
	at = view_rfind(head, ' ');
	if (at < 0)
		return false;
	l_r->process = view_from(head, (size_t)at + 1);
	l_r->process = view_head(l_r->process, (size_t)view_find(l_r->process, '['));
	head = view_head(head, (size_t)at);
	at = view_rfind(head, ' ');
	l_r->time = at > 0 ? view_head(head, (size_t)at) : head;
	l_r->text = view_from(raw, (size_t)(colon - raw.p) + 3);
	return true;
}

/* A string member of a log line in JSON, found without parsing the whole. */
static char *
json_member(const json_t *o, const char *a, const char *b)
{
	const char *s = json_string_value(json_object_get(o, a));

	if (s == NULL)
		s = json_string_value(json_object_get(o, b));
	return xstrdup(s != NULL ? s : "");
}

static struct told *
told_of(struct view raw)
{
	struct told *e = XNEW(struct told);
	json_error_t why;
	struct line l;
	json_t *o;

	if (raw.len > 0 && raw.p[0] == '{' &&
	    (o = json_loadb(raw.p, raw.len, 0, &why)) != NULL) {
		e->time = json_member(o, "time", "ts");
		e->process = json_member(o, "program", "process");
		e->text = json_member(o, "text", "message");
		json_decref(o);
		return e;
	}
	if (!read_postfix_line(raw, &l)) {
		xfree(e);
		return NULL;
	}
	e->time = view_dup(l.time);
	e->process = view_dup(l.process);
	e->text = view_dup(l.text);
	return e;
}

static void
told_free(struct told *e)
{
	xfree(e->time);
	xfree(e->process);
	xfree(e->text);
	xfree(e);
}

/* The queue id that a line is about: hex digits right behind "]: " or "text":". */
static bool
line_id(struct view raw, struct view *id_r)
{
	const char *start = memmem(raw.p, raw.len, "]: ", 3);
	struct view rest;
	size_t n = 0;

	if (raw.len > 0 && raw.p[0] == '{') {
		start = memmem(raw.p, raw.len, "\"text\":", 7);
		if (start == NULL)
			return false;
		rest = view_from(raw, (size_t)(start - raw.p) + 7);
		rest = view_from(view_trim(rest), 1);
	} else {
		if (start == NULL)
			return false;
		rest = view_from(raw, (size_t)(start - raw.p) + 3);
	}
	while (n < rest.len && (ascii_isdigit(rest.p[n]) || (rest.p[n] >= 'A' && rest.p[n] <= 'F')))
		n++;
	if (n < 10 || n > 16 || n >= rest.len || rest.p[n] != ':')
		return false;
	*id_r = view_head(rest, n);
	return true;
}

static struct story *
add_story(struct trace *t, struct view id)
{
	struct story *s = map_get(t->ids, id);

	if (s != NULL || id.len >= RECORD_ID_TEXT_MAX)
		return s;
	if (map_count(t->ids) >= LINE_IDS_MAX) {
		t->more++;
		return NULL;
	}
	s = XNEW(struct story);
	memcpy(s->id, id.p, id.len);
	TAILQ_INIT(&s->events);
	map_put(t->ids, id, s);
	TAILQ_INSERT_TAIL(&t->stories, s, link);
	return s;
}

static bool
contains(struct view hay, struct view needle)
{
	return memmem(hay.p, hay.len, needle.p, needle.len) != NULL;
}

/* First reading: which queue ids does the address or Message-ID belong to? */
static void
find_ids(struct trace *t)
{
	struct view rest, raw, id;
	struct told *e;
	size_t i;

	for (i = 0; i < t->nfiles; i++) {
		rest = t->files[i].text;
		while (next_line(&rest, &raw)) {
			if (!contains(raw, t->what))
				continue;
			if (line_id(raw, &id))
				add_story(t, id);
			else if (contains(raw, VIEW("NOQUEUE: ")) && (e = told_of(raw)) != NULL)
				TAILQ_INSERT_TAIL(&t->refused, e, link);
		}
	}
}

/* Second reading: everything about them. */
static void
collect(struct trace *t)
{
	struct view rest, raw, id;
	struct story *s;
	struct told *e;
	size_t i;

	for (i = 0; i < t->nfiles; i++) {
		rest = t->files[i].text;
		while (next_line(&rest, &raw)) {
			if (!line_id(raw, &id) || (s = map_get(t->ids, id)) == NULL)
				continue;
			e = told_of(raw);
			if (e != NULL)
				TAILQ_INSERT_TAIL(&s->events, e, link);
		}
	}
}

/* The value behind `name=` in a log line, up to the comma (or inside <>). */
static struct view
value_of(struct view text, const char *name)
{
	struct view key = view_str(name), v;
	const char *p = memmem(text.p, text.len, key.p, key.len);
	ptrdiff_t end;

	if (p == NULL)
		return VIEW_NONE;
	v = view_from(text, (size_t)(p - text.p) + key.len);
	if (v.len > 0 && v.p[0] == '<') {
		end = view_find(v, '>');
		return end > 0 ? view_head(v, (size_t)end + 1) : v;
	}
	end = view_find(v, ',');
	return end >= 0 ? view_head(v, (size_t)end) : v;
}

static struct view
parenthesised(struct view text)
{
	const char *status = memmem(text.p, text.len, "status=", 7);
	struct view v;
	ptrdiff_t open;

	if (status == NULL)
		return VIEW_NONE;
	v = view_from(text, (size_t)(status - text.p));
	open = view_find(v, '(');
	if (open < 0)
		return VIEW_NONE;
	v = view_from(v, (size_t)open + 1);
	return v.len > 0 && v.p[v.len - 1] == ')' ? view_head(v, v.len - 1) : v;
}

static void
tell_delivery(struct buf *b, struct view text)
{
	static const struct {
		const char *status, *words;
	} table[] = {
		{ "status=sent", "was delivered to" },
		{ "status=deferred", "could not be delivered yet to" },
		{ "status=bounced", "failed for good for" },
		{ "status=expired", "was given up after its lifetime for" },
		{ "status=undeliverable", "cannot be delivered to" },
		{ "status=deliverable", "could be delivered to" },
	};
	struct view why = parenthesised(text), relay = value_of(text, "relay=");
	struct view delay = value_of(text, " delay=");
	size_t i;

	for (i = 0; i < NELEMS(table); i++)
		if (contains(text, view_str(table[i].status)))
			break;
	buf_printf(b, "%s %.*s", i < NELEMS(table) ? table[i].words : "was tried for",
	    VIEW_ARG(value_of(text, "to=")));
	if (relay.len > 0 && !view_eq(relay, VIEW("none")))
		buf_printf(b, " by %.*s", VIEW_ARG(relay));
	if (delay.len > 0)
		buf_printf(b, ", %.*s s after it came", VIEW_ARG(delay));
	if (why.len > 0)
		buf_printf(b, ": %.*s", VIEW_ARG(why));
}

static void
tell_origin(struct buf *b, struct view text)
{
	struct view tls = value_of(text, "tls="), login = value_of(text, "sasl_username=");
	ptrdiff_t slash = view_find(tls, '/');

	buf_printf(b, "came from %.*s", VIEW_ARG(value_of(text, "client=")));
	if (slash > 0)
		buf_printf(b, " over %.*s with %.*s", VIEW_ARG(view_head(tls, (size_t)slash)),
		    VIEW_ARG(view_from(tls, (size_t)slash + 1)));
	if (login.len > 0)
		buf_printf(b, ", logged in as %.*s by %.*s", VIEW_ARG(login),
		    VIEW_ARG(value_of(text, "sasl_method=")));
}

/* One event as a sentence; what has no sentence of its own is shown as logged. */
static void
tell(struct buf *b, const struct told *e)
{
	struct view text = view_str(e->text), v;
	ptrdiff_t colon = view_find(text, ':');

	text = view_trim(view_from(text, (size_t)(colon + 1)));
	if (view_starts(text, VIEW("client=")))
		tell_origin(b, text);
	else if (view_eq(text, VIEW("message-id=<>")))
		buf_put_str(b, "has no Message-ID");
	else if (view_starts(text, VIEW("message-id=")))
		buf_printf(b, "calls itself %.*s", VIEW_ARG(value_of(text, "message-id=")));
	else if (view_starts(text, VIEW("from="))) {
		v = value_of(text, "nrcpt=");
		v = view_head(v, view_find(v, ' ') > 0 ? (size_t)view_find(v, ' ') : v.len);
		buf_printf(b, "entered the queue: from %.*s, %.*s bytes, %.*s recipient%s",
		    VIEW_ARG(value_of(text, "from=")), VIEW_ARG(value_of(text, "size=")),
		    VIEW_ARG(v), view_eq(v, VIEW("1")) ? "" : "s");
	} else if (view_starts(text, VIEW("to=")))
		tell_delivery(b, text);
	else if (view_starts(text, VIEW("removed")))
		buf_put_str(b, "is finished and was removed from the queue");
	else if (contains(text, VIEW("non-delivery notification: ")))
		buf_printf(b, "its sender was told, by message %.*s",
		    VIEW_ARG(view_from(text, (size_t)view_rfind(text, ' ') + 1)));
	else
		buf_put_view(b, text);
}

/* That a finished message is not in the queue, or that qmgr is away, is no error here. */
static json_t *
ask_quietly(const struct trace *t, const char *verb, json_t *args)
{
	int status, keep = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	json_t *answer;

	(void)dup2(null, STDERR_FILENO);
	answer = client_ask_whole(t->x, IPC_ROLE_qmgr, verb, args, &status);
	(void)dup2(keep, STDERR_FILENO);
	close(keep);
	close(null);
	json_decref(args);
	return answer;
}

static json_t *
ask_queue(const struct trace *t, const char *id)
{
	json_t *answer = ask_quietly(t, "queue trace", json_pack("{s:s}", "id", id)), *now;

	now = json_incref(json_object_get(answer, "message"));
	json_decref(answer);
	if (json_is_object(now))
		return now;
	json_decref(now);
	return NULL;
}

/* What the log does not know (yet): messages of an address that are in the queue now. */
static void
find_in_queue(struct trace *t, const char *member)
{
	json_t *args = json_object(), *answer;
	const json_t *m;
	const char *id;
	size_t i;

	json_object_set_new(args, member, json_stringn(t->what.p, t->what.len));
	json_object_set_new(args, "limit", json_integer(LINE_IDS_MAX));
	answer = ask_quietly(t, "queue list", args);
	json_array_foreach(json_object_get(answer, "messages"), i, m) {
		id = json_string_value(json_object_get(m, "id"));
		if (id != NULL)
			add_story(t, view_str(id));
	}
	json_decref(answer);
}

static void
print_told(const struct told *e, bool sentence)
{
	struct buf words, shown;

	buf_init(&words, 1 << 16);
	buf_init(&shown, 1 << 17);
	if (sentence)
		tell(&words, e);
	else
		buf_put_str(&words, e->text);
	render_text(&shown, view_str(e->time));
	buf_put_str(&shown, "  ");
	render_text(&shown, buf_view(&words));
	printf("  %s\n", buf_cstr(&shown));
	buf_fini(&words);
	buf_fini(&shown);
}

static void
put_known(struct buf *b, const json_t *now, const char *key, const char *words,
    enum column_kind kind)
{
	const json_t *v = json_object_get(now, key);

	if (v == NULL)
		return;
	buf_put_str(b, words);
	render_value(b, v, kind);
}

static void
print_now(const json_t *now)
{
	const json_t *rcpts = json_object_get(now, "recipients"), *r;
	struct buf b;
	size_t i;

	if (now == NULL) {
		printf("  now: not in the queue\n");
		return;
	}
	buf_init(&b, 1 << 16);
	buf_printf(&b, "  now: in the queue, %s", json_string_value(json_object_get(now, "state")));
	put_known(&b, now, "class", ", class ", COL_TEXT);
	put_known(&b, now, "sasl_username", ", logged in as ", COL_TEXT);
	put_known(&b, now, "hold", ", on hold: ", COL_TEXT);
	put_known(&b, now, "hold_until_ms", ", not before ", COL_TIME);
	printf("%s\n", buf_cstr(&b));
	json_array_foreach(rcpts, i, r) {
		buf_reset(&b);
		buf_put_str(&b, "    ");
		render_value(&b, json_object_get(r, "address"), COL_TEXT);
		buf_put_str(&b, ": ");
		render_value(&b, json_object_get(r, "state"), COL_TEXT);
		if (json_integer_value(json_object_get(r, "next_ms")) > 0) {
			buf_put_str(&b, ", next attempt ");
			render_value(&b, json_object_get(r, "next_ms"), COL_TIME);
		}
		if (json_string_length(json_object_get(r, "reply")) > 0) {
			buf_put_str(&b, ", last answer: ");
			render_value(&b, json_object_get(r, "reply"), COL_TEXT);
		}
		printf("%s\n", buf_cstr(&b));
	}
	buf_fini(&b);
}

static json_t *
told_json(const struct told *e)
{
	struct buf b;
	json_t *o;

	buf_init(&b, 1 << 16);
	tell(&b, e);
	o = json_pack("{s:s, s:s, s:s, s:s}", "time", e->time, "process", e->process,
	    "text", e->text, "words", buf_cstr(&b));
	buf_fini(&b);
	return o != NULL ? o : json_object();
}

static json_t *
story_json(const struct story *s, json_t *now)
{
	json_t *events = json_array();
	const struct told *e;

	TAILQ_FOREACH(e, &s->events, link)
		json_array_append_new(events, told_json(e));
	return json_pack("{s:s, s:o, s:o}", "id", s->id, "events", events,
	    "now", now != NULL ? json_incref(now) : json_null());
}

/* How many messages were told about. */
static size_t
report(struct trace *t)
{
	json_t *doc = json_array(), *refused = json_array(), *now, *whole;
	const struct told *e;
	const struct story *s;
	size_t told = 0;

	TAILQ_FOREACH(s, &t->stories, link) {
		now = ask_queue(t, s->id);
		if (TAILQ_EMPTY(&s->events) && now == NULL)
			continue;
		told++;
		if (t->x->json)
			json_array_append_new(doc, story_json(s, now));
		else {
			printf("%s\n", s->id);
			TAILQ_FOREACH(e, &s->events, link)
				print_told(e, true);
			print_now(now);
		}
		json_decref(now);
	}
	if (!TAILQ_EMPTY(&t->refused) && !t->x->json)
		printf("refused before it was taken:\n");
	TAILQ_FOREACH(e, &t->refused, link) {
		told++;
		if (t->x->json)
			json_array_append_new(refused, told_json(e));
		else
			print_told(e, false);
	}
	if (t->more > 0 && !t->x->json)
		printf("and %zu more\n", t->more);
	whole = json_pack("{s:i, s:o, s:o}", "version", 1, "messages", doc, "refused", refused);
	if (t->x->json) {
		json_dumpf(whole, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(whole);
	return told;
}

static void
trace_fini(struct trace *t)
{
	struct story *s;
	struct told *e;
	size_t i;

	while ((s = TAILQ_FIRST(&t->stories)) != NULL) {
		TAILQ_REMOVE(&t->stories, s, link);
		while ((e = TAILQ_FIRST(&s->events)) != NULL) {
			TAILQ_REMOVE(&s->events, e, link);
			told_free(e);
		}
		xfree(s);
	}
	while ((e = TAILQ_FIRST(&t->refused)) != NULL) {
		TAILQ_REMOVE(&t->refused, e, link);
		told_free(e);
	}
	for (i = 0; i < t->nfiles; i++)
		munmap((void *)(uintptr_t)t->files[i].text.p, t->files[i].text.len);
	xfree(t->files);
	map_free(&t->ids, NULL);
}

int
run_trace(const struct context *x, const json_t *args)
{
	struct trace t = { .x = x, .ids = map_new() };
	size_t told;
	uint64_t id;

	t.what = view_str(json_string_value(json_object_get(args, "what")));
	TAILQ_INIT(&t.stories);
	TAILQ_INIT(&t.refused);
	open_files(&t);
	if (record_id_parse(t.what, &id) == 0) {
		add_story(&t, t.what);
	} else {
		find_ids(&t);
		find_in_queue(&t, "recipient");
		find_in_queue(&t, "sender");
	}
	collect(&t);
	told = report(&t);
	if (told == 0)
		fprintf(stderr, "adminctl: nothing is known of %.*s\n", VIEW_ARG(t.what));
	trace_fini(&t);
	return told > 0 ? EXIT_OK : EXIT_NOTHING;
}
