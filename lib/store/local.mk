# SPDX-License-Identifier: ISC
noinst_LIBRARIES += lib/store/libstore.a
lib_store_libstore_a_SOURCES =			\
	lib/store/maildir.c			\
	lib/store/maildir.h			\
	lib/store/maildir_box.c			\
	lib/store/maildir_private.h		\
	lib/store/maildir_quota.c
