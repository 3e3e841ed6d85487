# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
pkglibexec_PROGRAMS += authd/authd
authd_authd_SOURCES = authd/main.c
authd_authd_LDADD = $(LIBS_CORE)
