/* SPDX-License-Identifier: ISC */
/*
 * password_crypt.c: the hashes that cost something: libcrypt's and argon2.
 *
 * Runs in authd's threads. libcrypt computes whatever a setting asks for, so
 * the settings are read here first; forms whose cost cannot be read (long
 * yescrypt parameters, scrypt, DES) are not taken.
 */
#include <argon2.h>
#include <bsd/stdlib.h>
#include <crypt.h>
#include <string.h>

#include "authd/password_impl.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/num.h"

/* "$y$j9T$": N = 4096, r = 32: 16 MiB, libxcrypt's own default. */
#define YESCRYPT_PREFIX		"$y$"
#define YESCRYPT_COST		5
#define YESCRYPT_KIB		(16u * 1024)

/* OWASP's least for argon2id, 2023: 19 MiB, two passes. */
#define ARGON2_KIB		19456u
#define ARGON2_PASSES		2u
#define ARGON2_SALT		16
#define ARGON2_HASH		32

/* ---- libcrypt ---- */

static int
itoa64_value(char c)
{
	static const char digits[] =
	    "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	const char *p = c != '\0' ? strchr(digits, c) : NULL;

	return p != NULL ? (int)(p - digits) : -1;
}

/* "j9T" of "$y$j9T$salt$hash": flavour, log2(N) - 1, r - 1. KiB, or PK_E*. */
static int
yescrypt_kib(struct view setting)
{
	int n, r;

	if (setting.len < 7 || setting.p[3] != 'j' || setting.p[6] != '$')
		return PK_EUNSUPPORTED;
	n = itoa64_value(setting.p[4]);
	r = itoa64_value(setting.p[5]);
	if (n < 0 || r < 0)
		return PK_EFORMAT;
	n++;
	r++;
	/* 128 bytes times N times r */
	if (n < 3 || n > 24 || ((uint64_t)r << n) / 8 > PASSWORD_KIB_MAX)
		return PK_ELIMIT;
	return (int)(((uint64_t)r << n) / 8);
}

static int
check_sha_crypt(struct view setting)
{
	struct view rest = view_from(setting, 3);
	uint64_t rounds;
	ptrdiff_t end;

	if (!view_starts(rest, VIEW("rounds=")))
		return 0;
	rest = view_from(rest, 7);
	end = view_find(rest, '$');
	if (end < 0 || num_parse_u64(view_head(rest, (size_t)end), 0, UINT32_MAX, &rounds) != 0)
		return PK_EFORMAT;
	return rounds <= PASSWORD_SHA_CRYPT_MAX ? 0 : PK_ELIMIT;
}

static int
check_bcrypt(struct view setting)
{
	uint64_t cost;

	if (setting.len != 60 || setting.p[3] != '$' || setting.p[6] != '$' ||
	    memchr("aby", setting.p[2], 3) == NULL ||
	    num_parse_u64(view_of(setting.p + 4, 2), 4, 31, &cost) != 0)
		return PK_EFORMAT;
	return cost <= PASSWORD_BCRYPT_MAX ? 0 : PK_ELIMIT;
}

static int
check_setting(struct view s, int variant)
{
	int kib;

	if (s.len < 4 || s.p[0] != '$')
		return PK_EUNSUPPORTED;
	if (variant != 0 && s.p[1] != (char)variant)
		return PK_EFORMAT;
	if (s.p[1] == '2')
		return check_bcrypt(s);
	if (s.p[2] != '$')
		return PK_EUNSUPPORTED;
	switch (s.p[1]) {
	case 'y':
		kib = yescrypt_kib(s);
		return kib < 0 ? kib : 0;
	case '5':
	case '6':
		return check_sha_crypt(s);
	case '1':
		return 0;
	default:
		return PK_EUNSUPPORTED;
	}
}

/* The hash of password under `setting` into hash_r: 0, PK_EFORMAT. */
static int
crypt_compute(const char *setting, struct view password, struct buf *hash_r)
{
	struct crypt_data *data = XNEW(struct crypt_data);
	char *phrase = view_dup(password), *out;
	int error = PK_EFORMAT;

	out = crypt_r(phrase, setting, data);
	/* Failures are "*0" and "*1". */
	if (out != NULL && out[0] != '*')
		error = buf_put_str(hash_r, out);
	xfree_secret(phrase, password.len);
	xfree_secret(data, sizeof(*data));
	return error;
}

