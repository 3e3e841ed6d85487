# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += adminctl/libadminctl.a
adminctl_libadminctl_a_SOURCES = adminctl/command.h adminctl/command.c	\
	adminctl/commands.c adminctl/client.c adminctl/render.c		\
	adminctl/cmd_help.c adminctl/cmd_account.c adminctl/cmd_config.c adminctl/cmd_table.c	\
	adminctl/cmd_queue.c adminctl/cmd_stats.c adminctl/cmd_trace.c	\
	adminctl/cmd_tls_probe.c adminctl/probe.h adminctl/probe_dns.c	\
	adminctl/probe_session.c
bin_PROGRAMS += adminctl/adminctl
adminctl_adminctl_SOURCES = adminctl/main.c
adminctl_adminctl_LDADD = adminctl/libadminctl.a $(LIBS_CORE)
