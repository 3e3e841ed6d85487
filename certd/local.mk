# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += certd/libcertd.a
certd_libcertd_a_SOURCES = \
	certd/admin.c \
	certd/certd.c \
	certd/certd.h \
	certd/certd_ipc.c \
	certd/expiry.c \
	certd/expiry.h \
	certd/folders.c \
	certd/names.c \
	certd/names.h \
	certd/pair.c \
	certd/pair.h \
	certd/pair_check.c \
	certd/pair_load.c \
	certd/pair_private.h \
	certd/pem.c \
	certd/pem.h \
	certd/set.c \
	certd/set.h \
	certd/sign.c \
	certd/sign.h \
	certd/signers.c \
	certd/signers.h \
	certd/tickets.c \
	certd/tickets.h \
	certd/watch.c \
	certd/watch.h
pkglibexec_PROGRAMS += certd/certd
certd_certd_SOURCES = certd/main.c
certd_certd_LDADD = certd/libcertd.a $(LIBS_CORE)
