/* SPDX-License-Identifier: ISC */
/*
 * admin.c: what master answers to adminctl.
 *
 * ipc/admin.c has checked who asks (root, or a member of admin_group). The
 * table of verbs is the whole dispatcher; every answer is one JSON object
 * with "version": 1. Changes go to the audit log with the asker's uid.
 */
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/admin.h"
#include "master/master.h"
#include "sys/fd.h"

#define PING_MS 2000

struct request {
	struct master	*m;
	struct ipc_channel *ch;
	struct ipc_msg	*msg;
	const json_t	*args;
	uint32_t	 uid;
};

static unsigned pings_open;

unsigned
admin_pings_open(void)
{
	return pings_open;
}

/* ---- answers ---- */

static int
put_json(const char *p, size_t n, void *arg)
{
	return buf_put(arg, p, n);
}

/* Consumes doc. What does not fit into one packet is left out and said so, never cut. */
static int
answer_id(struct ipc_channel *ch, uint32_t id, int code, const char *text, json_t *doc)
{
	struct ipc_out o;
	struct buf json;

	if (doc == NULL)
		doc = json_object();
	json_object_set_new(doc, "version", json_integer(1));
	buf_init(&json, IPC_BODY_MAX);
	(void)json_dump_callback(doc, put_json, &json, JSON_COMPACT);
	json_decref(doc);
	ipc_out_init(&o, IPC_ADMIN_ANSWER);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-code);
	if (text != NULL)
		ipc_put_bytes(&o, IPC_F_TEXT, view_head(view_str(text), 2000));
	if (buf_error(&json) == 0)
		ipc_put_bytes(&o, IPC_F_JSON, buf_view(&json));
	else
		ipc_put_str(&o, IPC_F_JSON, "{\"version\":1,\"truncated\":true}");
	ipc_put_str(&o, IPC_F_CURSOR, "");
	buf_fini(&json);
	return ipc_reply_id(ch, id, &o);
}

static int
answer(struct request *r, int code, const char *text, json_t *doc)
{
	int error = answer_id(r->ch, r->msg->id, code, text, doc);

	return error == PK_EPEER ? 0 : error;
}

static void
audit(const struct request *r, const char *what)
{
	log_info("audit: uid=%u %s", (unsigned)r->uid, what);
}

/* ---- system status, processes, confinement ---- */

static json_t *
json_listeners(const struct listener_list *list)
{
	json_t *a = json_array(), *o;
	const struct listener *l;

	TAILQ_FOREACH(l, list, link) {
		o = json_object();
		json_object_set_new(o, "name", json_string(l->name));
		json_object_set_new(o, "family", json_string(l->family));
		json_object_set_new(o, "address", json_string(l->address));
		json_array_append_new(a, o);
	}
	return a;
}

static json_t *
json_roles(const struct master *m)
{
	json_t *a = json_array(), *o;
	unsigned i, wanted, ready, restarts;
	const struct slot *s;
	size_t k;

	for (k = 0; roles_start_order[k] != IPC_ROLE_none; k++) {
		wanted = ready = restarts = 0;
		for (i = 0; i < MASTER_WORKERS_MAX; i++) {
			s = &m->slots[roles_start_order[k]][i];
			wanted += s->wanted;
			ready += s->proc != NULL && s->proc->state == PROC_READY;
			restarts += s->restarts;
		}
		o = json_object();
		json_object_set_new(o, "role",
		    json_string(ipc_role_name(roles_start_order[k])));
		json_object_set_new(o, "wanted", json_integer(wanted));
		json_object_set_new(o, "ready", json_integer(ready));
		json_object_set_new(o, "restarts", json_integer(restarts));
		json_array_append_new(a, o);
	}
	return a;
}

static int
verb_status(struct request *r)
{
	struct master *m = r->m;
	json_t *o = json_object();

	json_object_set_new(o, "program", json_string(PACKAGE_STRING));
	json_object_set_new(o, "state", json_string(m->stopping ? "stopping" :
	    !m->started ? "starting" : "running"));
	json_object_set_new(o, "pid", json_integer(getpid()));
	json_object_set_new(o, "uptime_ms",
	    json_integer((json_int_t)(clock_mono_ms() - m->started_ms)));
	json_object_set_new(o, "development", json_boolean(m->development));
	json_object_set_new(o, "config", json_string(m->conf_path));
	json_object_set_new(o, "listeners", json_listeners(&m->listeners));
	json_object_set_new(o, "roles", json_roles(m));
	return answer(r, 0, NULL, o);
}

