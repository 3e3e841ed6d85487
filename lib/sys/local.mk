# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/sys/libsys.a
lib_sys_libsys_a_SOURCES =			\
	lib/sys/fd.c				\
	lib/sys/fd.h				\
	lib/sys/loop.c				\
	lib/sys/loop.h				\
	lib/sys/sandbox.h			\
	lib/sys/stats.c				\
	lib/sys/stats.def			\
	lib/sys/stats.h
