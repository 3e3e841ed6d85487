# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/ipc/libipc.a
lib_ipc_libipc_a_SOURCES =			\
	lib/ipc/admin.c				\
	lib/ipc/auth.h				\
	lib/ipc/tls_key.h			\
	lib/ipc/admin.h				\
	lib/ipc/admin_reply.c			\
	lib/ipc/admin_reply.h			\
	lib/ipc/call.c				\
	lib/ipc/channel.c			\
	lib/ipc/confinement.def			\
	lib/ipc/early.c				\
	lib/ipc/early.h				\
	lib/ipc/channel_internal.h		\
	lib/ipc/child.c				\
	lib/ipc/child.h				\
	lib/ipc/child_log.c			\
	lib/ipc/child_log.h			\
	lib/ipc/codec.c				\
	lib/ipc/fields.def			\
	lib/ipc/ipc.h				\
	lib/ipc/messages.def			\
	lib/ipc/pool.c				\
	lib/ipc/roles.def			\
	lib/ipc/route.h				\
	lib/ipc/table.c
