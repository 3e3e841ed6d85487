/* SPDX-License-Identifier: ISC */
/*
 * main.c of dnsd: DNS for everybody, with one cache.
 *
 * Started by master as root, works as pk-dns: the network, no file, no secret.
 * It reads packets from strangers; what its loss costs is wrong answers about
 * the DNS, the same as a lying resolver: its askers check what they get as if
 * that had happened.
 */
#include "base/log.h"
#include "base/mem.h"
#include "dnsd/dnsd.h"

static void
configure(struct dnsd *d)
{
	struct buf why;

	d->conf = child_conf(d->child);
	cache_set_max(d->cache, d->conf->dns_cache_size);
	buf_init(&why, 1000);
	if (overrides_configure(d->overrides, d->conf->dns_overrides, &why) != 0)
		log_error("%s", buf_cstr(&why));
	buf_fini(&why);
}

static void
on_reload(struct child *c, const struct conf *old)
{
	struct dnsd *d = child_arg(c);

	(void)old;
	if (d->ready)
		configure(d);
}

/* Questions under way are asked of our successor again (messages.def). */
static void
on_drain(struct child *c, uint64_t grace_ms)
{
	(void)grace_ms;
	child_exit(c, 0);
}

static const struct child_ops ops = {
	.channel = dnsd_channel,
	.reload = on_reload,
	.drain = on_drain,
	.admin = dnsd_admin,
	.admin_closed = dnsd_admin_closed,
};

int
main(int argc, char **argv)
{
	struct dnsd d = { 0 };
	struct child_spec spec = { .role = IPC_ROLE_dnsd, .ops = &ops, .arg = &d };
	struct sandbox_spec sandbox = {
		.user = ipc_role_user(IPC_ROLE_dnsd),
		.needs = SANDBOX_ACCEPT | SANDBOX_CONNECT_INET,
	};

	d.child = child_begin(argc, argv, &spec);
	d.loop = child_loop(d.child);
	d.overrides = overrides_new();
	d.cache = cache_new(child_conf(d.child)->dns_cache_size);
	dnsd_query_init(&d);
	configure(&d);
	/* Reads resolv.conf and trust anchors: before the files are out of reach. */
	d.upstream = upstream_new(d.loop, d.conf);
	child_confine(d.child, &sandbox);
	dnsd_begin(&d);
	return child_run(d.child);
}
