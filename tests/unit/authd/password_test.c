/* SPDX-License-Identifier: ISC */
/*
 * Password hashes that other programs made, our own, damaged ones, and those
 * that would cost too much.
 */
#include <string.h>

#include "authd/password.h"
#include "base/clock.h"
#include "base/error.h"
#include "tests/unit/unit.h"

#define RIGHT	"correct horse"

/* Made by doveadm pw, openssl passwd, crypt(3) of perl, hashlib of Python, slappasswd. */
static const struct {
	const char	*name, *hash;
} vectors[] = {
	{ "doveadm SHA512-CRYPT", "{SHA512-CRYPT}$6$pl/LVvp5woA/Y3BU$OZ3PE2nC5xd0VNTedfzPMSd781jDAN"
	    "Sivx1eNiYxDPaqMpqUFcbxLIaoWlPzUYadruem7GfjAbSHT3fkV9g/J1" },
	{ "doveadm SHA256-CRYPT",
	    "{SHA256-CRYPT}$5$Tob2q2aEVP0cAuSE$xlVGeYO/BfMmUeg5kbO57sRGCfEiNR0V74C5g7FV7pB" },
	{ "doveadm BLF-CRYPT",
	    "{BLF-CRYPT}$2y$05$3QV2WZv5WCBr0evoyWHxdu/yXiXTE.XfyA2Bwwi57.6r0pLNpGG5y" },
	{ "doveadm CRYPT", "{CRYPT}$2y$05$zl1GIU6TBgfKs2F3Je8p5ee8VwFMQ1U94KbbX0peYbLO9fLY41Kd2" },
	{ "doveadm MD5-CRYPT", "{MD5-CRYPT}$1$HiEPOg79$GaxcztmvzhgswdZYdHXRw." },
	{ "doveadm SSHA", "{SSHA}ivAYlcDpNvxTixIQRKak1QHPU760PS7W" },
	{ "doveadm SSHA256", "{SSHA256}z5Qta9RK/qcOXaJSyOCimUm0c07lJdKnnx/ZCHUh1k0cLfqV" },
	{ "doveadm SSHA512", "{SSHA512}vULKAH1vgkywqqBijCoF4g3McFG8NpQvajbfa/yrV7efEjbQG2IYXcrqq7eK"
	    "e8rziEBlhjEvlGe5BGg9WQVVTAEWduA=" },
	{ "doveadm SSHA256.HEX", "{SSHA256.HEX}62a91be06e961c0458e34d635d01c338e805b0013dc692fb4616"
	    "cf65351e12553c2e6076" },
	{ "doveadm PBKDF2",
	    "{PBKDF2}$1$B2Lgu2tvg/FOYRun$5000$8c47cd0d2ceb7e4c1e1fa984bd127b4f0b4e31ef" },
	{ "doveadm SCRAM-SHA-256", "{SCRAM-SHA-256}4096,7K9NahzqTbNJgh3L6E/BeA==,kZpRLnrV5Z8NwXE/I"
	    "MeUaWtMoffHhz7WcysWJnR2sm0=,xnUTY1fdQ8WDGoJ5MuWX7c57fZfUfj8D6IY1grLVHO0=" },
	{ "doveadm SCRAM-SHA-1", "{SCRAM-SHA-1}4096,WbSrnDzSwYcaOeW0s9pnoA==,fm43VULWx1XULg77jlnZg"
	    "AMz+q0=,7ZnIKymlMVYDUVaDTZQATb6+RjM=" },
	{ "doveadm ARGON2ID", "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$f0lAA7sthWjWO3dfAzw3Nw$Tmm"
	    "dR2bT8Utu7H0D7OEEcRX++zE4V67VKAA9DywL+eQ" },
	{ "doveadm ARGON2I", "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$jfOTCqwxx702MeLX70p3oQ$vPZGUN"
	    "2C5k2P8Or8kjAPUBtNPC9XAxOG2ki7mljH3dM" },
	{ "doveadm SHA", "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=" },
	{ "doveadm SHA1.HEX", "{SHA1.HEX}2f9e53523b62abc141a2b4d6019d23cba835dbd0" },
	{ "hex without saying so", "{SHA1}2f9e53523b62abc141a2b4d6019d23cba835dbd0" },
	{ "doveadm SHA256", "{SHA256}QQTTb42iwlQ0n4WDZ5Pr4CngyVcGOjTJHC6SAxh7VjE=" },
	{ "doveadm SHA512", "{SHA512}VraY3v7bWkNbY0r+MyC7rz/c2SC2xQOkRvx7endrKY1HnRumqLYXgI6wv1ec6a"
	    "ldZoNHvKtxSQhayTyyeZUZew==" },
	{ "doveadm SHA512.HEX", "{SHA512.HEX}56b698defedb5a435b634afe3320bbaf3fdcd920b6c503a446fc7b"
	    "7a776b298d479d1ba6a8b617808eb0bf579ce9a95d668347bcab7149085ac93cb27995197b" },
	{ "doveadm PLAIN.B64", "{PLAIN.B64}Y29ycmVjdCBob3JzZQ==" },
	{ "plain", "{PLAIN}correct horse" },
	{ "lower case name", "{plain}correct horse" },
	{ "hashlib, OpenLDAP's form", "{PBKDF2-SHA256}10000$MDEyMzQ1Njc4OWFiY2RlZg$TI2grtvV1HW5nz2r"
	    "BY4tctlrmOj5bZs0dw9j8NHpRRc" },
	{ "hashlib, passlib's form", "$pbkdf2-sha512$1000$c2FsdHNhbHQ$.sUSD8jw4f8ns7m9b7kj8PeJLe8l"
	    "JXO8Am09BLgO79kST9D/Ija5aKINGF5Xg7hkKXw1.fNhBzzJP3eIXcWXww" },
	{ "perl, yescrypt", "$y$j9T$SALTsaltSALTsalt$i0Qo1zG2dJ51H/Rmc29HHIpybiK.vwoA3HUFC/ZsYS6" },
	{ "yescrypt with its name",
	    "{YESCRYPT}$y$j9T$SALTsaltSALTsalt$i0Qo1zG2dJ51H/Rmc29HHIpybiK.vwoA3HUFC/ZsYS6" },
	{ "perl, bcrypt 2b", "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2" },
	{ "openssl 6", "$6$abcdefgh$yIZAF3gQPvtKZO/9qOJKffAKKbtS3ef3qmwyugk4uWVjX8YZf/GV3A8SkFxEPY0"
	    "T56CcilGrHKLffBsp6dLMG." },
	{ "openssl 5", "$5$abcdefgh$ruMep1ijHnJPZbETDNiumskxcX3kN4lzZd5VlsqE7eB" },
	{ "openssl 1", "$1$abcdefgh$y6iHhJNbuC0xpbk0w9pm80" },
};

