/* SPDX-License-Identifier: ISC */
/*
 * child.c: what every role has in common: its start and its life with master.
 *
 * Begins with the rights that master started it with (root, or the user of a
 * development instance) and gives them up in child_confine(). Whatever the
 * role will need comes as a descriptor over the control channel; nothing is
 * taken from the environment or the command line but the role's name. When
 * master is lost, the process finishes what is open and goes.
 */
#include "ipc/child.h"

#include <sys/stat.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/admin.h"
#include "ipc/child_log.h"
#include "sys/fd.h"
#include "sys/stats.h"

#define NAME_MAX_LEN		255
#define ADDRESS_MAX_LEN		512
/* All parameters with their overrides; master's file has the same bound. */
#define CONFIG_BYTES_MAX	(4 * 1024 * 1024)
/* What a role that does not come to an end gets beyond its grace. */
#define DRAIN_EXTRA_MS		5000
/* Grace when master died: its successor starts nobody before we are gone. */
#define ORPHAN_DRAIN_MS		5000
#define STATUS_NO_MASTER	75

#ifdef PK_ATTACK
/* tests/attack/agent.c: what a test makes of a process that was taken over. */
void	child_attack(struct loop *l, const char *runtime_directory, const char *role);
#endif

struct child {
	enum ipc_role	 role;
	const struct child_ops *ops;
	void		*arg;
	struct loop	*loop;
	struct ipc_channel *control;
	pid_t		 channel_pid;	/* of the CHANNEL just taken */
	struct conf	*conf;
	uint64_t	 instance;
	bool		 development;
	bool		 started;	/* START has come */
	bool		 running;	/* in child_run() */
	bool		 draining;
	bool		 drain_told;
	uint64_t	 drain_ms;
	bool		 exiting;
	int		 status;
	struct loop_timer drain_timer;
	uid_t		 owner;
	gid_t		 admin_gid;
	struct admin_listener *admin;
	char		*admin_name;
	char		*program;	/* "postkeep/smtpd" of the log */
};

static const struct child_ops no_ops;

/* ---- drain ---- */

static void
drain_over(void *arg)
{
	struct child *c = arg;

	log_warn("not done within %llu ms; leaving",
	    (unsigned long long)c->drain_ms);
	child_exit(c, 0);
}

static void
drain_tell(struct child *c)
{
	if (!c->draining || !c->running || c->drain_told)
		return;
	c->drain_told = true;
	loop_timer_set(c->loop, &c->drain_timer, c->drain_ms + DRAIN_EXTRA_MS);
	if (c->admin != NULL)
		admin_listener_stop(c->admin);
	if (c->ops->drain != NULL)
		c->ops->drain(c, c->drain_ms);
	else
		child_exit(c, 0);
}

static void
drain_begin(struct child *c, uint64_t grace_ms)
{
	if (c->draining)
		return;
	c->draining = true;
	c->drain_ms = grace_ms;
	drain_tell(c);
}

/* ---- admin ---- */

static int
on_admin(struct ipc_channel *ch, struct ipc_msg *m, struct view verb,
    struct view args, uint32_t uid, void *arg)
{
	struct child *c = arg;

	if (c->ops->admin == NULL)
		return PK_EUNSUPPORTED;
	return c->ops->admin(c, ch, m, verb, args, uid);
}

static int
on_admin_message(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct child *c = arg;

	return c->ops->message != NULL ? c->ops->message(c, ch, m) : PK_EPROTO;
}

static void
on_admin_closed(struct ipc_channel *ch, void *arg)
{
	struct child *c = arg;

	if (c->ops->admin_closed != NULL)
		c->ops->admin_closed(c, ch);
}

static const struct admin_ops admin_ops = {
	on_admin, on_admin_message, on_admin_closed
};

uint32_t
child_admin_uid(const struct ipc_channel *ch)
{
	return admin_uid(ch);
}

static void
admin_open(struct child *c, struct view name, int fd)
{
	admin_listener_free(&c->admin);
	xfree(c->admin_name);
	c->admin_name = view_dup(name);
	c->admin = admin_listener_new(
	    c->loop, fd, c->role, c->owner, c->admin_gid, &admin_ops, c);
}

/* ---- what master says ---- */

static void
note(const struct conf_note *n, void *arg)
{
	(void)arg;
	if (n->level == 'e')
		log_error("configuration: %s", n->text);
}

