# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += logd/liblogd.a
logd_liblogd_a_SOURCES =			\
	logd/file.c				\
	logd/format.c				\
	logd/logd.h
pkglibexec_PROGRAMS += logd/logd
logd_logd_SOURCES = logd/main.c
logd_logd_LDADD = logd/liblogd.a $(LIBS_CORE)
