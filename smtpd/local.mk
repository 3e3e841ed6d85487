# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += smtpd/libsmtpd.a
smtpd_libsmtpd_a_SOURCES =
# pkglibexec_PROGRAMS += smtpd/smtpd
# smtpd_smtpd_SOURCES = smtpd/main.c
# smtpd_smtpd_LDADD = smtpd/libsmtpd.a $(LIBS_CORE)
