# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/sys/libsys.a
lib_sys_libsys_a_SOURCES =			\
	lib/sys/client_limits.c			\
	lib/sys/client_limits.h			\
	lib/sys/fail_limits.c			\
	lib/sys/fail_limits.h			\
	lib/sys/fd.c				\
	lib/sys/fd.h				\
	lib/sys/loop.c				\
	lib/sys/loop.h				\
	lib/sys/landlock.c			\
	lib/sys/sandbox.c			\
	lib/sys/sandbox.h			\
	lib/sys/sandbox_internal.h		\
	lib/sys/sandbox_profiles.c		\
	lib/sys/seccomp.c			\
	lib/sys/shared_table.c			\
	lib/sys/shared_table.h			\
	lib/sys/stats.c				\
	lib/sys/stats.def			\
	lib/sys/stats.h
