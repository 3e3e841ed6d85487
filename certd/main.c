/* SPDX-License-Identifier: ISC */
/*
 * main.c of certd: TLS private keys.
 *
 * Started by master as root, reads keys and certificates, works as pk-cert:
 * no network, no write, and of files only the folders of those that main.cf
 * names. It keeps one capability, to read files whoever owns them
 * (CAP_DAC_READ_SEARCH), because keys are root's and are renewed while it runs;
 * Landlock keeps that to these folders, and where the kernel has no Landlock
 * the capability goes as well. It parses what acceptors and deliverers ask to
 * be signed and nothing of strangers directly. What its loss costs: the keys.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "certd/certd.h"
#include "sys/fd.h"

static void
on_reload(struct child *c, const struct conf *old)
{
	struct certd *d = child_arg(c);
	char *path;

	(void)old;
	d->conf = child_conf(c);
	if (!d->ready)
		return;
	path = certd_folders_beyond(d);
	if (path == NULL) {
		certd_load_again(d);
		return;
	}
	log_info("%s is not in what this process was confined to: it ends, and the next one"
	    " may read it", path);
	xfree(path);
	certd_leave(d);
}

static void
on_drain(struct child *c, uint64_t grace_ms)
{
	(void)grace_ms;
	certd_leave(child_arg(c));
}

static const struct child_ops ops = {
	.channel = certd_channel,
	.reload = on_reload,
	.drain = on_drain,
	.admin = certd_admin,
};

/*
 * Keys stay out of the swap. As pages are touched, not all at once; without
 * the right to lock as much as wanted not at all, since what could not be
 * locked could then not be allocated either.
 */
static void
lock_memory(void)
{
	struct rlimit r;

	errno = 0;
	if (getrlimit(RLIMIT_MEMLOCK, &r) == -1 || r.rlim_cur != RLIM_INFINITY ||
	    mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == -1)
		log_info("memory is not locked (LimitMEMLOCK=infinity allows it): keys may get"
		    " into the swap%s%s",
		    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
}

/* Opened now and held: certd writes no other file, and may open none for writing. */
static int
open_ticket_file(const struct conf *conf)
{
	char *dir = xasprintf("%s/certd", conf->data_directory), *path;
	int fd;

	path = xasprintf("%s/ticket_keys", dir);
	if (mkdir(dir, 0700) == -1 && errno != EEXIST)
		log_warn("%s: %s", dir, strerror(errno));
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		log_warn("%s: %s: sessions are not resumed after a restart", path,
		    strerror(errno));
	xfree(path);
	xfree(dir);
	return fd;
}

int
main(int argc, char **argv)
{
	struct certd d = { 0 };
	struct child_spec spec = { .role = IPC_ROLE_certd, .ops = &ops, .arg = &d };
	struct sandbox_spec sandbox = {
		.user = ipc_role_user(IPC_ROLE_certd),
		.needs = SANDBOX_ACCEPT | SANDBOX_FILES_READ | SANDBOX_THREADS,
	};

	TAILQ_INIT(&d.retired);
	TAILQ_INIT(&d.peers);
	d.by_number = map_new();
	d.child = child_begin(argc, argv, &spec);
	d.loop = child_loop(d.child);
	d.conf = child_conf(d.child);
	lock_memory();
	certd_tickets_init(&d, open_ticket_file(d.conf));
	certd_folders_allow(&d, &sandbox);
	/* As root: keys of others are read even where nothing but modes protects them. */
	certd_load(&d);
	child_confine(d.child, &sandbox);
	certd_begin(&d);
	return child_run(d.child);
}
