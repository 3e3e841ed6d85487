# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/conf/libconf.a
lib_conf_libconf_a_SOURCES =			\
	lib/conf/class.c			\
	lib/conf/conf.c				\
	lib/conf/conf.h				\
	lib/conf/conf_private.h			\
	lib/conf/expand.c			\
	lib/conf/get.c				\
	lib/conf/list.c				\
	lib/conf/params.def			\
	lib/conf/params_undef.h			\
	lib/conf/postfix.c			\
	lib/conf/postfix.def			\
	lib/conf/read.c				\
	lib/conf/restrictions.c			\
	lib/conf/restrictions.def		\
	lib/conf/rows.c