int
password_crypt_verify(struct view hash, struct view password, int variant)
{
	char *setting;
	struct buf out;
	int error = check_setting(hash, variant);

	if (error != 0)
		return error;
	if (memchr(hash.p, '\0', hash.len) != NULL)
		return PK_EFORMAT;
	/* Longer ones libcrypt does not take: nobody has such a password. */
	if (password.len >= CRYPT_MAX_PASSPHRASE_SIZE)
		return PK_EPERM;
	setting = view_dup(hash);
	buf_init(&out, CRYPT_OUTPUT_SIZE);
	error = crypt_compute(setting, password, &out);
	if (error == 0)
		error = password_compare(buf_view(&out), hash);
	buf_fini(&out);
	xfree(setting);
	return error;
}

int
password_crypt_new(struct view password, struct buf *hash_r)
{
	char random[32], setting[CRYPT_GENSALT_OUTPUT_SIZE];
	int error;

	if (password.len >= CRYPT_MAX_PASSPHRASE_SIZE)
		return PK_ELIMIT;
	arc4random_buf(random, sizeof(random));
	if (crypt_gensalt_rn(YESCRYPT_PREFIX, YESCRYPT_COST, random, sizeof(random), setting,
	    sizeof(setting)) == NULL)
		return PK_EUNSUPPORTED;
	error = buf_put_str(hash_r, "{CRYPT}");
	return error != 0 ? error : crypt_compute(setting, password, hash_r);
}

bool
password_crypt_is_weak(struct view hash)
{
	return check_setting(hash, 'y') != 0 || yescrypt_kib(hash) < (int)YESCRYPT_KIB;
}

/* ---- argon2 ---- */

struct argon2 {
	argon2_type	 type;
	uint32_t	 version;
	uint64_t	 kib, passes, lanes;
	struct buf	 salt, hash;
};

static bool
take_number(struct view *v, struct view name, uint64_t greatest, uint64_t *n_r)
{
	size_t len = 0;

	if (!view_starts(*v, name))
		return false;
	*v = view_from(*v, name.len);
	while (len < v->len && ascii_isdigit(v->p[len]))
		len++;
	if (num_parse_u64(view_head(*v, len), 1, greatest, n_r) != 0)
		return false;
	*v = view_from(*v, len);
	return true;
}

static bool
take_base64(struct view *v, struct buf *b)
{
	struct view text;
	ptrdiff_t end;

	if (v->len == 0 || v->p[0] != '$')
		return false;
	*v = view_from(*v, 1);
	end = view_find(*v, '$');
	text = end >= 0 ? view_head(*v, (size_t)end) : *v;
	*v = view_from(*v, text.len);
	return password_b64_decode(text, b) == 0;
}

/* "$argon2id$v=19$m=65536,t=3,p=4$salt$hash" */
static int
argon2_parse(struct view v, struct argon2 *a)
{
	uint64_t version = ARGON2_VERSION_10;

	if (view_starts(v, VIEW("$argon2id$")))
		a->type = Argon2_id;
	else if (view_starts(v, VIEW("$argon2i$")))
		a->type = Argon2_i;
	else
		return PK_EUNSUPPORTED;
	v = view_from(v, a->type == Argon2_id ? 10 : 9);
	if (view_starts(v, VIEW("v=")) && (!take_number(&v, VIEW("v="), 99, &version) ||
	    !view_starts(v, VIEW("$"))))
		return PK_EFORMAT;
	if (view_starts(v, VIEW("$")))
		v = view_from(v, 1);
	a->version = (uint32_t)version;
	if (!take_number(&v, VIEW("m="), UINT32_MAX, &a->kib) ||
	    !take_number(&v, VIEW(",t="), UINT32_MAX, &a->passes) ||
	    !take_number(&v, VIEW(",p="), UINT32_MAX, &a->lanes) ||
	    !take_base64(&v, &a->salt) || !take_base64(&v, &a->hash) || v.len != 0)
		return PK_EFORMAT;
	if (version != ARGON2_VERSION_10 && version != ARGON2_VERSION_13)
		return PK_EUNSUPPORTED;
	if (a->kib > PASSWORD_KIB_MAX || a->lanes > PASSWORD_LANES_MAX ||
	    a->kib * a->passes > PASSWORD_KIB_PASSES_MAX)
		return PK_ELIMIT;
	return a->salt.len >= 8 && a->hash.len >= 12 ? 0 : PK_EFORMAT;
}

