# SPDX-License-Identifier: ISC
# A harness is two lines; its seeds are in tests/fuzz/corpus/<name>/.
#	FUZZERS += tests/fuzz/address
#	tests_fuzz_address_LDADD = $(FUZZ_LIBS)
# Built plainly it replays the files and folders it is given; configured with
# --enable-fuzz it is libFuzzer.
FUZZERS =
FUZZERS += tests/fuzz/deliver_job
tests_fuzz_deliver_job_LDADD = deliver/libdeliver.a $(FUZZ_LIBS)
FUZZERS += tests/fuzz/smtp_client
tests_fuzz_smtp_client_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/codec
tests_fuzz_codec_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/address
tests_fuzz_address_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/smtp_command
tests_fuzz_smtp_command_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/smtp_reply
tests_fuzz_smtp_reply_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/data_scanner
tests_fuzz_data_scanner_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/header
tests_fuzz_header_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/mime
tests_fuzz_mime_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/dsn
tests_fuzz_dsn_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/conf
tests_fuzz_conf_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/tls_keys
tests_fuzz_tls_keys_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/ipc_in
tests_fuzz_ipc_in_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/match_list
tests_fuzz_match_list_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/table_cidr
tests_fuzz_table_cidr_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/table_pcre
tests_fuzz_table_pcre_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/texthash
tests_fuzz_texthash_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/dns_rdata
tests_fuzz_dns_rdata_LDADD = dnsd/libdnsd.a $(FUZZ_LIBS)
FUZZERS += tests/fuzz/smtpd_session
tests_fuzz_smtpd_session_LDADD = smtpd/libsmtpd.a $(FUZZ_LIBS)
FUZZERS += tests/fuzz/certd_pem
tests_fuzz_certd_pem_LDADD = certd/libcertd.a $(FUZZ_LIBS)
FUZZERS += tests/fuzz/key_sign
tests_fuzz_key_sign_LDADD = certd/libcertd.a $(FUZZ_LIBS)
FUZZERS += tests/fuzz/record
tests_fuzz_record_LDADD = $(FUZZ_LIBS)
FUZZERS += tests/fuzz/journal
tests_fuzz_journal_LDADD = qmgr/libqmgr.a $(FUZZ_LIBS)
FUZZERS += tests/fuzz/sasl
tests_fuzz_sasl_SOURCES = tests/fuzz/sasl.c				\
	tests/unit/authd/fake_verify.c tests/unit/authd/fake_verify.h
tests_fuzz_sasl_LDADD = authd/libauthd.a $(FUZZ_LIBS) $(OAUTH_LIBS)
FUZZERS += tests/fuzz/sasl_bearer
tests_fuzz_sasl_bearer_LDADD = authd/libauthd.a $(FUZZ_LIBS)
if HAVE_OAUTH
FUZZERS += tests/fuzz/oauth_introspect
tests_fuzz_oauth_introspect_LDADD = authd/libauthd.a $(FUZZ_LIBS) $(OAUTH_LIBS)
FUZZERS += tests/fuzz/oauth_jwks
tests_fuzz_oauth_jwks_LDADD = authd/libauthd.a $(FUZZ_LIBS) $(OAUTH_LIBS)
FUZZERS += tests/fuzz/oauth_jwt
tests_fuzz_oauth_jwt_LDADD = authd/libauthd.a $(FUZZ_LIBS) $(OAUTH_LIBS)
endif

FUZZERS += tests/fuzz/password_hash
tests_fuzz_password_hash_LDADD = authd/libauthd.a $(FUZZ_LIBS)
FUZZERS += tests/fuzz/account_record
tests_fuzz_account_record_LDADD = authd/libauthd.a $(FUZZ_LIBS) $(SOURCE_LIBS) $(OAUTH_LIBS)
FUZZERS += tests/fuzz/authd_ipc
tests_fuzz_authd_ipc_LDADD = authd/libauthd.a $(FUZZ_LIBS) $(SOURCE_LIBS) $(OAUTH_LIBS)

check_PROGRAMS += $(FUZZERS)
dist_noinst_SCRIPTS += tests/fuzz/replay.tap
TESTS += tests/fuzz/replay.tap
if ENABLE_FUZZ
FUZZ_LIBS = $(LIBS_CORE) $(FUZZ_ENGINE)
FUZZ_REPLAY_FLAGS = -runs=0
EXTRA_DIST += tests/fuzz/replay.c
else
check_LIBRARIES += tests/fuzz/libreplay.a
tests_fuzz_libreplay_a_SOURCES = tests/fuzz/replay.c
FUZZ_LIBS = tests/fuzz/libreplay.a $(LIBS_CORE)
FUZZ_REPLAY_FLAGS =
endif

# For scripts/test, which runs each for a bounded time.
list-fuzzers:
	@echo $(FUZZERS)
.PHONY: list-fuzzers