/* The configuration names the program in the log and says who may administer. */
static void
configured_first(struct child *c)
{
	enum log_level level;

	c->program =
	    xasprintf("%s/%s", c->conf->syslog_name, ipc_role_log_name(c->role));
	log_init(c->program);
	if (log_level_parse(c->conf->log_level, &level))
		log_set_level(level);
	/* /etc/group is out of reach later. */
	c->admin_gid = admin_group_id(c->conf->admin_group);
}

static void
configured_again(struct child *c, const struct conf *old)
{
	enum log_level level;

	if (strcmp(old->log_level, c->conf->log_level) != 0 &&
	    log_level_parse(c->conf->log_level, &level))
		log_set_level(level);
	if (c->running && c->ops->reload != NULL)
		c->ops->reload(c, old);
}

static int
take_config(struct child *c, struct ipc_msg *m)
{
	int fd = ipc_take_handle(m, 0), error = PK_EFORMAT;
	struct conf *fresh = NULL, *old;
	struct buf text;
	struct stat st;
	char *p;

	if (fd == -1)
		return PK_EPROTO;
	buf_init(&text, CONFIG_BYTES_MAX);
	if (fstat(fd, &st) == 0 && st.st_size >= 0 &&
	    (p = buf_room(&text, (size_t)st.st_size)) != NULL &&
	    fd_pread_all(fd, p, (size_t)st.st_size, 0) == 0) {
		buf_added(&text, (size_t)st.st_size);
		fresh = conf_load("main.cf", buf_view(&text), note, NULL);
	}
	fd_close(&fd);
	buf_fini(&text);
	if (fresh == NULL) {
		log_error(
		    "configuration from master refused; the old one stays");
	} else {
		error = 0;
		old = c->conf;
		c->conf = fresh;
		if (old == NULL)
			configured_first(c);
		else
			configured_again(c, old);
		conf_free(&old);
	}
	return error;
}

static int
take_channel(struct child *c, struct ipc_msg *m)
{
	uint64_t role = 0, instance = 0, pid = 0;
	struct ipc_in in;
	int fd;

	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_ROLE, IPC_ROLE_none + 1, IPC_ROLES - 1, &role);
	ipc_get_u64(&in, IPC_F_INSTANCE, &instance);
	if (ipc_has(&in, IPC_F_PID))
		ipc_get_range(&in, IPC_F_PID, 0, INT32_MAX, &pid);
	c->channel_pid = (pid_t)pid;
	fd = ipc_take_handle(m, 0);
	if (ipc_in_end(&in) != 0 || fd == -1) {
		fd_close(&fd);
		return PK_EPROTO;
	}
	if (role == IPC_ROLE_logd && c->role != IPC_ROLE_logd)
		child_log_channel(fd, instance);
	else if (c->ops->channel != NULL)
		c->ops->channel(c, (enum ipc_role)role, instance, fd);
	else
		fd_close(&fd);
	return 0;
}

static int
take_listener(struct child *c, struct ipc_msg *m)
{
	struct view name = VIEW_NONE, address = VIEW_NONE;
	uint64_t class = 0;
	struct ipc_in in;
	char *n, *a;
	int fd;

	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_NAME, NAME_MAX_LEN, &name);
	ipc_get_range(&in, IPC_F_KIND, 0, CHILD_LISTENER_CLASSES - 1, &class);
	ipc_get_text(&in, IPC_F_ADDRESS, ADDRESS_MAX_LEN, &address);
	fd = ipc_take_handle(m, 0);
	if (ipc_in_end(&in) != 0 || fd == -1) {
		fd_close(&fd);
		return PK_EPROTO;
	}
	if (class == CHILD_LISTENER_ADMIN) {
		admin_open(c, name, fd);
	} else if (c->ops->listener != NULL) {
		n = view_dup(name);
		a = view_dup(address);
		c->ops->listener(
		    c, n, (enum child_listener_class) class, a, fd);
		xfree(n);
		xfree(a);
	} else {
		fd_close(&fd);
	}
	return 0;
}