static const char *
user_of(const struct master *m, enum ipc_role role)
{
	struct passwd *pw;

	if (!m->development)
		return ipc_role_user(role);
	pw = getpwuid(geteuid());
	return pw != NULL ? pw->pw_name : "?";
}

static json_t *
json_process(const struct master *m, enum ipc_role role, uint64_t instance, pid_t pid,
    uint64_t started_ms, const char *state, unsigned restarts)
{
	json_t *o = json_object();

	json_object_set_new(o, "role", json_string(ipc_role_name(role)));
	json_object_set_new(o, "instance", json_integer((json_int_t)instance));
	json_object_set_new(o, "pid", json_integer(pid));
	json_object_set_new(o, "user", json_string(user_of(m, role)));
	json_object_set_new(o, "uptime_ms",
	    json_integer((json_int_t)(clock_mono_ms() - started_ms)));
	json_object_set_new(o, "state", json_string(state));
	json_object_set_new(o, "restarts", json_integer(restarts));
	return o;
}

static int
verb_processes(struct request *r)
{
	struct master *m = r->m;
	json_t *doc = json_object(), *a = json_array();
	struct proc *p;

	json_array_append_new(a, json_process(m, IPC_ROLE_master, 0, getpid(), m->started_ms,
	    "ready", 0));
	TAILQ_FOREACH(p, &m->procs, link)
		json_array_append_new(a, json_process(m, p->slot->role, p->instance, p->pid,
		    p->started_ms, proc_state_name(p), p->slot->restarts));
	json_object_set_new(doc, "processes", a);
	return answer(r, 0, NULL, doc);
}

static void
add_confinement(json_t *a, enum ipc_role role, pid_t pid, uint64_t report)
{
	json_t *o = confinement_describe(pid, report);

	json_object_set_new(o, "role", json_string(ipc_role_name(role)));
	json_array_append_new(a, o);
}

static int
verb_confinement(struct request *r)
{
	json_t *doc = json_object(), *a = json_array();
	struct proc *p;

	add_confinement(a, IPC_ROLE_master, getpid(), 0);
	TAILQ_FOREACH(p, &r->m->procs, link)
		add_confinement(a, p->slot->role, p->pid, p->report);
	json_object_set_new(doc, "processes", a);
	return answer(r, 0, NULL, doc);
}

/* ---- system ping ---- */

struct ping_all {
	struct ipc_channel *ch;		/* NULL: the asker has gone */
	uint32_t	 id;
	json_t		*list;
	unsigned	 open;
	LIST_ENTRY(ping_all) link;
};

struct ping {
	struct ping_all	*all;
	enum ipc_role	 role;
	pid_t		 pid;
	uint64_t	 sent_ns;
};

static LIST_HEAD(, ping_all) ping_alls = LIST_HEAD_INITIALIZER(ping_alls);

static void
ping_done(struct ping_all *all)
{
	json_t *doc;

	if (--all->open > 0)
		return;
	if (all->ch != NULL) {
		doc = json_object();
		json_object_set(doc, "processes", all->list);
		(void)answer_id(all->ch, all->id, 0, NULL, doc);
	}
	json_decref(all->list);
	LIST_REMOVE(all, link);
	xfree(all);
}

static int
ping_answered(struct ipc_msg *msg, int error, void *arg)
{
	struct ping *p = arg;
	json_t *o = json_object();

	(void)msg;
	pings_open--;
	json_object_set_new(o, "role", json_string(ipc_role_name(p->role)));
	json_object_set_new(o, "pid", json_integer(p->pid));
	json_object_set_new(o, "answered", json_boolean(error == 0));
	json_object_set_new(o, "us",
	    json_integer((json_int_t)((clock_mono_ns() - p->sent_ns) / 1000)));
	json_array_append_new(p->all->list, o);
	ping_done(p->all);
	xfree(p);
	return 0;
}

static int
verb_ping(struct request *r)
{
	struct ping_all *all = XNEW(struct ping_all);
	struct proc *p, *next;
	struct ipc_out o;
	struct ping *one;

	all->ch = r->ch;
	all->id = r->msg->id;
	all->list = json_array();
	all->open = 1;
	LIST_INSERT_HEAD(&ping_alls, all, link);
	TAILQ_FOREACH_SAFE(p, &r->m->procs, link, next) {
		if (p->control == NULL)
			continue;
		one = XNEW(struct ping);
		*one = (struct ping){ all, p->slot->role, p->pid, clock_mono_ns() };
		all->open++;
		pings_open++;
		ipc_out_init(&o, IPC_PING);
		(void)ipc_call(p->control, &o, PING_MS, ping_answered, one);
	}
	ping_done(all);
	return 0;
}

