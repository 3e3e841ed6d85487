# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += smtpd/libsmtpd.a
smtpd_libsmtpd_a_SOURCES =			\
	smtpd/auth.c				\
	smtpd/auth.h				\
	smtpd/auth_link.c			\
	smtpd/auth_link.h			\
	smtpd/backend.h				\
	smtpd/backend_ipc.c			\
	smtpd/backend_ipc.h			\
	smtpd/check.c				\
	smtpd/check.h				\
	smtpd/check_access.c			\
	smtpd/check_address.c			\
	smtpd/check_list.c			\
	smtpd/check_login.c			\
	smtpd/check_name.c			\
	smtpd/check_tls.c			\
	smtpd/check_words.c			\
	smtpd/check_words.h			\
	smtpd/cmd_auth.c			\
	smtpd/cmd_bdat.c			\
	smtpd/cmd_data.c			\
	smtpd/cmd_helo.c			\
	smtpd/cmd_mail.c			\
	smtpd/cmd_misc.c			\
	smtpd/cmd_rcpt.c			\
	smtpd/cmd_starttls.c			\
	smtpd/commit.c				\
	smtpd/complete.c			\
	smtpd/complete.h			\
	smtpd/connect.c				\
	smtpd/dispatch.c			\
	smtpd/dispatch.h			\
	smtpd/listener.c			\
	smtpd/listener.h			\
	smtpd/lookup.c				\
	smtpd/lookup.h				\
	smtpd/policy.c				\
	smtpd/policy.h				\
	smtpd/pregreet.c			\
	smtpd/relay.c				\
	smtpd/relay.h				\
	smtpd/session.c				\
	smtpd/session.h				\
	smtpd/session_log.c			\
	smtpd/session_tls.c			\
	smtpd/session_tls.h			\
	smtpd/transaction.c			\
	smtpd/transaction.h			\
	smtpd/worker.c				\
	smtpd/worker.h
pkglibexec_PROGRAMS += smtpd/smtpd
smtpd_smtpd_SOURCES = smtpd/main.c
smtpd_smtpd_LDADD = smtpd/libsmtpd.a $(LIBS_CORE)