static int
take_listener_close(struct child *c, struct ipc_msg *m)
{
	struct view name = VIEW_NONE;
	struct ipc_in in;
	char *n;

	ipc_in_init(&in, m);
	ipc_get_text(&in, IPC_F_NAME, NAME_MAX_LEN, &name);
	if (ipc_in_end(&in) != 0)
		return PK_EPROTO;
	if (c->admin != NULL && view_eq(name, view_str(c->admin_name))) {
		admin_listener_stop(c->admin);
	} else if (c->ops->listener_close != NULL) {
		n = view_dup(name);
		c->ops->listener_close(c, n);
		xfree(n);
	}
	return 0;
}

static int
take_stats_page(struct ipc_msg *m)
{
	uint64_t page = 0;
	struct ipc_in in;
	int fd, error;

	ipc_in_init(&in, m);
	ipc_get_range(&in, IPC_F_PAGE, 1, STATS_PAGES_MAX - 1, &page);
	fd = ipc_take_handle(m, 0);
	error = ipc_in_end(&in);
	if (error == 0 && fd == -1)
		error = PK_EPROTO;
	if (error == 0 && stats_map_own(fd, (unsigned)page) != 0)
		log_warn("statistics page: %s", strerror(errno));
	fd_close(&fd);
	return error;
}

/* The one number of a message that has nothing else. */
static int
take_number(struct ipc_msg *m, enum ipc_field tag, uint64_t greatest, uint64_t *n_r)
{
	struct ipc_in in;

	ipc_in_init(&in, m);
	ipc_get_range(&in, tag, 0, greatest, n_r);
	return ipc_in_end(&in);
}

static int
take_start(struct child *c, struct ipc_msg *m)
{
	int error = take_number(m, IPC_F_INSTANCE, UINT64_MAX, &c->instance);

	if (error != 0)
		return error;
	if (c->started || c->conf == NULL)
		return PK_EPROTO;
	c->started = true;
	return 0;
}

static int
take_drain(struct child *c, struct ipc_msg *m)
{
	uint64_t grace_ms = 0;
	int error = take_number(m, IPC_F_DELAY_MS, UINT32_MAX, &grace_ms);

	if (error == 0)
		drain_begin(c, grace_ms);
	return error;
}

static int
take_log_level(struct ipc_msg *m)
{
	uint64_t level = 0;
	int error = take_number(m, IPC_F_LEVEL, LOG_LVL_ERROR, &level);

	if (error == 0)
		log_set_level((enum log_level)level);
	return error;
}

static void
acknowledge(struct child *c, const struct ipc_msg *m, int error)
{
	struct ipc_out o;

	ipc_out_init(&o, IPC_ACK);
	ipc_put_u64(&o, IPC_F_CODE, (uint64_t)-error);
	(void)ipc_reply(c->control, m, &o);
}

static int
on_control(struct ipc_channel *ch, struct ipc_msg *m, void *arg)
{
	struct child *c = arg;
	int error = 0;

	switch (m->type) {
	case IPC_CONFIG:
		/* A bad text is no reason to lose master. */
		error = take_config(c, m);
		if (m->id != 0)
			acknowledge(c, m, error);
		return error == PK_EPROTO ? error : 0;
	case IPC_CHANNEL:
		error = take_channel(c, m);
		break;
	case IPC_LISTENER:
		error = take_listener(c, m);
		break;
	case IPC_LISTENER_CLOSE:
		error = take_listener_close(c, m);
		break;
	case IPC_STATS_PAGE:
		error = take_stats_page(m);
		break;
	case IPC_START:
		error = take_start(c, m);
		break;
	case IPC_DRAIN:
		error = take_drain(c, m);
		break;
	case IPC_LOG_LEVEL:
		error = take_log_level(m);
		break;
	case IPC_PING:
		break;
	default:
		return c->ops->message != NULL ? c->ops->message(c, ch, m) :
						 PK_EPROTO;
	}
	if (error == 0 && m->id != 0)
		acknowledge(c, m, 0);
	return error;
}

static void
on_control_closed(struct ipc_channel *ch, int why, void *arg)
{
	struct child *c = arg;

	(void)ch;
	(void)why;
	c->control = NULL;
	if (!c->started) {
		child_log_flush();
		_exit(STATUS_NO_MASTER);
	}
	if (c->exiting || c->draining)
		return;
	log_warn("master is gone; coming to an end");
	c->status = STATUS_NO_MASTER;
	/* The next master waits for this: no grace beyond what is in hand. */
	drain_begin(c, c->conf->drain_timeout < ORPHAN_DRAIN_MS ? c->conf->drain_timeout :
	    ORPHAN_DRAIN_MS);
}