/* ---- changes ---- */

/* Askers of a reload that not every process has taken yet. */
struct reload_asker {
	struct ipc_channel *ch;		/* NULL: gone */
	uint32_t	 id;
	LIST_ENTRY(reload_asker) link;
};

static LIST_HEAD(, reload_asker) reload_askers = LIST_HEAD_INITIALIZER(reload_askers);

static void admin_open(void *arg);
static bool group_changed;

void
admin_reload_done(struct master *m)
{
	static struct loop_deferred later = { .fn = admin_open };
	struct reload_asker *a;

	while ((a = LIST_FIRST(&reload_askers)) != NULL) {
		LIST_REMOVE(a, link);
		if (a->ch != NULL)
			(void)answer_id(a->ch, a->id, 0, NULL, json_object());
		xfree(a);
	}
	/* Not now: it may be one of these connections that asked for it. */
	later.arg = m;
	if (group_changed)
		loop_defer(m->loop, &later);
	group_changed = false;
}

static int
verb_reload(struct request *r)
{
	struct reload_asker *a;
	struct buf why;
	int error;

	audit(r, "system reload");
	buf_init(&why, 4096);
	error = reload_config(r->m, &why);
	if (error != 0) {
		error = answer(r, error, buf_cstr(&why), NULL);
	} else {
		a = XNEW(struct reload_asker);
		a->ch = r->ch;
		a->id = r->msg->id;
		LIST_INSERT_HEAD(&reload_askers, a, link);
		if (r->m->configs_open == 0)
			admin_reload_done(r->m);
	}
	buf_fini(&why);
	return error;
}

static int
verb_upgrade(struct request *r)
{
	struct buf why;
	int error;

	audit(r, "system upgrade");
	buf_init(&why, 4096);
	error = upgrade_begin(r->m, &why);
	error = answer(r, error, error != 0 ? buf_cstr(&why) : NULL, json_object());
	buf_fini(&why);
	ipc_flush(r->ch);
	return error;
}

static int
verb_stop(struct request *r)
{
	int error;

	audit(r, "system stop");
	error = answer(r, 0, NULL, json_object());
	supervise_stop(r->m, r->m->conf->drain_timeout);
	return error;
}

static int
verb_log_level(struct request *r)
{
	const char *name = json_string_value(json_object_get(r->args, "level"));
	enum log_level level;
	struct proc *p;

	if (name == NULL || !log_level_parse(name, &level) || level > LOG_LVL_ERROR)
		return answer(r, PK_ESYNTAX, "level is one of debug, info, warn, error", NULL);
	log_set_level(level);
	TAILQ_FOREACH(p, &r->m->procs, link)
		proc_send_u64(p, IPC_LOG_LEVEL, IPC_F_LEVEL, (uint64_t)level);
	log_info("audit: uid=%u system log-level %s", (unsigned)r->uid, name);
	return answer(r, 0, NULL, json_object());
}

/* ---- stats, config ---- */

static json_t *
json_histogram(const struct stats_sum *sum, unsigned h)
{
	json_t *o = json_object(), *a = json_array();
	unsigned i;

	for (i = 0; i < STATS_BUCKETS; i++)
		json_array_append_new(a, json_integer((json_int_t)sum->buckets[h][i]));
	json_object_set_new(o, "buckets", a);
	json_object_set_new(o, "sum", json_integer((json_int_t)sum->sum[h]));
	return o;
}

static int
verb_stats(struct request *r)
{
	struct stats_sum *sum = XNEW(struct stats_sum);
	json_t *doc, *counters, *histograms;
	unsigned i;

	if (stats_read(r->m->stats_fd, sum) != 0) {
		xfree(sum);
		return answer(r, PK_ESYS, "the statistics memory cannot be read", NULL);
	}
	doc = json_object();
	counters = json_object();
	histograms = json_object();
	for (i = 0; i < STATS_COUNTERS; i++)
		json_object_set_new(counters, stats_counter_rows[i].name,
		    json_integer((json_int_t)sum->counters[i]));
	for (i = 0; i < STATS_HISTOGRAMS; i++)
		json_object_set_new(histograms, stats_histogram_rows[i].name,
		    json_histogram(sum, i));
	json_object_set_new(doc, "counters", counters);
	json_object_set_new(doc, "histograms", histograms);
	xfree(sum);
	return answer(r, 0, NULL, doc);
}

