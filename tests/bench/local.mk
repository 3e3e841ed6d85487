# SPDX-License-Identifier: ISC
noinst_PROGRAMS += tests/bench/smtp_parse
tests_bench_smtp_parse_LDADD = lib/mail/libmail.a lib/base/libbase.a $(LIBS_SYSTEM)
noinst_PROGRAMS += tests/bench/ipc_pingpong
tests_bench_ipc_pingpong_LDADD = $(LIBS_CORE)
noinst_PROGRAMS += tests/bench/record_append
tests_bench_record_append_LDADD = $(LIBS_CORE)
noinst_PROGRAMS += tests/bench/slowsink
tests_bench_slowsink_LDADD = $(LIBS_CORE)
noinst_PROGRAMS += tests/bench/tls_handshake
tests_bench_tls_handshake_LDADD = $(LIBS_CORE)
noinst_PROGRAMS += tests/bench/auth_plain
tests_bench_auth_plain_LDADD = $(LIBS_CORE)