static const struct ipc_channel_ops control_ops = {
	on_control, on_control_closed
};

/* ---- the start ---- */

static enum ipc_role
role_of(int argc, char **argv, const struct child_spec *spec)
{
	enum ipc_role role = spec->role;

	if (role == IPC_ROLE_none && argc > 1)
		role = ipc_role_parse(view_str(argv[1]));
	if (role == IPC_ROLE_none)
		log_fatal("which role? master starts this program");
	return role;
}

static void
check_started_by_master(void)
{
	struct stat st;

	if (fstat(CHILD_CONTROL_FD, &st) == -1 || !S_ISSOCK(st.st_mode))
		log_fatal("this program is started by master: see postkeep(8)");
}

/*
 * A session's reset connection is an error of that write, not our end. The
 * keyboard's signals are for master, who tells us to drain.
 */
static void
ignore_signals(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
}

/* Without master's help the two of us would be strangers as long as both live. */
static void
channel_lost(enum ipc_role peer, uint64_t instance, void *arg)
{
	struct child *c = arg;
	struct ipc_out o;

	if (peer == IPC_ROLE_master || peer == IPC_ROLE_adminctl || c->control == NULL ||
	    c->exiting)
		return;
	ipc_out_init(&o, IPC_CHANNEL_LOST);
	ipc_put_u64(&o, IPC_F_ROLE, peer);
	ipc_put_u64(&o, IPC_F_INSTANCE, instance);
	(void)ipc_send(c->control, &o);
}

struct child *
child_begin(int argc, char **argv, const struct child_spec *spec)
{
	struct child *c = XNEW(struct child);

	log_init(argc > 0 ? argv[0] : "postkeep");
	c->role = role_of(argc, argv, spec);
	log_init(ipc_role_name(c->role));
	check_started_by_master();
	ignore_signals();
	c->ops = spec->ops != NULL ? spec->ops : &no_ops;
	c->arg = spec->arg;
	c->owner = geteuid();
	c->development = c->owner != 0;
	c->admin_gid = ADMIN_NO_GROUP;
	clock_init();
	c->loop = loop_new();
	loop_timer_init(&c->drain_timer, drain_over, c);
	if (c->role != IPC_ROLE_logd)
		child_log_init(c->loop, c->role);
	(void)fd_set_cloexec(CHILD_CONTROL_FD, true);
	c->control = ipc_channel_new(c->loop, CHILD_CONTROL_FD, c->role,
	    IPC_ROLE_master, 0, &control_ops, c);
	while (!c->started)
		loop_turn(c->loop, -1);
	ipc_channel_on_loss(channel_lost, c);
#ifdef PK_ATTACK
	child_attack(c->loop, c->conf->runtime_directory, ipc_role_name(c->role));
#endif
	return c;
}

static uint64_t
report_flags(const struct sandbox_report *r)
{
	return (r->chrooted ? CHILD_CONFINED_CHROOT : 0) |
	    (r->user_changed ? CHILD_CONFINED_USER : 0) |
	    (r->caps_dropped ? CHILD_CONFINED_CAPS : 0) |
	    (r->no_new_privs ? CHILD_CONFINED_NNP : 0) |
	    (r->landlock ? CHILD_CONFINED_LANDLOCK : 0) |
	    (r->seccomp ? CHILD_CONFINED_SECCOMP : 0);
}

static void
say_confinement(const struct sandbox_report *r, bool root_wanted)
{
	bool root = r->chrooted || !root_wanted;

	if (root && r->user_changed && r->caps_dropped &&
	    r->no_new_privs && r->landlock && r->seccomp) {
		log_debug("confined; Landlock ABI %d", r->landlock_abi);
		return;
	}
	log_info("confined in part; missing:%s%s%s%s%s%s",
	    root ? "" : " chroot", r->user_changed ? "" : " user",
	    r->caps_dropped ? "" : " capabilities",
	    r->no_new_privs ? "" : " no_new_privs",
	    r->landlock ? "" : " Landlock", r->seccomp ? "" : " seccomp");
}

/*
 * From here on words go to logd; nobody holds the terminal of who started us.
 * Descriptor 0 is /dev/null. logd keeps it for maillog_stderr, and a build
 * with sanitizers for what they find.
 */