static int
verb_config(struct request *r)
{
	json_t *doc = json_object();
	struct buf b;

	buf_init(&b, IPC_BODY_MAX);
	if (conf_serialise(r->m->conf, &b) != 0) {
		buf_fini(&b);
		json_decref(doc);
		return answer(r, PK_ELIMIT, "the configuration does not fit into an answer",
		    NULL);
	}
	json_object_set_new(doc, "path", json_string(r->m->conf_path));
	json_object_set_new(doc, "text", json_string(buf_cstr(&b)));
	buf_fini(&b);
	return answer(r, 0, NULL, doc);
}

static void
collect_note(const struct conf_note *n, void *arg)
{
	json_t *o = json_object();

	json_object_set_new(o, "file", json_string(n->file));
	json_object_set_new(o, "line", json_integer(n->line));
	json_object_set_new(o, "level", json_string(n->level == 'e' ? "error" : "warning"));
	json_object_set_new(o, "text", json_string(n->text));
	json_array_append_new(arg, o);
}

static int
verb_config_check(struct request *r)
{
	json_t *doc = json_object(), *notes = json_array();
	struct conf *c = conf_load(r->m->conf_path, VIEW_NONE, collect_note, notes);

	json_object_set_new(doc, "ok", json_boolean(c != NULL));
	json_object_set_new(doc, "notes", notes);
	conf_free(&c);
	return answer(r, 0, NULL, doc);
}

static void
asker_gone(struct ipc_channel *ch, void *arg)
{
	struct reload_asker *a;
	struct ping_all *all;

	(void)arg;
	LIST_FOREACH(a, &reload_askers, link)
		if (a->ch == ch)
			a->ch = NULL;
	LIST_FOREACH(all, &ping_alls, link)
		if (all->ch == ch)
			all->ch = NULL;
}


/* ---- the dispatcher ---- */

static const struct {
	const char	*name;
	int		(*serve)(struct request *r);
} verbs[] = {
	{ "system status",	verb_status },
	{ "system ping",	verb_ping },
	{ "system processes",	verb_processes },
	{ "system confinement",	verb_confinement },
	{ "system reload",	verb_reload },
	{ "system stop",	verb_stop },
	{ "system upgrade",	verb_upgrade },
	{ "system log-level",	verb_log_level },
	{ "stats",		verb_stats },
	{ "config",		verb_config },
	{ "config-check",	verb_config_check },
};

static int
on_request(struct ipc_channel *ch, struct ipc_msg *msg, struct view verb, struct view args,
    uint32_t uid, void *arg)
{
	struct request r = { .m = arg, .ch = ch, .msg = msg, .uid = uid };
	json_t *parsed;
	size_t i;
	int error;

	parsed = args.len > 0 ? json_loadb(args.p, args.len, 0, NULL) : json_object();
	if (parsed == NULL)
		return PK_EPROTO;
	r.args = parsed;
	for (i = 0; i < NELEMS(verbs); i++)
		if (view_eq(verb, view_str(verbs[i].name)))
			break;
	error = i < NELEMS(verbs) ? verbs[i].serve(&r) :
	    answer(&r, PK_EUNSUPPORTED, "master does not know this verb", NULL);
	json_decref(parsed);
	return error;
}

static const struct admin_ops ops = { on_request, NULL, asker_gone };

static struct admin_listener *own_socket;

static void
admin_open(void *arg)
{
	struct master *m = arg;
	struct listener *l;
	int fd;

	admin_listener_free(&own_socket);
	TAILQ_FOREACH(l, &m->admin, link) {
		if (strcmp(l->name, "master") != 0)
			continue;
		fd = dup(l->fd);
		if (fd == -1)
			log_fatal("no descriptor left");
		(void)fd_set_cloexec(fd, true);
		own_socket = admin_listener_new(m->loop, fd, IPC_ROLE_master, geteuid(),
		    admin_group_id(m->conf->admin_group), &ops, m);
	}
}

void
admin_begin(struct master *m)
{
	admin_open(m);
}

void
admin_group_changed(void)
{
	group_changed = true;
}