static void
test_vectors(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(vectors); i++) {
		CHECK(vectors[i].name, password_is_known(vectors[i].hash));
		CHECK(vectors[i].name, password_verify(vectors[i].hash, VIEW(RIGHT)) == 0);
		CHECK(vectors[i].name, password_verify(vectors[i].hash, VIEW("correct hors")) ==
		    PK_EPERM);
		CHECK(vectors[i].name, password_verify(vectors[i].hash, VIEW("")) == PK_EPERM);
		CHECK(vectors[i].name, password_verify(vectors[i].hash, VIEW(RIGHT "\0x")) ==
		    PK_EPERM);
	}
}

static const struct {
	const char	*name, *hash;
	int		 want;
} refused[] = {
	{ "empty", "", PK_EFORMAT },
	{ "no prefix is no clear text", RIGHT, PK_EFORMAT },
	{ "DES", "{CRYPT}ab1234567890.", PK_EUNSUPPORTED },
	{ "DES without prefix", "abJnggxhB/yWI", PK_EFORMAT },
	{ "unknown scheme", "{ROT13}pbeerpg", PK_EUNSUPPORTED },
	{ "unknown encoding", "{SSHA.XYZ}abcd", PK_EUNSUPPORTED },
	{ "open brace", "{SSHA", PK_EFORMAT },
	{ "no base64", "{SSHA}!!!!", PK_EFORMAT },
	{ "too short", "{SHA256}QQTTb42i", PK_EFORMAT },
	{ "locked", "!", PK_EFORMAT },
	{ "locked hash", "!$6$abcdefgh$yIZAF3gQPvtKZO", PK_EFORMAT },
	{ "another scheme's hash", "{SHA512-CRYPT}$1$abcdefgh$y6iHhJNbuC0xpbk0w9pm80", PK_EFORMAT },
	{ "rounds", "$6$rounds=999999999$abcdefgh$x", PK_ELIMIT },
	{ "rounds, no end", "$6$rounds=999999999", PK_EFORMAT },
	{ "bcrypt 31", "$2b$31$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2", PK_ELIMIT },
	{ "yescrypt N", "$y$jOT$SALTsaltSALTsalt$i0Qo1zG2dJ51H/Rmc29HHIpybiK.vwoA3HUFC/ZsYS6",
	    PK_ELIMIT },
	{ "yescrypt flavour", "$y$.9T$SALT$i0Qo1zG2dJ51H", PK_EUNSUPPORTED },
	{ "yescrypt further parameters", "$y$j9T..$SALT$i0Qo1zG2dJ51H", PK_EUNSUPPORTED },
	{ "scrypt", "$7$CU..../....", PK_EFORMAT },
	{ "argon2 memory", "$argon2id$v=19$m=4294967295,t=1,p=1$MTIzNDU2Nzg$MTIzNDU2Nzg5MDEyMzQ",
	    PK_ELIMIT },
	{ "argon2 passes", "$argon2id$v=19$m=65536,t=4000000000,p=1$MTIzNDU2Nzg$MTIzNDU2Nzg5MDEyMzQ",
	    PK_ELIMIT },
	{ "argon2 lanes", "$argon2id$v=19$m=65536,t=1,p=1000$MTIzNDU2Nzg$MTIzNDU2Nzg5MDEyMzQ",
	    PK_ELIMIT },
	{ "argon2d", "$argon2d$v=19$m=65536,t=1,p=1$MTIzNDU2Nzg$MTIzNDU2Nzg5MDEyMzQ",
	    PK_EUNSUPPORTED },
	{ "argon2 short hash", "$argon2id$v=19$m=64,t=1,p=1$MTIzNDU2Nzg$MTIz", PK_EFORMAT },
	{ "PBKDF2 rounds", "{PBKDF2}$1$salt$4000000000$8c47cd0d2ceb7e4c1e1fa984bd127b4f0b4e31ef",
	    PK_ELIMIT },
	{ "PBKDF2 short", "{PBKDF2}$1$salt$1000$8c47", PK_EFORMAT },
	{ "SCRAM rounds", "{SCRAM-SHA-1}4000000000,WbSrnDzSwYcaOeW0s9pnoA==,fm43VULWx1XULg77jlnZg"
	    "AMz+q0=,7ZnIKymlMVYDUVaDTZQATb6+RjM=", PK_ELIMIT },
	{ "SCRAM parts", "{SCRAM-SHA-1}4096,WbSrnDzSwYcaOeW0s9pnoA==,fm43VULWx1XULg77jlnZgAMz+q0=",
	    PK_EFORMAT },
};