/* One thread whatever the lanes: our pool has as many as there are cores. */
static int
argon2_compute(const struct argon2 *a, struct view password, uint8_t *out)
{
	argon2_context c = {
		.out = out, .outlen = (uint32_t)a->hash.len,
		.pwd = (uint8_t *)(uintptr_t)password.p, .pwdlen = (uint32_t)password.len,
		.salt = (uint8_t *)buf_data(&a->salt), .saltlen = (uint32_t)a->salt.len,
		.t_cost = (uint32_t)a->passes, .m_cost = (uint32_t)a->kib,
		.lanes = (uint32_t)a->lanes, .threads = 1, .version = a->version,
		.flags = ARGON2_DEFAULT_FLAGS,
	};

	return argon2_ctx(&c, a->type) == ARGON2_OK ? 0 : PK_EFORMAT;
}

static void
argon2_init(struct argon2 *a)
{
	memset(a, 0, sizeof(*a));
	buf_init(&a->salt, PASSWORD_SALT_MAX);
	buf_init(&a->hash, 128);
}

static void
argon2_fini(struct argon2 *a)
{
	buf_fini(&a->salt);
	buf_fini(&a->hash);
}

int
password_argon2_verify(struct view hash, struct view password, int variant)
{
	uint8_t out[128];
	struct argon2 a;
	int error;

	(void)variant;
	argon2_init(&a);
	error = argon2_parse(hash, &a);
	if (error == 0)
		error = argon2_compute(&a, password, out);
	if (error == 0)
		error = password_compare(view_of((char *)out, a.hash.len), buf_view(&a.hash));
	explicit_bzero(out, sizeof(out));
	argon2_fini(&a);
	return error;
}

/* Its text has no padding behind salt and hash. */
static void
put_b64(struct buf *b, struct view bytes)
{
	(void)base64_put(b, bytes);
	while (b->len > 0 && buf_data(b)[b->len - 1] == '=')
		buf_truncate(b, b->len - 1);
}

int
password_argon2_new(struct view password, struct buf *hash_r)
{
	uint8_t out[ARGON2_HASH];
	char salt[ARGON2_SALT];
	struct argon2 a;
	int error;

	argon2_init(&a);
	arc4random_buf(salt, sizeof(salt));
	buf_put(&a.salt, salt, sizeof(salt));
	buf_put(&a.hash, out, sizeof(out));
	a.type = Argon2_id;
	a.version = ARGON2_VERSION_13;
	a.kib = ARGON2_KIB;
	a.passes = ARGON2_PASSES;
	a.lanes = 1;
	error = argon2_compute(&a, password, out);
	if (error == 0) {
		buf_printf(hash_r, "{ARGON2ID}$argon2id$v=%u$m=%u,t=%u,p=1$", ARGON2_VERSION_13,
		    ARGON2_KIB, ARGON2_PASSES);
		put_b64(hash_r, buf_view(&a.salt));
		buf_put_char(hash_r, '$');
		put_b64(hash_r, view_of((char *)out, sizeof(out)));
		error = buf_error(hash_r);
	}
	explicit_bzero(out, sizeof(out));
	argon2_fini(&a);
	return error;
}

bool
password_argon2_is_weak(struct view hash)
{
	struct argon2 a;
	bool weak;

	argon2_init(&a);
	weak = argon2_parse(hash, &a) != 0 || a.type != Argon2_id ||
	    a.version != ARGON2_VERSION_13 || a.kib < ARGON2_KIB ||
	    a.kib * a.passes < (uint64_t)ARGON2_KIB * ARGON2_PASSES;
	argon2_fini(&a);
	return weak;
}
