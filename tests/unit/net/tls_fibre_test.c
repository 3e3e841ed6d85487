/* SPDX-License-Identifier: ISC */
/*
 * tls_fibre_test.c: how much of a fibre's stack a handshake uses.
 *
 * OpenSSL gives a fibre 32 KiB of the heap without a guard: whoever went
 * beyond it would write into other memory. The deepest handshakes are made
 * here on painted stacks.
 */
#include "tests/unit/net/tls_rig.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <string.h>

#include "base/mem.h"

/* OpenSSL's STACKSIZE (crypto/async/arch/async_posix.c) and our paint. */
#define STACK_SIZE	32768
#define PAINT		0xa7
/* Frames are larger under sanitizers, by far. */
#define LEAST_LEFT	8192
#define STACKS_MAX	64

static unsigned char *stacks[STACKS_MAX];
static unsigned nstacks;

static void *
take(size_t n, const char *file, int line)
{
	unsigned char *p = xmalloc(n);

	(void)file;
	(void)line;
	if (p != NULL && n == STACK_SIZE && nstacks < STACKS_MAX) {
		memset(p, PAINT, n);
		stacks[nstacks++] = p;
	}
	return p;
}

static void *
take_again(void *p, size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return xreallocarray(p, n, 1);
}

static void
give_back(void *p, const char *file, int line)
{
	unsigned i;

	(void)file;
	(void)line;
	for (i = 0; i < nstacks; i++)
		if (stacks[i] == p)
			stacks[i] = NULL;
	xfree(p);
}

/* Bytes that nobody wrote, of the fullest stack; 0: there was none. */
static size_t
least_left(void)
{
	size_t least = 0, n;
	unsigned i;

	for (i = 0; i < nstacks; i++) {
		for (n = 0; stacks[i] != NULL && n < STACK_SIZE && stacks[i][n] == PAINT; n++)
			;
		/* Another allocation of the same size is written from its beginning. */
		if (n >= 16 && n < STACK_SIZE && (least == 0 || n < least))
			least = n;
	}
	return least;
}

/* A client with a certificate, below a CA or not. */
static void
shake(struct rig_bench *b, int version, const struct rig_cert *shown)
{
	struct rig_stranger x;

	rig_stranger_init(&x);
	SSL_CTX_set_min_proto_version(x.ctx, version);
	SSL_CTX_set_max_proto_version(x.ctx, version);
	if (shown != NULL)
		assert_int_equal(SSL_CTX_use_cert_and_key(x.ctx, shown->x509, shown->key, NULL,
		    1), 1);
	rig_stranger_start(&x, b->server);
	rig_stranger_shake(&b->rig, &x);
	assert_int_equal(x.server.status, TLS_DONE);
	rig_stranger_fini(&x);
}

static void
test_room_on_the_stack(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct rig_spec spec = { .cn = "client" };
	struct rig_bench b;
	struct rig_cert *client;
	size_t left;
	unsigned kind, k, v;

	(void)state;
	for (kind = 0; kind < RIG_KINDS; kind++) {
		rig_bench_init(&b, (enum rig_kind)kind, "smtpd_tls_ask_ccert = yes\n");
		for (v = 0; v < NELEMS(versions); v++) {
			shake(&b, versions[v], NULL);
			for (k = 0; k < RIG_KINDS; k++) {
				client = rig_cert_new((enum rig_kind)k, 3, &spec);
				shake(&b, versions[v], client);
				rig_cert_free(&client);
			}
		}
		rig_bench_fini(&b);
	}
	left = least_left();
	print_message("%zu of %d bytes are left\n", left, STACK_SIZE);
	assert_true(left > 0);
#ifndef PK_SANITIZERS
	assert_true(left >= LEAST_LEFT);
#endif
}

/* Before anything of OpenSSL's is used. */
static void __attribute__((constructor))
watch_memory(void)
{
	if (CRYPTO_set_mem_functions(take, take_again, give_back) != 1)
		abort();
}

UNIT_MAIN(cmocka_unit_test(test_room_on_the_stack))