static void
let_go_of_stderr(const struct child *c)
{
#ifndef PK_SANITIZERS
	if (c->role == IPC_ROLE_logd && c->conf->maillog_stderr)
		return;
	if (close(STDERR_FILENO) == 0)
		(void)!dup(STDIN_FILENO);
#else
	(void)c;
#endif
}

/* The table that people read is the one that counts. */
static void
check_needs(const struct child *c, unsigned needs)
{
	static const unsigned most[IPC_ROLES] = {
#define CONFINE(role, needs, files, network, holds) [IPC_ROLE_##role] = (needs),
#include "ipc/confinement.def"
#undef CONFINE
	};

	if ((needs & ~most[c->role]) != 0)
		log_panic("%s asks for more (0x%x) than ipc/confinement.def has for it",
		    ipc_role_name(c->role), needs & ~most[c->role]);
}

void
child_confine(struct child *c, struct sandbox_spec *spec)
{
	struct sandbox_report report = { 0 };
	const char *what = "";
	struct ipc_out o;
	bool root_wanted;
	char *empty;
	int error;

	spec->development = c->development;
	spec->user = c->development ? NULL : ipc_role_user(c->role);
	/* A listener for adminctl may come with any reload. */
	if (c->ops->admin != NULL)
		spec->needs |= SANDBOX_ACCEPT;
	check_needs(c, spec->needs);
	/* Whoever needs no file and no socket's path sees none: master made the empty directory. */
	empty = xasprintf("%s/empty", c->conf->runtime_directory);
	if (spec->chroot_dir == NULL && spec->npaths == 0 &&
	    (spec->needs & SANDBOX_CONNECT_UNIX) == 0 &&
	    access(empty, F_OK) == 0)
		spec->chroot_dir = empty;
	sandbox_preload();
	error = sandbox_enter(spec, &report, &what);
	root_wanted = spec->chroot_dir != NULL;
	if (spec->chroot_dir == empty)
		spec->chroot_dir = NULL;
	xfree(empty);
	if (error != 0)
		log_fatal("cannot confine: %s: %s (%s)", what,
		    pk_strerror(error), strerror(errno));
	say_confinement(&report, root_wanted);
	let_go_of_stderr(c);
	if (c->control == NULL)
		return;
	ipc_out_init(&o, IPC_READY);
	ipc_put_u64(&o, IPC_F_FLAGS, report_flags(&report));
	(void)ipc_send(c->control, &o);
}

int
child_run(struct child *c)
{
	int status;

	c->running = true;
	drain_tell(c);
	while (!c->exiting)
		loop_turn(c->loop, -1);
	status = c->status;
	/* Peers see their channels close after our last words. */
	loop_turn(c->loop, 0);
	admin_listener_free(&c->admin);
	ipc_channel_on_loss(NULL, NULL);
	ipc_channel_free(&c->control);
	if (c->role != IPC_ROLE_logd)
		child_log_fini();
	return status;
}

void
child_exit(struct child *c, int status)
{
	if (c->exiting)
		return;
	c->exiting = true;
	if (status != 0)
		c->status = status;
	/* The loop must not wait for anything once more. */
	loop_timer_clear(c->loop, &c->drain_timer);
}

void
child_audit(struct child *c, uint32_t uid, const char *fmt, ...)
{
	struct buf b;
	va_list ap;

	(void)c;
	buf_init(&b, LOG_LINE_MAX);
	va_start(ap, fmt);
	(void)buf_vprintf(&b, fmt, ap);
	va_end(ap);
	log_info("audit: uid=%u %s", (unsigned)uid, buf_cstr(&b));
	buf_fini(&b);
}

/* ---- what the role asks ---- */

struct loop *
child_loop(struct child *c)
{
	return c->loop;
}

const struct conf *
child_conf(const struct child *c)
{
	return c->conf;
}

void *
child_arg(const struct child *c)
{
	return c->arg;
}

void
child_set_arg(struct child *c, void *arg)
{
	c->arg = arg;
}

enum ipc_role
child_role(const struct child *c)
{
	return c->role;
}

struct ipc_channel *
child_control(const struct child *c)
{
	return c->control;
}

pid_t
child_channel_pid(const struct child *c)
{
	return c->channel_pid;
}

uint64_t
child_instance(const struct child *c)
{
	return c->instance;
}

bool
child_development(const struct child *c)
{
	return c->development;
}
