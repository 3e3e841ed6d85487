# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += authd/libauthd.a
authd_libauthd_a_SOURCES = \
	authd/sasl.c \
	authd/sasl.h \
	authd/sasl_gsasl.c \
	authd/sasl_password.c \
	authd/sasl_prep.c \
	authd/sasl_prep.h \
	authd/sasl_private.h \
	authd/sasl_proof.c \
	authd/sasl_scram.c \
	authd/sasl_scram.h \
	authd/sasl_scram_parse.c
pkglibexec_PROGRAMS += authd/authd
authd_authd_SOURCES = authd/main.c
authd_authd_LDADD = authd/libauthd.a $(LIBS_CORE)
