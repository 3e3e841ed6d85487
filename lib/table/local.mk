# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/table/libtable.a
lib_table_libtable_a_SOURCES = \
	lib/table/match_list.c \
	lib/table/match_list.h \
	lib/table/table.c \
	lib/table/table.h \
	lib/table/table_cidr.c \
	lib/table/table_impl.h \
	lib/table/table_lines.c \
	lib/table/table_lmdb.c \
	lib/table/table_pcre.c \
	lib/table/table_simple.c \
	lib/table/table_spec.c \
	lib/table/table_texthash.c
