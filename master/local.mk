# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += master/libmaster.a
master_libmaster_a_SOURCES =			\
	master/admin.c				\
	master/confinement.c			\
	master/environment.c			\
	master/environment.h			\
	master/instance.c			\
	master/listeners.c			\
	master/master.h				\
	master/masterlog.c			\
	master/privileges.c			\
	master/privileges.h			\
	master/proc.c				\
	master/reload.c				\
	master/roles.c				\
	master/state.c				\
	master/supervise.c			\
	master/upgrade.c
pkglibexec_PROGRAMS += master/master
master_master_SOURCES = master/main.c
master_master_LDADD = master/libmaster.a $(LIBS_CORE)
sbin_PROGRAMS += master/postkeep
master_postkeep_SOURCES = master/postkeep.c
master_postkeep_LDADD = master/libmaster.a $(LIBS_CORE)
pkglibexec_SCRIPTS += scripts/create-users
