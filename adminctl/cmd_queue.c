/* SPDX-License-Identifier: ISC */
/*
 * cmd_queue.c: adminctl queue view: one message, and its bytes if asked.
 *
 * The message comes in base64 parts and goes out as it is: to a terminal
 * with control bytes replaced, to a file or a pipe byte for byte.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/codec.h"
#include "base/mem.h"

#define PART_MAX	(1U << 16)

struct viewing {
	const struct context *x;
	json_t		*head;		/* first part */
	struct buf	 content;	/* --json keeps it; else printed as it comes */
	bool		 shown;		/* head is on the screen */
	bool		 bad;
};

static void
show_bytes(struct view bytes)
{
	struct buf shown;
	struct view line;
	ptrdiff_t nl;

	if (!isatty(STDOUT_FILENO)) {
		fwrite(bytes.p, 1, bytes.len, stdout);
		return;
	}
	buf_init(&shown, 4 * PART_MAX);
	while (bytes.len > 0) {
		nl = view_find(bytes, '\n');
		line = view_head(bytes, nl >= 0 ? (size_t)nl : bytes.len);
		bytes = view_from(bytes, line.len + 1);
		if (line.len > 0 && line.p[line.len - 1] == '\r')
			line.len--;
		render_text(&shown, line);
		if (nl >= 0)
			buf_put_char(&shown, '\n');
	}
	fwrite(buf_data(&shown), 1, shown.len, stdout);
	buf_fini(&shown);
}

/* The message, or more of its recipients: a message may have 100,000. */
static void
head_part(struct viewing *v, json_t *part)
{
	json_t *all, *more = json_object_get(part, "recipients");

	if (v->head == NULL) {
		v->head = json_incref(part);
		return;
	}
	all = json_object_get(json_object_get(v->head, "message"), "recipients");
	if (all != NULL && more != NULL)
		json_array_extend(all, more);
}

static bool
view_part(json_t *part, bool last, void *arg)
{
	struct viewing *v = arg;
	const json_t *text = json_object_get(part, "content_base64");
	struct buf bytes;

	(void)last;
	if (text == NULL) {
		head_part(v, part);
		return true;
	}
	if (!v->shown && !v->x->json)
		render_object(v->head);
	v->shown = true;
	buf_init(&bytes, PART_MAX);
	if (base64_decode(&bytes, view_of(json_string_value(text),
	    json_string_length(text))) != 0)
		v->bad = true;
	else if (v->x->json)
		buf_put_view(&v->content, buf_view(&bytes));
	else
		show_bytes(buf_view(&bytes));
	buf_fini(&bytes);
	return !v->bad;
}

int
run_queue_view(const struct context *x, const json_t *args)
{
	struct viewing v = { .x = x };
	struct buf encoded;
	json_t *ask;
	int status;

	ask = json_pack("{s:s, s:s}", "id", json_string_value(json_object_get(args, "id")),
	    "content", json_is_true(json_object_get(args, "content")) ? "full" :
	    json_is_true(json_object_get(args, "header")) ? "header" : "none");
	buf_init(&v.content, 64U << 20);
	status = client_ask(x, IPC_ROLE_qmgr, "queue view", ask, view_part, &v);
	json_decref(ask);
	if (status == EXIT_OK && !x->json && !v.shown && v.head != NULL)
		render_object(v.head);
	if (status == EXIT_OK && (v.bad || buf_error(&v.content) != 0)) {
		fprintf(stderr, "adminctl: the content could not be shown%s\n",
		    v.bad ? "" : ": it is over 64 MiB; without --json it streams");
		status = EXIT_FAILED;
	}
	if (status == EXIT_OK && x->json) {
		if (v.content.len > 0) {
			buf_init(&encoded, 96U << 20);
			base64_put(&encoded, buf_view(&v.content));
			json_object_set_new(v.head, "content_base64",
			    json_stringn(buf_data(&encoded), encoded.len));
			buf_fini(&encoded);
		}
		json_dumpf(v.head, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(v.head);
	buf_fini(&v.content);
	return status;
}
