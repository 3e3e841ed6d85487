/* SPDX-License-Identifier: ISC */
/*
 * client.c: adminctl's side of an admin socket.
 *
 * Runs with the caller's rights and has none of its own: the process asked
 * checks who is calling by the socket's peer credentials. Answers come in
 * parts so that a listing of a million lines begins at once and is never in
 * memory as a whole on either side.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "adminctl/command.h"
#include "base/buf.h"
#include "base/mem.h"

#define CLIENT_TIMEOUT_MS	120000

struct asking {
	struct loop	*loop;
	enum ipc_role	 role;
	client_part_fn	 fn;
	void		*arg;
	int		 status;
	bool		 quiet;
	bool		 done;
	bool		 closed;	/* the channel has freed itself */
};

static void
finish(struct asking *a, int status)
{
	a->status = status;
	a->done = true;
	loop_stop(a->loop);
}

static int
status_of(uint64_t code)
{
	switch (-(int)code) {
	case 0:
		return EXIT_OK;
	case PK_ENOENT:
		return EXIT_NOTHING;
	case PK_EPERM:
		return EXIT_DENIED;
	case PK_ESYNTAX:
	case PK_ERANGE:
		return EXIT_USAGE;
	default:
		return EXIT_FAILED;
	}
}

/* What a process says may quote strangers: no control byte reaches the terminal. */
static void
complain(struct view text)
{
	struct buf shown;

	buf_init(&shown, 8192);
	render_text(&shown, text);
	fprintf(stderr, "adminctl: %s\n", buf_cstr(&shown));
	buf_fini(&shown);
}

/* One ADMIN_ANSWER packet. */
static int
answer_part(struct ipc_msg *m, int error, void *arg)
{
	struct asking *a = arg;
	struct view text = VIEW_NONE, data = VIEW_NONE, cursor;
	struct ipc_in in;
	uint64_t code;
	json_error_t why;
	json_t *part;
	bool last, go_on;

	if (a->done)
		return 0;
	if (error != 0) {
		fprintf(stderr, "adminctl: %s: %s\n", ipc_role_name(a->role), pk_strerror(error));
		finish(a, EXIT_DOWN);
		return 0;
	}
	ipc_in_init(&in, m);
	ipc_get_u64(&in, IPC_F_CODE, &code);
	if (ipc_has(&in, IPC_F_TEXT))
		ipc_get_text(&in, IPC_F_TEXT, 4096, &text);
	if (m->type == IPC_ADMIN_ANSWER) {
		ipc_get_bytes(&in, IPC_F_JSON, IPC_BODY_MAX, &data);
		ipc_get_bytes(&in, IPC_F_CURSOR, IPC_BODY_MAX, &cursor);
	}
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	last = (m->flags & IPC_FLAG_MORE) == 0;
	if (code != 0) {
		if (!a->quiet || status_of(code) != EXIT_NOTHING)
			complain(text.len > 0 ? text : view_str(pk_strerror(-(int)code)));
		finish(a, status_of(code));
		return 0;
	}
	part = data.len > 0 ? json_loadb(data.p, data.len, 0, &why) : json_object();
	if (part == NULL || !json_is_object(part)) {
		json_decref(part);
		return PK_EPROTO;
	}
	go_on = a->fn(part, last, a->arg);
	json_decref(part);
	if (last || !go_on)
		finish(a, EXIT_OK);
	return 0;
}

static int
unexpected(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	(void)ch, (void)m, (void)arg;
	return PK_EPROTO;
}

static void
closed(struct ipc_channel *ch, int why, void *arg)
{
	struct asking *a = arg;

	(void)ch;
	a->closed = true;
	if (a->done)
		return;
	fprintf(stderr, "adminctl: %s closed the connection: %s\n",
	    ipc_role_name(a->role), pk_strerror(why));
	finish(a, why == PK_EPERM ? EXIT_DENIED : EXIT_DOWN);
}

static int
connect_role(const struct context *x, enum ipc_role role)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, n;

	n = snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/admin/%s",
	    x->conf->runtime_directory, ipc_role_name(role));
	if (n < 0 || (size_t)n >= sizeof(sun.sun_path)) {
		fprintf(stderr, "adminctl: runtime_directory is too long for a socket's name\n");
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0) {
		(void)fcntl(fd, F_SETFL, O_NONBLOCK);
		return fd;
	}
	fprintf(stderr, "adminctl: cannot reach %s at %s: %s%s\n", ipc_role_name(role),
	    sun.sun_path, strerror(errno), errno == ENOENT || errno == ECONNREFUSED ?
	    " (is the suite running? postkeep status)" : "");
	if (fd >= 0)
		close(fd);
	return -1;
}

int
client_ask(const struct context *x, enum ipc_role role, const char *verb,
    const json_t *args, client_part_fn fn, void *arg)
{
	static const struct ipc_channel_ops ops = { unexpected, closed };
	struct asking a = { .role = role, .fn = fn, .arg = arg, .status = EXIT_DOWN,
	    .quiet = x->quiet };
	struct ipc_channel *ch;
	struct ipc_out o;
	char *text;
	int fd;

	fd = connect_role(x, role);
	if (fd < 0)
		return EXIT_DOWN;
	a.loop = loop_new();
	ch = ipc_channel_new(a.loop, fd, IPC_ROLE_adminctl, role, 0, &ops, &a);
	text = json_dumps(args, JSON_COMPACT);
	ipc_out_init(&o, IPC_ADMIN);
	ipc_put_str(&o, IPC_F_NAME, verb);
	ipc_put_bytes(&o, IPC_F_JSON, view_str(text));
	if (ipc_out_error(&o) != 0) {
		fprintf(stderr, "adminctl: the arguments are too long\n");
		ipc_out_fini(&o);
		a.status = EXIT_USAGE;
	} else {
		(void)ipc_call(ch, &o, CLIENT_TIMEOUT_MS, answer_part, &a);
		loop_run(a.loop);
		if (!a.done)
			a.status = EXIT_DOWN;
	}
	xfree(text);
	if (!a.closed)
		ipc_channel_free(&ch);
	loop_free(&a.loop);
	return a.status;
}

static bool
join_part(json_t *part, bool last, void *arg)
{
	json_t *whole = arg, *value, *have;
	const char *key;

	(void)last;
	json_object_foreach(part, key, value) {
		have = json_object_get(whole, key);
		if (json_is_array(have) && json_is_array(value))
			json_array_extend(have, value);
		else
			json_object_set(whole, key, value);
	}
	return true;
}

json_t *
client_ask_whole(const struct context *x, enum ipc_role role, const char *verb,
    const json_t *args, int *status_r)
{
	json_t *whole = json_object();

	*status_r = client_ask(x, role, verb, args, join_part, whole);
	if (*status_r != EXIT_OK) {
		json_decref(whole);
		return NULL;
	}
	return whole;
}
