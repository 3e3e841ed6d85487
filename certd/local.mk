# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
pkglibexec_PROGRAMS += certd/certd
certd_certd_SOURCES = certd/main.c
certd_certd_LDADD = $(LIBS_CORE)