static void
test_refused(void **state)
{
	uint64_t start = clock_mono_ms();
	size_t i;

	(void)state;
	for (i = 0; i < NELEMS(refused); i++)
		CHECK(refused[i].name,
		    password_verify(refused[i].hash, VIEW(RIGHT)) == refused[i].want);
	/* None of them was computed. */
	assert_true(clock_mono_ms() - start < 2000);
}

static void
test_new_ones(void **state)
{
	static const char *const schemes[] = { "yescrypt", "argon2id" };
	struct buf a, b;
	size_t i;

	(void)state;
	buf_init(&a, 1000);
	buf_init(&b, 1000);
	for (i = 0; i < NELEMS(schemes); i++) {
		buf_reset(&a);
		buf_reset(&b);
		assert_int_equal(password_hash(schemes[i], VIEW(RIGHT), &a), 0);
		assert_int_equal(password_hash(schemes[i], VIEW(RIGHT), &b), 0);
		CHECK(schemes[i], !view_eq(buf_view(&a), buf_view(&b)));
		CHECK(schemes[i], password_verify(buf_cstr(&a), VIEW(RIGHT)) == 0);
		CHECK(schemes[i], password_verify(buf_cstr(&a), VIEW("wrong")) == PK_EPERM);
		CHECK(schemes[i], !password_is_weak(buf_cstr(&a), "yescrypt"));
		CHECK(schemes[i], !password_is_weak(buf_cstr(&a), "argon2id"));
	}
	assert_int_equal(password_hash("md5", VIEW(RIGHT), &a), PK_EUNSUPPORTED);
	assert_int_equal(password_hash("yescrypt", VIEW(""), &a), PK_ESYNTAX);
	buf_fini(&a);
	buf_fini(&b);
}

static void
test_scram_and_app(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(password_scram("SCRAM-SHA-256", VIEW(RIGHT), &b), 0);
	assert_true(view_starts(buf_view(&b), VIEW("{SCRAM-SHA-256}10000,")));
	assert_int_equal(password_verify(buf_cstr(&b), VIEW(RIGHT)), 0);
	assert_int_equal(password_verify(buf_cstr(&b), VIEW("wrong")), PK_EPERM);
	buf_reset(&b);
	/* RFC 4013: a password in compatibility characters is the same password. */
	assert_int_equal(password_scram("SCRAM-SHA-1", VIEW("\xe2\x85\xa8"), &b), 0);
	assert_int_equal(password_verify(buf_cstr(&b), VIEW("IX")), 0);
	buf_reset(&b);
	assert_int_equal(password_salted_new(VIEW(RIGHT), &b), 0);
	assert_int_equal(password_verify(buf_cstr(&b), VIEW(RIGHT)), 0);
	buf_fini(&b);
}

static void
test_weak(void **state)
{
	(void)state;
	assert_true(password_is_weak("{PLAIN}x", "yescrypt"));
	assert_true(password_is_weak(vectors[0].hash, "yescrypt"));
	assert_true(password_is_weak("$y$j75$SALTsaltSALTsalt$x", "yescrypt"));
	assert_false(password_is_weak("$y$j9T$SALTsaltSALTsalt$x", "yescrypt"));
	assert_true(password_is_weak("$argon2i$v=19$m=65536,t=3,p=1$f0lAA7sthWjWO3dfAzw3Nw"
	    "$TmmdR2bT8Utu7H0D7OEEcRX++zE4V67VKAA9DywL+eQ", "yescrypt"));
}

UNIT_MAIN(cmocka_unit_test(test_vectors), cmocka_unit_test(test_refused),
    cmocka_unit_test(test_new_ones), cmocka_unit_test(test_scram_and_app),
    cmocka_unit_test(test_weak))
