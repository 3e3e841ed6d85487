# SPDX-License-Identifier: ISC
# Everything but main.c is in a library, so that unit tests can link it.
noinst_LIBRARIES += deliver/libdeliver.a
deliver_libdeliver_a_SOURCES =			\
	deliver/bounce.c			\
	deliver/deliver.c			\
	deliver/deliver.h			\
	deliver/job.c				\
	deliver/job.h \
	deliver/mailbox.c			\
	deliver/mailbox.h			\
	deliver/mailbox_writer.c \
	deliver/smtp.c				\
	deliver/smtp.h				\
	deliver/smtp_connect.c			\
	deliver/smtp_content.c			\
	deliver/smtp_policy.c			\
	deliver/smtp_route.c			\
	deliver/smtp_route_impl.h		\
	deliver/smtp_session.c			\
	deliver/smtp_tls.c			\
	deliver/smtp_tour.c

pkglibexec_PROGRAMS += deliver/deliver
deliver_deliver_SOURCES = deliver/main.c
deliver_deliver_LDADD = deliver/libdeliver.a $(LIBS_CORE)
