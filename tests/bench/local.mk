# SPDX-License-Identifier: ISC
noinst_PROGRAMS += tests/bench/smtp_parse
tests_bench_smtp_parse_LDADD = lib/mail/libmail.a lib/base/libbase.a $(LIBS_SYSTEM)
